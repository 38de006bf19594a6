// Columns first .. first + width of the output, of a tensor.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<TakeColumns<T>>(
      frame.kernels.take_columns,
      {frame.n, frame.width(node.input()), node.first, frame.width(node.output),
       frame.value[frame.at(node.input())], frame.value[frame.at(node.output)]});
}

// Adds to its own columns of a gradient that is there already: a tensor may have many slices.
template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const std::size_t input = frame.at(node.input());
  T* const dx = frame.gradient[input];
  if (dx == nullptr) return;
  frame.template call<PutColumns<T>>(
      frame.kernels.put_columns,
      {frame.n, frame.width(node.input()), node.first, frame.width(node.output),
       frame.has_gradient[input] ? Put::added : Put::among_zeros,
       frame.gradient[frame.at(node.output)], dx});
  frame.has_gradient[input] = true;
}

}  // namespace

template <class T>
NodeRule<T> slice_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(slice_rule)

}  // namespace fastnn
