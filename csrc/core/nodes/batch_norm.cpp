// Batch normalization (core/column_norm.h): in training by the statistics of the batch, which the
// moving ones take in, elsewhere by the moving ones. Parameters: gamma or none, beta or none, the
// moving mean and the moving variance. Where a batch has rows of several ranks, its statistics are
// those of all of them.
#include <cmath>
#include <vector>

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

// -- over ranks, on a CPU ----------------------------------------------------

// Mean and variance of each column, as one rank or all of them have them.
struct Moments {
  std::vector<double> mean, variance;
};

// Those of this rank's rows: the kernel's moving statistics, moved all the way.
template <class T>
Moments own_moments(Frame<T>& frame, const Node& node, const T* x, T* y, T* statistics) {
  const auto c = static_cast<std::size_t>(frame.width(node.output));
  Moments own{std::vector<double>(c), std::vector<double>(c)};
  if (frame.n == 0) return own;
  std::vector<T> moving(2 * c);
  frame.template call<BatchNormForward<T>>(
      frame.kernels.batch_norm_forward, {frame.n, static_cast<Index>(c), T(1), T(0), x, nullptr,
                                         nullptr, y, statistics, moving.data(), moving.data() + c});
  for (std::size_t j = 0; j < c; ++j) {
    own.mean[j] = static_cast<double>(statistics[j]) + static_cast<double>(statistics[c + j]);
    own.variance[j] = static_cast<double>(moving[c + j]);
  }
  return own;
}

// Those of all ranks' rows, from means and sums of squares about them: Chan, Golub and LeVeque,
// Algorithms for computing the sample variance (1983), formula 1.5, in the order of ranks.
template <class T>
Moments joint_moments(Frame<T>& frame, const Moments& own) {
  Exchange& exchange = *frame.pass.exchange;
  const std::size_t c = own.mean.size();
  const std::size_t width = 1 + 2 * c;
  std::vector<double> mine(width);
  mine[0] = static_cast<double>(frame.n);
  for (std::size_t j = 0; j < c; ++j) {
    mine[1 + j] = own.mean[j];
    mine[1 + c + j] = own.variance[j];
  }
  const auto ranks = static_cast<std::size_t>(exchange.size());
  std::vector<double> all(width * ranks);
  exchange.gather(mine, all);
  Moments joint{std::vector<double>(c), std::vector<double>(c)};
  double rows = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    const double* const of = all.data() + r * width;
    if (of[0] == 0) continue;
    const double before = rows;
    rows += of[0];
    for (std::size_t j = 0; j < c; ++j) {
      const double apart = of[1 + j] - joint.mean[j];
      joint.mean[j] += before == 0 ? apart : apart * (of[0] / rows);
      joint.variance[j] += of[0] * (of[1 + c + j] + (apart * (before / rows)) * apart);
    }
  }
  for (double& variance : joint.variance) variance /= rows;
  return joint;
}

template <class T>
void forward_over_ranks(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const T epsilon = portable::layer_norm_epsilon<T>(node.epsilon);
  const T* const x = frame.value[frame.at(node.input())];
  const T* const gamma = frame.parameter(node.parameters[0]);
  const T* const beta = frame.parameter(node.parameters[1]);
  T* const moving_mean = frame.parameter(node.parameters[2]);
  T* const moving_variance = frame.parameter(node.parameters[3]);
  T* const y = frame.value[frame.at(node.output)];
  T* const statistics = frame.kept[index];
  const auto c = static_cast<std::size_t>(frame.width(node.output));
  const Moments all = joint_moments(frame, own_moments(frame, node, x, y, statistics));
  std::vector<T> mean(c);
  std::vector<T> variance(c);
  std::vector<T> offset(c);
  const T momentum = static_cast<T>(node.momentum);
  for (std::size_t j = 0; j < c; ++j) {
    mean[j] = static_cast<T>(all.mean[j]);
    variance[j] = static_cast<T>(all.variance[j]);
    const T residue = static_cast<T>(all.mean[j] - static_cast<double>(mean[j]));
    const T inverse = T(1) / std::sqrt(variance[j] + epsilon);
    const T factor = inverse * (gamma != nullptr ? gamma[j] : T(1));
    offset[j] = (beta != nullptr ? beta[j] : T(0)) - residue * factor;
    statistics[j] = mean[j];
    statistics[c + j] = residue;
    statistics[2 * c + j] = inverse;
    if (!frame.pass.moves) continue;
    moving_mean[j] = momentum * moving_mean[j] + (T(1) - momentum) * (mean[j] + residue);
    moving_variance[j] = momentum * moving_variance[j] + (T(1) - momentum) * variance[j];
  }
  if (frame.n == 0) return;
  frame.template call<NormalizeColumnsForward<T>>(
      frame.kernels.normalize_columns_forward,
      {frame.n, static_cast<Index>(c), ColumnScaling::with_epsilon, epsilon, x, mean.data(),
       variance.data(), gamma, offset.data(), y});
}

