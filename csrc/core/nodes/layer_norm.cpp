// Layer normalization: y = gamma (x - mean) / sqrt(variance + epsilon) + beta, with the mean and
// variance of each row. Parameters: gamma or none, beta or none.
#include "core/layer_norm.h"
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

// Two numbers for each group of a row: its mean, and one over its deviation.
Index kept(const Plan&, const Node& node) { return 2 * node.groups; }

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<LayerNormForward<T>>(
      frame.kernels.layer_norm_forward,
      {frame.n * node.groups, frame.width(node.output) / node.groups,
       portable::layer_norm_epsilon<T>(node.epsilon), frame.value[frame.at(node.input())],
       frame.parameter(node.parameters[0]), frame.parameter(node.parameters[1]),
       frame.value[frame.at(node.output)], frame.kept[index]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dgamma = frame.place(node.parameters[0]);
  T* const dbeta = frame.place(node.parameters[1]);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr && dgamma == nullptr && dbeta == nullptr) return;
  frame.template call<LayerNormBackward<T>>(
      frame.kernels.layer_norm_backward,
      {frame.n * node.groups, frame.width(node.output) / node.groups,
       frame.gradient[frame.at(node.output)], frame.value[frame.at(node.input())],
       frame.parameter(node.parameters[0]), frame.kept[index], dx, dgamma, dbeta,
       frame.accumulates(node.parameters)});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> layer_norm_rule() {
  return {true, kept, forward<T>, backward<T>};
}

FASTNN_RULE(layer_norm_rule)

}  // namespace fastnn
