// Loss and metrics of resident steps, summed up by the last warp of the block: each lane
// keeps totals of its own, also from run to run, so that sums do not depend on where runs end.
#pragma once

#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/resident.h"

namespace fastnn::FASTNN_TARGET {

FASTNN_DEVICE double* doubles(float* x) { return reinterpret_cast<double*>(x); }

FASTNN_DEVICE int largest_of(const float* x, int c) {
  int best = 0;
  for (int j = 1; j < c; ++j) best = x[j] > x[best] ? j : best;
  return best;
}

struct Counted {
  double value, weight;
};

// Of a row with targets: the mean of f(output, target) over those that are known or, for
// binary accuracy, their sum and number.
FASTNN_DEVICE Counted over_targets(MetricKind kind, double threshold, const float* output,
                                   const float* targets, int c) {
  Counted sum{0, 0};
  for (int j = 0; j < c; ++j) {
    const float target = targets[j];
    if (target != target) continue;
    const auto y = static_cast<double>(output[j]);
    const double error = y - static_cast<double>(target);
    if (kind == MetricKind::binary_accuracy) {
      sum.value += (y > threshold) == (target > 0.5F) ? 1 : 0;
    } else {
      sum.value += kind == MetricKind::mean_squared_error ? error * error : abs(error);
    }
    sum.weight += 1;
  }
  if (kind == MetricKind::binary_accuracy || sum.weight == 0) return sum;
  return {sum.value / sum.weight, 1};
}

class Sums {
 public:
  FASTNN_DEVICE Sums(const Thread& t, const Resident& a, float* shared)
      : t_(t),
        a_(a),
        shared_(shared),
        mine_(t.warp() == t.threads() / 32 - 1),
        plain_(a.loss != LossKind::sigmoid_cross_entropy && a.row_weights == nullptr && !a.ignores),
        full_scale_(static_cast<float>(1 / static_cast<double>(a.rows))),
        totals_(doubles(shared + a.totals.at) + static_cast<Index>(t.lane()) * 2 * a.items) {
    const double* const before = a.sums + t.lane() * 2 * a.items;
    for (int k = 0; k < 2 * a.items && mine_; ++k) totals_[k] = a.continues ? before[k] : 0;
  }

  // What the losses divide by, before the rows pass.
  FASTNN_DEVICE void weigh_rows(int batch, int n) {
    if (!mine_) return;
    if (plain_) {
      weight_ = static_cast<double>((n - t_.lane() + 31) / 32);
      total_ = static_cast<double>(n);
    } else {
      weight_ = 0;
      for (int r = t_.lane(); r < n; r += 32) weight_ += weight(batch, r);
      total_ = sum_of_warp(t_, weight_);
    }
    if (t_.lane() != 0) return;
    if (plain_ && n == a_.rows) {
      shared_[a_.scale.at] = full_scale_;
    } else {
      shared_[a_.scale.at] = total_ > 0 ? static_cast<float>(1 / total_) : 0.0F;
    }
  }

  FASTNN_DEVICE void add(int batch, int n) const {
    if (!mine_) return;
    totals_[0] += own_losses(n);
    totals_[1] += weight_;
    for (int k = 1; k < a_.items; ++k) {
      Counted sum{0, 0};
      for (int r = t_.lane(); r < n; r += 32) {
        const int weights = a_.metrics.weighted[k - 1] ? a_.batch.weights.at : a_.batch.present.at;
        const double weight = static_cast<double>(shared_[batch + weights + r]);
        if (weight == 0) continue;
        const Counted counted = over_row(k - 1, batch, r);
        sum.value += weight * counted.value;
        sum.weight += weight * counted.weight;
      }
      totals_[2 * k] += sum.value;
      totals_[2 * k + 1] += sum.weight;
    }
  }

  // The loss of this step was bad.
  FASTNN_DEVICE void stop(Index step, int n) const {
    if (!mine_) return;
    const double loss = sum_of_warp(t_, own_losses(n));
    if (t_.lane() == 0) *a_.progress = {step, loss / total_};
  }

  FASTNN_DEVICE void write() const {
    if (!mine_) return;
    double* const left = a_.sums + t_.lane() * 2 * a_.items;
    for (int k = 0; k < 2 * a_.items; ++k) left[k] = totals_[k];
  }

 private:
  FASTNN_DEVICE const float* targets(int batch, int r) const {
    return shared_ + batch + a_.batch.targets.at + r * a_.batch.targets.stride;
  }

  FASTNN_DEVICE double weight(int batch, int r) const {
    const auto weight = static_cast<double>(shared_[batch + a_.batch.weights.at + r]);
    if (a_.loss != LossKind::sigmoid_cross_entropy) return weight;
    const float* const target = targets(batch, r);
    int known = 0;
    for (int j = 0; j < a_.layer[a_.layers - 1].o; ++j) known += target[j] == target[j] ? 1 : 0;
    return weight * known;
  }

  FASTNN_DEVICE double own_losses(int n) const {
    double sum = 0;
    for (int r = t_.lane(); r < n; r += 32) sum += doubles(shared_ + a_.row_losses.at)[r];
    return sum;
  }

  FASTNN_DEVICE Counted over_row(int metric, int batch, int r) const {
    const int c = a_.layer[a_.layers - 1].o;
    const MetricKind kind = a_.metrics.kind[metric];
    const Resident::Place& place = a_.metrics.output[metric];
    const float* const output = shared_ + place.at + r * place.stride;
    if (kind == MetricKind::sparse_categorical_accuracy ||
        kind == MetricKind::categorical_accuracy) {
      const int label = a_.targets.data == nullptr
                            ? reinterpret_cast<int32_t*>(shared_ + batch + a_.batch.labels.at)[r]
                            : largest_of(targets(batch, r), c);
      return {largest_of(output, c) == label ? 1.0 : 0.0, 1};
    }
    return over_targets(kind, a_.metrics.value[metric], output, targets(batch, r), c);
  }

  const Thread& t_;
  const Resident& a_;
  float* shared_;
  bool mine_;
  bool plain_;  // the weights of all rows are 1
  float full_scale_;
  double* totals_;
  double weight_ = 0, total_ = 0;  // of this step: the lane's rows, all rows
};

}  // namespace fastnn::FASTNN_TARGET
