// y = a + b: where branches of a network join.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<Add<T>>(
      frame.kernels.add,
      {frame.n * frame.width(node.output), frame.value[frame.at(node.inputs[0])],
       frame.value[frame.at(node.inputs[1])], frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  for (const int input : node.inputs) {
    T* const dx = frame.begin_gradient(input);
    if (dx == nullptr) continue;
    frame.template call<Affine<T>>(
        frame.kernels.affine,
        {frame.n * frame.width(input), T(1), T(0), frame.gradient[frame.at(node.output)], dx});
    frame.end_gradient(input);
  }
}

}  // namespace

template <class T>
NodeRule<T> add_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(add_rule)

}  // namespace fastnn
