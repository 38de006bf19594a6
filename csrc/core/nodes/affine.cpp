// y = scale x + offset, with two numbers for all columns.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<Affine<T>>(
      frame.kernels.affine,
      {frame.n * frame.width(node.input()), static_cast<T>(node.scale), static_cast<T>(node.offset),
       frame.value[frame.at(node.input())], frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr) return;
  frame.template call<Affine<T>>(
      frame.kernels.affine, {frame.n * frame.width(node.input()), static_cast<T>(node.scale), T(0),
                             frame.gradient[frame.at(node.output)], dx});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> affine_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(affine_rule)

}  // namespace fastnn
