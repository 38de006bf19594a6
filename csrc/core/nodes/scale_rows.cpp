// Rows scaled by their own length (core/scale_rows.h). Parameter: gamma or none.
#include "core/layer_norm.h"
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

Index kept(const Plan&, const Node&) { return 1; }  // one over the length

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  frame.template call<ScaleRowsForward<T>>(
      frame.kernels.scale_rows_forward,
      {frame.n, frame.width(node.output), node.length,
       portable::layer_norm_epsilon<T>(node.epsilon), frame.value[frame.at(node.input())],
       frame.parameter(node.parameters[0]), frame.value[frame.at(node.output)], frame.kept[index]});
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dgamma = frame.place(node.parameters[0]);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr && dgamma == nullptr) return;
  frame.template call<ScaleRowsBackward<T>>(
      frame.kernels.scale_rows_backward,
      {frame.n, frame.width(node.output), node.length,
       portable::layer_norm_epsilon<T>(node.epsilon), frame.gradient[frame.at(node.output)],
       frame.value[frame.at(node.input())], frame.parameter(node.parameters[0]), frame.kept[index],
       dx, dgamma, frame.accumulates(node.parameters)});
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> scale_rows_rule() {
  return {true, kept, forward<T>, backward<T>};
}

FASTNN_RULE(scale_rows_rule)

}  // namespace fastnn
