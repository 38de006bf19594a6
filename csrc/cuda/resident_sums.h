// Loss and metrics of resident steps, summed up by the last warp of the block: each lane
// keeps totals of its own, also from run to run, so that sums do not depend on where runs end.
#pragma once

#include "core/loss.h"
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

class Sums {
 public:
  FASTNN_DEVICE Sums(const Thread& t, const Resident& a, float* shared)
      : t_(t),
        a_(a),
        shared_(shared),
        mine_(t.warp() == t.threads() / 32 - 1),
        plain_(!a.by_element && a.row_weights == nullptr && !a.ignores),
        totals_(doubles(shared + a.totals.at) + static_cast<Index>(t.lane()) * 2 * a.items) {
    const double* const before = a.sums + t.lane() * 2 * a.items;
    for (int k = 0; k < 2 * a.items && mine_; ++k) totals_[k] = a.continues ? before[k] : 0;
  }

  // What the rows weigh, and what gradients are multiplied by, before the rows pass.
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
    if (t_.lane() == 0) {
      shared_[a_.scale.at] = static_cast<float>(1 / (static_cast<double>(n) * a_.row_weight));
    }
  }

  FASTNN_DEVICE void add(int batch, int n, Index step) const {
    if (!mine_) return;
    totals_[0] += own_losses(n);
    totals_[1] += weight_;
    for (int k = 1; k < a_.items; ++k) {
      Counted sum{0, 0};
      for (int r = t_.lane(); r < n; r += 32) {
        const int weights = a_.metrics.weighted[k - 1] ? a_.batch.weights.at : a_.batch.present.at;
        const double weight = static_cast<double>(shared_[batch + weights + r]);
        if (weight == 0) continue;
        const Counted counted = over_row(k - 1, batch, r, step);
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
    if (!a_.by_element) return weight;
    const float* const target = targets(batch, r);
    const double* const own = element_weights_of(a_, shared_ + batch, r);
    double known = 0;
    for (int j = 0; j < a_.targets_of_row; ++j) {
      if (target[j] == target[j]) known += own != nullptr ? static_cast<float>(own[j]) : 1.0;
    }
    return weight * known;
  }

  FASTNN_DEVICE double own_losses(int n) const {
    double sum = 0;
    for (int r = t_.lane(); r < n; r += 32) sum += doubles(shared_ + a_.row_losses.at)[r];
    return sum;
  }

  // Those of a metric's targets. The numbers of rows in shared memory may be the next ones here.
  FASTNN_DEVICE const double* element_weights(int metric, int r, Index step) const {
    if (a_.element_weights == nullptr || !a_.metrics.weighted[metric]) return nullptr;
    const Index place = (a_.first + step) * a_.rows + r;
    const Index number = a_.order != nullptr ? a_.order[place] : place;
    return a_.element_weights + number * a_.targets_of_row;
  }

  FASTNN_DEVICE Counted over_row(int metric, int batch, int r, Index step) const {
    const int c = a_.layer[a_.layers - 1].o;
    const MetricKind kind = a_.metrics.kind[metric];
    const Resident::SharedBlock& place = a_.metrics.output[metric];
    const float* const output = shared_ + place.at + r * place.stride;
    if (kind == MetricKind::matches) {
      const int label = a_.targets.data == nullptr
                            ? reinterpret_cast<int32_t*>(shared_ + batch + a_.batch.labels.at)[r]
                            : largest_of(targets(batch, r), c);
      return {largest_of(output, c) == label ? 1.0 : 0.0, 1};
    }
    const float* const target = targets(batch, r);
    const double* const own = element_weights(metric, r, step);
    if (kind == MetricKind::mean_of) return mean_loss(metric, output, target, own, c);
    Counted sides{0, 0};
    for (int j = 0; j < c; ++j) {
      if (target[j] != target[j]) continue;
      const bool above = static_cast<double>(output[j]) > a_.metrics.value[metric];
      const double weight = own != nullptr ? static_cast<float>(own[j]) : 1.0;
      sides.value += above == (target[j] > 0.5F) ? weight : 0;
      sides.weight += weight;
    }
    return sides;
  }

  // A missing target never counts. (nvcc lets functions for the host as well be called with the
  // lambda of one such alone.)
  FASTNN_INLINE Counted mean_loss(int metric, const float* output, const float* target,
                                  const double* own, int c) const {
    Counted sum{0, 0};
    with_element_loss(a_.metrics.loss[metric], [&](auto kind) {
      using Row = decltype(kind);
      const typename Row::template Common<float> common(a_.metrics.options[metric]);
      for (int j = 0; j < c; ++j) {
        if (target[j] != target[j]) continue;
        const double weight = own != nullptr ? static_cast<float>(own[j]) : 1.0;
        if (weight == 0) continue;
        sum.value += weight * static_cast<double>(Row::at(common, output[j], target[j], 1.0F).loss);
        sum.weight += weight;
      }
    });
    return sum;
  }

  const Thread& t_;
  const Resident& a_;
  float* shared_;
  bool mine_;
  bool plain_;  // the weights of all rows are 1
  double* totals_;
  double weight_ = 0, total_ = 0;  // of this step: the lane's rows, all rows
};

}  // namespace fastnn::FASTNN_TARGET
