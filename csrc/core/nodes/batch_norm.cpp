// Batch normalization (core/column_norm.h): in training by the statistics of the batch, which the
// moving ones take in, elsewhere by the moving ones. Parameters: gamma or none, beta or none, the
// moving mean and the moving variance.
#include "core/layer_norm.h"
#include "core/nodes/rule.h"

namespace fastnn {
namespace {

// Three numbers a column: its mean, the rounding error of the mean, and one over the deviation.
Index kept_of_all(const Plan& plan, const Node& node) {
  return 3 * plan.tensors[static_cast<std::size_t>(node.output)].width;
}

template <class T>
bool takes_batch(const Frame<T>& frame, const Node& node) {
  return frame.pass.random && frame.plan.parameters[frame.at(node.parameters[2])].moves;
}

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const T epsilon = portable::layer_norm_epsilon<T>(node.epsilon);
  const T* const x = frame.value[frame.at(node.input())];
  const T* const gamma = frame.parameter(node.parameters[0]);
  const T* const beta = frame.parameter(node.parameters[1]);
  T* const mean = frame.parameter(node.parameters[2]);
  T* const variance = frame.parameter(node.parameters[3]);
  T* const y = frame.value[frame.at(node.output)];
  const Index c = frame.width(node.output);
  if (takes_batch(frame, node)) {
    const bool moves = frame.pass.moves;
    frame.template call<BatchNormForward<T>>(
        frame.kernels.batch_norm_forward,
        {frame.n, c, epsilon, static_cast<T>(node.momentum), x, gamma, beta, y, frame.kept[index],
         moves ? mean : nullptr, moves ? variance : nullptr});
  } else {
    frame.template call<NormalizeColumnsForward<T>>(
        frame.kernels.normalize_columns_forward,
        {frame.n, c, ColumnScaling::with_epsilon, epsilon, x, mean, variance, gamma, beta, y});
  }
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dgamma = frame.place(node.parameters[0]);
  T* const dbeta = frame.place(node.parameters[1]);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr && dgamma == nullptr && dbeta == nullptr) return;
  const T* const dy = frame.gradient[frame.at(node.output)];
  const T* const x = frame.value[frame.at(node.input())];
  const T* const gamma = frame.parameter(node.parameters[0]);
  const Index c = frame.width(node.output);
  const bool accumulates = frame.accumulates(node.parameters);
  if (takes_batch(frame, node)) {
    frame.template call<BatchNormBackward<T>>(
        frame.kernels.batch_norm_backward,
        {frame.n, c, dy, x, gamma, frame.kept[index], dx, dgamma, dbeta, accumulates});
  } else {
    frame.template call<NormalizeColumnsBackward<T>>(
        frame.kernels.normalize_columns_backward,
        {frame.n, c, ColumnScaling::with_epsilon, portable::layer_norm_epsilon<T>(node.epsilon), dy,
         x, frame.parameter(node.parameters[2]), frame.parameter(node.parameters[3]), gamma, dx,
         dgamma, dbeta, accumulates});
  }
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> batch_norm_rule() {
  return {false, keeps_nothing, forward<T>, backward<T>, kept_of_all};
}

FASTNN_RULE(batch_norm_rule)

}  // namespace fastnn
