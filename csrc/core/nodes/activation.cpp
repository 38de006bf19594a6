// Elementwise activations as nodes of their own.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<ActivationForward<T>>(
      frame.kernels.activation_forward,
      {node.activation, frame.n * frame.width(node.input()), frame.value[frame.at(node.input())],
       frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr) return;
  frame.template call<ActivationBackward<T>>(
      frame.kernels.activation_backward,
      {node.activation, frame.n * frame.width(node.input()), frame.gradient[frame.at(node.output)],
       frame.value[frame.at(node.input())], frame.value[frame.at(node.output)], dx});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> activation_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(activation_rule)

}  // namespace fastnn
