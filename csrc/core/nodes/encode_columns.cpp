// Columns of a table encoded (core/encoding.h). Parameters: fill, center, factor and edges, each or
// none. x has no gradient.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const auto encoded = static_cast<Index>(node.encodings.size());
  const int fill = node.parameters[0];
  frame.template call<EncodeColumns<T>>(
      frame.kernels.encode_columns,
      {frame.n, frame.width(node.input()), frame.width(node.output), encoded,
       fill == none ? 0 : frame.plan.parameters[frame.at(fill)].columns, static_cast<T>(node.bound),
       frame.value[frame.at(node.input())], frame.encodings[index], frame.parameter(fill),
       frame.parameter(node.parameters[1]), frame.parameter(node.parameters[2]),
       frame.parameter(node.parameters[3]), frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>&, std::size_t) {}

}  // namespace

template <class T>
NodeRule<T> encode_columns_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(encode_columns_rule)

}  // namespace fastnn
