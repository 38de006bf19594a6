// Columns normalized by statistics that are given (core/column_norm.h). Parameters: mean, variance,
// gamma and beta, each or none.
#include "core/layer_norm.h"
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<NormalizeColumnsForward<T>>(
      frame.kernels.normalize_columns_forward,
      {frame.n, frame.width(node.output), node.scaling,
       portable::layer_norm_epsilon<T>(node.epsilon), frame.value[frame.at(node.input())],
       frame.parameter(node.parameters[0]), frame.parameter(node.parameters[1]),
       frame.parameter(node.parameters[2]), frame.parameter(node.parameters[3]),
       frame.value[frame.at(node.output)]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dgamma = frame.place(node.parameters[2]);
  T* const dbeta = frame.place(node.parameters[3]);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr && dgamma == nullptr && dbeta == nullptr) return;
  frame.template call<NormalizeColumnsBackward<T>>(
      frame.kernels.normalize_columns_backward,
      {frame.n, frame.width(node.output), node.scaling,
       portable::layer_norm_epsilon<T>(node.epsilon), frame.gradient[frame.at(node.output)],
       frame.value[frame.at(node.input())], frame.parameter(node.parameters[0]),
       frame.parameter(node.parameters[1]), frame.parameter(node.parameters[2]), dx, dgamma, dbeta,
       frame.accumulates(node.parameters)});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> normalize_columns_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(normalize_columns_rule)

}  // namespace fastnn
