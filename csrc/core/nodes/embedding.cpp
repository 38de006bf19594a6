// Embedding: each column of x is the number of a row of the table, and becomes that row. Parameter:
// the table (vocabulary, dimension). x has no gradient.
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const Parameter& table = frame.plan.parameters[frame.at(node.parameters[0])];
  frame.template call<EmbeddingForward<T>>(
      frame.kernels.embedding_forward,
      {frame.n, frame.width(node.input()), table.rows, table.columns,
       frame.value[frame.at(node.input())], frame.parameter(node.parameters[0]),
       frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dtable = frame.place(node.parameters[0]);
  if (dtable == nullptr) return;
  const Parameter& table = frame.plan.parameters[frame.at(node.parameters[0])];
  frame.template call<EmbeddingBackward<T>>(
      frame.kernels.embedding_backward,
      {frame.n, frame.width(node.input()), table.rows, table.columns,
       frame.gradient[frame.at(node.output)], frame.value[frame.at(node.input())], dtable,
       frame.accumulates(node.parameters)});
}

}  // namespace

template <class T>
NodeRule<T> embedding_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(embedding_rule)

}  // namespace fastnn
