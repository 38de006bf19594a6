// Dense nodes: y = activation(x kernel + bias). Parameters: kernel, bias or none.
#include "core/nodes/encode_columns.h"
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

Index kept(const Plan& plan, const Node& node) {
  const bool needs = portable::needs_preactivation(node.activation);
  return needs ? plan.tensors[static_cast<std::size_t>(node.output)].width : 0;
}

// Of sparse rows: the product, and after it the activation.
template <class T>
void forward_sparse(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const SparseRows<T>& x = *frame.sparse;
  const Index o = frame.width(node.output);
  T* const y = frame.value[frame.at(node.output)];
  T* const z = frame.kept[index] != nullptr ? frame.kept[index] : y;
  frame.template call<SparseForward<T>>(
      frame.kernels.sparse_forward,
      {x.view, x.rows, frame.width(node.input()), o, x.scale, frame.parameter(node.kernel()),
       frame.parameter(node.bias()), z});
  if (node.activation.is(ActivationKind::linear) && z == y) return;
  frame.template call<ActivationForward<T>>(frame.kernels.activation_forward,
                                            {node.activation, frame.n * o, z, y});
}

// dw of sparse rows, and the step that a streaming session takes with it.
template <class T>
void weight_gradient_of_sparse(Frame<T>& frame, const Node& node, const DenseBackward<T>& a,
                               const T* dz) {
  const SparseRows<T>& x = *frame.sparse;
  T* const dw = a.update != nullptr ? frame.sparse_gradient : a.dw;
  if (dw == nullptr) return;
  frame.template call<SparseBackward<T>>(
      frame.kernels.sparse_backward,
      {x.view, x.rows, a.i, a.o, x.scale, dz, dw, a.accumulates && a.update == nullptr});
  if (a.update == nullptr) return;
  OptimizerStep<T> step = *a.update;
  step.n = frame.plan.parameters[frame.at(node.kernel())].size();
  step.grad = dw;
  frame.template call<OptimizerStep<T>>(frame.kernels.optimizer_step, step);
}

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  if (frame.sparse && node.input() == 0) return forward_sparse(frame, index);
  const DenseForward<T> arguments{frame.n,
                                  frame.width(node.input()),
                                  frame.width(node.output),
                                  frame.value[frame.at(node.input())],
                                  frame.parameter(node.kernel()),
                                  frame.parameter(node.bias()),
                                  node.activation,
                                  frame.kept[index],
                                  frame.value[frame.at(node.output)]};
  if (frame.encodes_itself(static_cast<int>(index))) {
    const auto& encoded = encoded_dense_kernels<T>(*frame.machine.encoded_dense);
    const EncodeColumns<T> columns = encoding_of(frame, frame.at(frame.fusions.encodes[index]));
    frame.template call<EncodedDenseForward<T>>(encoded.forward, {columns, arguments});
  } else if (frame.products != nullptr) {
    frame.products->forward(index, arguments);
  } else {
    frame.template call<DenseForward<T>>(frame.kernels.dense_forward, arguments);
  }
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const int input = node.input();
  const int takes = frame.fusions.takes[index];
  const bool done = frame.fusions.taken[index];  // its derivative and its bias's gradient
  const bool encodes = frame.encodes_itself(static_cast<int>(index));  // x then has no gradient
  T* const dy = frame.gradient[frame.at(node.output)];
  DenseBackward<T> arguments{
      .n = frame.n,
      .i = frame.width(input),
      .o = frame.width(node.output),
      .dy = dy,
      .x = frame.value[frame.at(input)],
      .w = frame.parameter(node.kernel()),
      .y = frame.value[frame.at(node.output)],
      .z = frame.kept[index],
      .activation = done ? Activation{} : node.activation,
      .dz = dy,
      .dx = encodes ? nullptr : frame.begin_gradient(input),
      .dw = frame.place(node.kernel()),
      .db = done ? nullptr : frame.place(node.bias()),
  };
  arguments.accumulates = frame.accumulates(node.parameters);
  if (takes != none) {
    const Node& before = frame.node(frame.at(takes));
    arguments.x_activation = before.activation;
    arguments.x_z = frame.kept[frame.at(takes)];
    arguments.dx_sum = frame.place(before.bias());
  }
  const auto& steps = frame.gradients->steps;
  const bool streams = !steps.empty() && steps[frame.at(node.kernel())].param != nullptr;
  if (streams && arguments.dw != nullptr) {
    arguments.dw = nullptr;
    arguments.update = &steps[frame.at(node.kernel())];
  }
  if (encodes) {
    const auto& encoded = encoded_dense_kernels<T>(*frame.machine.encoded_dense);
    const EncodeColumns<T> columns = encoding_of(frame, frame.at(frame.fusions.encodes[index]));
    frame.template call<EncodedDenseBackward<T>>(encoded.backward, {columns, arguments});
    return;
  }
  if (frame.sparse && input == 0) {
    DenseBackward<T> rest = arguments;
    rest.dw = nullptr;
    rest.update = nullptr;
    frame.template call<DenseBackward<T>>(frame.kernels.dense_backward, rest);
    weight_gradient_of_sparse(frame, node, arguments, dy);
  } else if (frame.products != nullptr) {
    frame.products->backward(index, takes, arguments);
  } else {
    frame.template call<DenseBackward<T>>(frame.kernels.dense_backward, arguments);
  }
  frame.end_gradient(input);
}

}  // namespace

template <class T>
NodeRule<T> dense_rule() {
  return {true, kept, forward<T>, backward<T>};
}

FASTNN_RULE(dense_rule)

}  // namespace fastnn
