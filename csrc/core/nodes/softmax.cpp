// Softmax, or its logarithm, over the columns of each row.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T, bool logarithm>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<SoftmaxForward<T>>(
      frame.kernels.softmax_forward,
      {frame.n, frame.width(node.input()), frame.value[frame.at(node.input())],
       frame.value[frame.at(node.output)], logarithm});
}

template <class T, bool logarithm>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr) return;
  frame.template call<SoftmaxBackward<T>>(
      frame.kernels.softmax_backward,
      {frame.n, frame.width(node.input()), frame.gradient[frame.at(node.output)],
       frame.value[frame.at(node.output)], dx, logarithm});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> softmax_rule() {
  return {true, keeps_nothing, forward<T, false>, backward<T, false>};
}

template <class T>
NodeRule<T> log_softmax_rule() {
  return {true, keeps_nothing, forward<T, true>, backward<T, true>};
}

FASTNN_RULE(softmax_rule)
FASTNN_RULE(log_softmax_rule)

}  // namespace fastnn
