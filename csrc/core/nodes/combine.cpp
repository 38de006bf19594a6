// Tensors of one width, combined element by element: where branches of a network join.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  CombineForward<T> arguments{.combination = node.combination,
                              .count = static_cast<int>(node.inputs.size()),
                              .n = frame.n * frame.width(node.output),
                              .x = {},
                              .y = frame.value[frame.at(node.output)]};
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    arguments.x[k] = frame.value[frame.at(node.inputs[k])];
  }
  frame.template call<CombineForward<T>>(frame.kernels.combine_forward, arguments);
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  CombineBackward<T> arguments{.combination = node.combination,
                               .count = static_cast<int>(node.inputs.size()),
                               .index = 0,
                               .n = frame.n * frame.width(node.output),
                               .dy = frame.gradient[frame.at(node.output)],
                               .x = {},
                               .y = frame.value[frame.at(node.output)],
                               .dx = nullptr};
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    arguments.x[k] = frame.value[frame.at(node.inputs[k])];
  }
  for (const int input : node.inputs) {
    arguments.dx = frame.begin_gradient(input);
    if (arguments.dx != nullptr) {
      frame.template call<CombineBackward<T>>(frame.kernels.combine_backward, arguments);
      frame.end_gradient(input);
    }
    ++arguments.index;
  }
}

}  // namespace

template <class T>
NodeRule<T> combine_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(combine_rule)

}  // namespace fastnn