// dx = factor dy - factor (mean(dy) + xhat mean(dy xhat)), of which the first product is made in
// dx, and the second in the place of y, which nothing reads any more.
template <class T>
void dx_over_ranks(Frame<T>& frame, const Node& node, const T* statistics,
                   const std::vector<double>& means, T* dx) {
  const auto c = static_cast<std::size_t>(frame.width(node.output));
  const T* const gamma = frame.parameter(node.parameters[0]);
  std::vector<T> zeros(c);
  std::vector<T> factor(c);
  std::vector<T> slope(c);
  std::vector<T> offset(c);
  for (std::size_t j = 0; j < c; ++j) {
    const T inverse = statistics[2 * c + j];
    factor[j] = inverse * (gamma != nullptr ? gamma[j] : T(1));
    slope[j] = -factor[j] * static_cast<T>(means[j]) * inverse;
    offset[j] = -factor[j] * static_cast<T>(means[c + j]) - slope[j] * statistics[c + j];
  }
  T* const rest = frame.value[frame.at(node.output)];
  const T* const dy = frame.gradient[frame.at(node.output)];
  const auto map = [&](const T* from, const T* mean, const std::vector<T>& by,
                       const std::vector<T>& plus, T* to) {
    frame.template call<NormalizeColumnsForward<T>>(
        frame.kernels.normalize_columns_forward,
        {frame.n, static_cast<Index>(c), ColumnScaling::at_least_epsilon, T(0), from, mean, nullptr,
         by.data(), plus.data(), to});
  };
  map(frame.value[frame.at(node.input())], statistics, slope, offset, rest);
  map(dy, nullptr, factor, zeros, dx);
  frame.template call<Add<T>>(frame.kernels.add, {frame.n * static_cast<Index>(c), dx, rest, dx});
}

template <class T>
void backward_over_ranks(Frame<T>& frame, std::size_t index, T* dx, T* dgamma, T* dbeta) {
  const Node& node = frame.node(index);
  const auto c = static_cast<std::size_t>(frame.width(node.output));
  const T* const statistics = frame.kept[index];
  const bool accumulates = frame.accumulates(node.parameters);
  std::vector<T> own(2 * c);  // sums of dy xhat, then of dy
  if (frame.n > 0) {
    frame.template call<BatchNormBackward<T>>(
        frame.kernels.batch_norm_backward,
        {frame.n, static_cast<Index>(c), frame.gradient[frame.at(node.output)],
         frame.value[frame.at(node.input())], nullptr, statistics, nullptr, own.data(),
         own.data() + c, false});
  }
  const auto put = [&](const T* from, T* to) {
    for (std::size_t j = 0; to != nullptr && j < c; ++j)
      to[j] = from[j] + (accumulates ? to[j] : T(0));
  };
  put(own.data(), dgamma);
  put(own.data() + c, dbeta);
  if (dx == nullptr) return;
  std::vector<double> means(own.begin(), own.end());
  frame.pass.exchange->sum(means);
  for (double& mean : means) mean /= static_cast<double>(frame.pass.batch);
  if (frame.n > 0) dx_over_ranks(frame, node, statistics, means, dx);
}

// -- the rule ----------------------------------------------------------------

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
  if (takes_batch(frame, node) && frame.pass.exchange != nullptr) {
    forward_over_ranks(frame, index);
  } else if (takes_batch(frame, node)) {
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
  if (takes_batch(frame, node) && frame.pass.exchange != nullptr) {
    backward_over_ranks(frame, index, dx, dgamma, dbeta);
    frame.end_gradient(node.input());
    return;
  }
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
