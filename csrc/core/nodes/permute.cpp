// The axes of rows in another order.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<PermuteColumns<T>>(
      frame.kernels.permute_columns,
      {frame.n, frame.width(node.output), node.axes, false, frame.value[frame.at(node.input())],
       frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr) return;
  frame.template call<PermuteColumns<T>>(frame.kernels.permute_columns,
                                         {frame.n, frame.width(node.output), node.axes, true,
                                          frame.gradient[frame.at(node.output)], dx});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> permute_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(permute_rule)

}  // namespace fastnn
