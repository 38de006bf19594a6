// What is counted besides the loss. Cross-entropies as metrics are the losses
// without their gradients.
#include "core/loss.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/row_lanes.h"

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

// Of the elements of a row whose target is known, those on the right side. Counted
// without branches, which would be guessed wrong as often as the network is.
template <class T>
static Counted sides(const MetricRows<T>& a, Index r) {
  Index met = 0;
  Index known = 0;
  for (Index j = r * a.c; j < (r + 1) * a.c; ++j) {
    const T t = a.targets[j];
    const int above = static_cast<double>(a.output[j]) > a.value ? 1 : 0;
    const int on = t > T(0.5) ? 1 : 0;
    const int here = t == t ? 1 : 0;
    met += here & ~(above ^ on) & 1;
    known += here;
  }
  return {static_cast<double>(met), static_cast<double>(known)};
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
      return sides(a, r);
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

// The class of each of 16 short rows, laid abreast; as index_of_largest.
template <class T>
static void largest_row_lanes(const T* x, Index n, Index c, Index readable, T (&at)[row_lanes]) {
  RowLanes<T> tile;
  alignas(64) T top[row_lanes];
  to_row_lanes(x, n, c, readable, tile);
  FASTNN_LANES
  for (int r = 0; r < row_lanes; ++r) {
    top[r] = tile.column[0][r];
    at[r] = T(0);
  }
  for (Index j = 1; j < c; ++j) {
    const T class_j = static_cast<T>(j);
    FASTNN_LANES
    for (int r = 0; r < row_lanes; ++r) {
      const T z = tile.column[j][r];
      at[r] = z > top[r] ? class_j : at[r];
      top[r] = z > top[r] ? z : top[r];
    }
  }
}

// Whether the largest output is that of the class, of the rows from begin on.
template <class T>
static void hits_row_lanes(const MetricRows<T>& a, Index begin, Index n, Index end,
                           bool (&hit)[row_lanes]) {
  const Index readable = (end - begin) * a.c;
  alignas(64) T at[row_lanes];
  alignas(64) T own[row_lanes];
  largest_row_lanes(a.output + begin * a.c, n, a.c, readable, at);
  if (a.labels != nullptr) {
    for (Index r = 0; r < n; ++r) own[r] = static_cast<T>(a.labels[begin + r]);
  } else {
    largest_row_lanes(a.targets + begin * a.c, n, a.c, readable, own);
  }
  for (Index r = 0; r < n; ++r) hit[r] = at[r] == own[r];
}

template <class T>
static Counted accuracy_row_lanes(const MetricRows<T>& a, Index begin, Index end) {
  Counted total{0, 0};
  for (Index first = begin; first < end; first += row_lanes) {
    const Index n = least(row_lanes, end - first);
    bool hit[row_lanes];
    hits_row_lanes(a, first, n, end, hit);
    for (Index r = 0; r < n; ++r) {
      const double weight = a.weights != nullptr ? static_cast<double>(a.weights[first + r]) : 1.0;
      total.value += hit[r] ? weight : 0.0;
      total.weight += weight;
    }
  }
  return total;
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
  const bool of_classes = a.kind == MetricKind::sparse_categorical_accuracy ||
                          a.kind == MetricKind::categorical_accuracy;
  for_row_groups(context, a.n, a.c * 2, [&](Index group, Index begin, Index end, int) {
    Counted total{0, 0};
    if (of_classes && a.c <= row_lanes_columns) {
      total = accuracy_row_lanes(a, begin, end);
      begin = end;
    }
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
