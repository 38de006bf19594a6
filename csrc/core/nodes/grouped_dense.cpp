// Dense layers side by side, each for a group of columns. Parameters: kernel (columns, outputs of a
// group), bias (all outputs) or none.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const Index groups = node.groups;
  frame.template call<GroupedDenseForward<T>>(
      frame.kernels.grouped_dense_forward,
      {frame.n, groups, frame.width(node.input()) / groups, frame.width(node.output) / groups,
       frame.value[frame.at(node.input())], frame.parameter(node.kernel()),
       frame.parameter(node.bias()), frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const Index groups = node.groups;
  T* const dx = frame.begin_gradient(node.input());
  frame.template call<GroupedDenseBackward<T>>(
      frame.kernels.grouped_dense_backward,
      {frame.n, groups, frame.width(node.input()) / groups, frame.width(node.output) / groups,
       frame.gradient[frame.at(node.output)], frame.value[frame.at(node.input())],
       frame.parameter(node.kernel()), dx, frame.place(node.kernel()), frame.place(node.bias()),
       frame.accumulates(node.parameters)});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> grouped_dense_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(grouped_dense_rule)

}  // namespace fastnn
