// What is counted besides the loss. Cross-entropies as metrics are the losses of
// loss.cpp without their gradients.
#include "core/loss.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

struct Counted {
  double value, weight;
};

template <class T>
static Index index_of_largest(const T* x, Index n) {
  Index best = 0;
  for (Index j = 1; j < n; ++j) best = x[j] > x[best] ? j : best;
  return best;
}

template <class T>
static Index true_class(const MetricRows<T>& a, Index r) {
  return a.labels != nullptr ? a.labels[r] : index_of_largest(a.targets + r * a.c, a.c);
}

// Elements of a row whose target is known and met by f(output, target).
template <class T, class F>
static Counted over_elements(const MetricRows<T>& a, Index r, const F& f) {
  Counted counted{0, 0};
  for (Index j = r * a.c; j < (r + 1) * a.c; ++j) {
    if (a.targets[j] != a.targets[j]) continue;
    counted.value += f(static_cast<double>(a.output[j]), static_cast<double>(a.targets[j]));
    counted.weight += 1;
  }
  return counted;
}

template <class T>
static Counted over_row(const MetricRows<T>& a, Index r) {
  const T* const output = a.output + r * a.c;
  switch (a.kind) {
    case MetricKind::sparse_categorical_accuracy:
    case MetricKind::categorical_accuracy:
      return {index_of_largest(output, a.c) == true_class(a, r) ? 1.0 : 0.0, 1};
    case MetricKind::top_k_categorical_accuracy: {
      const T own = output[true_class(a, r)];
      Index above = 0;
      for (Index j = 0; j < a.c; ++j) above += output[j] > own ? 1 : 0;
      return {own == own && static_cast<double>(above) < a.value ? 1.0 : 0.0, 1};
    }
    case MetricKind::binary_accuracy:
      return over_elements(
          a, r, [&](double y, double t) { return (y > a.value) == (t > 0.5) ? 1.0 : 0.0; });
    case MetricKind::mean_squared_error:
    case MetricKind::mean_absolute_error: {
      const bool squared = a.kind == MetricKind::mean_squared_error;
      const Counted sum = over_elements(
          a, r, [&](double y, double t) { return squared ? (y - t) * (y - t) : abs(y - t); });
      return sum.weight > 0 ? Counted{sum.value / sum.weight, 1} : Counted{0, 0};
    }
    case MetricKind::softmax_cross_entropy:
    case MetricKind::sigmoid_cross_entropy:
      break;
  }
  return {0, 0};
}

template <class T>
static Status cross_entropy(Context& context, const MetricRows<T>& a,
                            double (&losses)[max_groups]) {
  if (a.kind == MetricKind::softmax_cross_entropy) {
    return softmax_cross_entropy<T>(context, {.n = a.n,
                                              .c = a.c,
                                              .logits = a.output,
                                              .labels = a.labels,
                                              .targets = a.targets,
                                              .weights = a.weights,
                                              .scale = T(0),
                                              .label_smoothing = T(0),
                                              .sums = losses,
                                              .dlogits = nullptr});
  }
  return sigmoid_cross_entropy<T>(context, {.n = a.n,
                                            .c = a.c,
                                            .logits = a.output,
                                            .targets = a.targets,
                                            .weights = a.weights,
                                            .pos_weight = nullptr,
                                            .scale = T(0),
                                            .label_smoothing = T(0),
                                            .sums = losses,
                                            .dlogits = nullptr});
}

template <class T>
Status metric_rows(Context& context, const MetricRows<T>& a) {
  const bool softmax = a.kind == MetricKind::softmax_cross_entropy;
  if (softmax || a.kind == MetricKind::sigmoid_cross_entropy) {
    double losses[max_groups];
    double weights[max_groups];
    Status status = cross_entropy(context, a, losses);
    if (status != Status::ok) return status;
    status = weight_sum<T>(context, {.n = a.n,
                                     .c = a.c,
                                     .targets = softmax ? nullptr : a.targets,
                                     .weights = a.weights,
                                     .sums = weights});
    for (Index group = 0; group < row_groups(a.n).count; ++group) {
      a.sums[2 * group] = losses[group];
      a.sums[2 * group + 1] = weights[group];
    }
    return status;
  }
  for_row_groups(context, a.n, a.c * 2, [&](Index group, Index begin, Index end, int) {
    Counted total{0, 0};
    for (Index r = begin; r < end; ++r) {
      const double weight = a.weights != nullptr ? static_cast<double>(a.weights[r]) : 1.0;
      if (weight == 0) continue;
      const Counted counted = over_row(a, r);
      total.value += weight * counted.value;
      total.weight += weight * counted.weight;
    }
    a.sums[2 * group] = total.value;
    a.sums[2 * group + 1] = total.weight;
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(metric_rows, MetricRows)

}  // namespace fastnn::FASTNN_TARGET
