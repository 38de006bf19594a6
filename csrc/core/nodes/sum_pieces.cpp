// The sum of the pieces of a row that lie side by side: what `repeat` does, the other way round.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
Index pieces(const Frame<T>& frame, const Node& node) {
  return frame.width(node.input()) / frame.width(node.output);
}

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<SumRepeated<T>>(
      frame.kernels.sum_repeated,
      {frame.n, frame.width(node.output), pieces(frame, node), frame.value[frame.at(node.input())],
       frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr) return;
  frame.template call<RepeatColumns<T>>(frame.kernels.repeat_columns,
                                        {frame.n, frame.width(node.output), pieces(frame, node),
                                         frame.gradient[frame.at(node.output)], dx});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> sum_pieces_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(sum_pieces_rule)

}  // namespace fastnn
