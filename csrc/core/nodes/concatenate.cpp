// Columns of several tensors, side by side.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  Index first = 0;
  for (const int input : node.inputs) {
    frame.template call<PutColumns<T>>(
        frame.kernels.put_columns,
        {frame.n, frame.width(node.output), first, frame.width(input), Put::among_others,
         frame.value[frame.at(input)], frame.value[frame.at(node.output)]});
    first += frame.width(input);
  }
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  Index first = 0;
  for (const int input : node.inputs) {
    const Index width = frame.width(input);
    if (T* const dx = frame.begin_gradient(input); dx != nullptr) {
      frame.template call<TakeColumns<T>>(frame.kernels.take_columns,
                                          {frame.n, frame.width(node.output), first, width,
                                           frame.gradient[frame.at(node.output)], dx});
      frame.end_gradient(input);
    }
    first += width;
  }
}

}  // namespace

template <class T>
NodeRule<T> concatenate_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(concatenate_rule)

}  // namespace fastnn
