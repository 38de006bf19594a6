// Categories: which numbers below the width of the output a row names, or how often. Its input has
// no gradient.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<CountCategories<T>>(
      frame.kernels.count_categories,
      {frame.n, frame.width(node.input()), frame.width(node.output), node.counts,
       frame.value[frame.at(node.input())], frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>&, std::size_t) {}

}  // namespace

template <class T>
NodeRule<T> categories_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(categories_rule)

}  // namespace fastnn
