// Counts for metrics (core/metric.h), by row group.
#include "core/metric.h"

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

template <class T>
static double weight_of(const MetricRows<T>& a, Index r) {
  return a.weights != nullptr && !a.weighs_elements ? static_cast<double>(a.weights[r]) : 1.0;
}

// Elements of a row on the right side, and those whose target is known. There are no branches: they
// would be mispredicted as often as the network is wrong.
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

// The same where elements have weights.
template <class T>
static Counted weighed_sides(const MetricRows<T>& a, Index r) {
  Counted counted{0, 0};
  for (Index j = r * a.c; j < (r + 1) * a.c; ++j) {
    const T t = a.targets[j];
    if (t != t) continue;
    const auto weight = static_cast<double>(a.weights[j]);
    const bool above = static_cast<double>(a.output[j]) > a.value;
    counted.value += above == (t > T(0.5)) ? weight : 0;
    counted.weight += weight;
  }
  return counted;
}

// Whether all elements of a row whose target is known are on the right side. NaN is on none.
template <class T>
static Counted exact(const MetricRows<T>& a, Index r) {
  Index wrong = 0;
  Index known = 0;
  for (Index j = r * a.c; j < (r + 1) * a.c; ++j) {
    const T t = a.targets[j];
    const T y = a.output[j];
    const int above = static_cast<double>(y) > a.value ? 1 : 0;
    const int on = t > T(0.5) ? 1 : 0;
    const int here = t == t ? 1 : 0;
    const int number = y == y ? 1 : 0;
    wrong += here & ((above ^ on) | (number ^ 1));
    known += here;
  }
  return {known > 0 && wrong == 0 ? 1.0 : 0.0, known > 0 ? 1.0 : 0.0};
}

// A row's counts of two numbers.
template <class T>
static Counted over_row(const MetricRows<T>& a, Index r) {
  const T* const output = a.output + r * a.c;
  if (a.kind == MetricKind::matches) {
    return {index_of_largest(output, a.c) == true_class(a, r) ? 1.0 : 0.0, 1};
  }
  if (a.kind == MetricKind::hits) {
    const T own = output[true_class(a, r)];
    Index above = 0;
    for (Index j = 0; j < a.c; ++j) above += output[j] > own ? 1 : 0;
    return {own == own && static_cast<double>(above) < a.value ? 1.0 : 0.0, 1};
  }
  if (a.kind == MetricKind::exact) return exact(a, r);
  return a.weighs_elements ? weighed_sides(a, r) : sides(a, r);
}

// Where the last of the `top` largest outputs of a row is; of equal ones the first is the larger.
template <class T>
static Index index_of_last(const T* x, Index n, Index top) {
  Index last = index_of_largest(x, n);
  for (Index found = 1; found < top; ++found) {
    Index next = -1;
    for (Index j = 0; j < n; ++j) {
      const bool below = x[j] < x[last] || (x[j] == x[last] && j > last);
      if (below && (next < 0 || x[j] > x[next])) next = j;
    }
    if (next < 0) break;  // the rest is NaN
    last = next;
  }
  return last;
}

template <class T>
static void add_confusion(const MetricRows<T>& a, Index r, double weight, double* sums) {
  const T* const output = a.output + r * a.c;
  const Index last = a.top > 0 ? index_of_last(output, a.c, a.top) : 0;
  const Index label = a.classes ? true_class(a, r) : 0;
  for (Index j = 0; j < a.c; ++j) {
    bool on = label == j;
    if (!a.classes) {
      const T t = a.targets[r * a.c + j];
      if (t != t) continue;
      on = t > T(0.5);
    }
    const bool among = a.top == 0 || output[j] > output[last] ||
                       (output[j] == output[last] && j < last) || j == last;
    for (Index k = j; k < a.sets * a.c; k += a.c) {
      const bool above =
          among && (a.thresholds == nullptr || static_cast<double>(output[j]) > a.thresholds[k]);
      sums[k * counts_of_confusion + (above ? 0 : 2) + (on ? 0 : 1)] += weight;
    }
  }
}

template <class T>
static void add_moments(const MetricRows<T>& a, Index r, double weight, double* sums) {
  for (Index j = 0; j < a.c; ++j) {
    const auto t = static_cast<double>(a.targets[r * a.c + j]);
    const auto y = static_cast<double>(a.output[r * a.c + j]);
    if (t != t) continue;
    double* const to = sums + j * counts_of_moments;
    to[0] += weight;
    to[1] += weight * t;
    to[2] += weight * t * t;
    to[3] += weight * y;
    to[4] += weight * y * y;
    to[5] += weight * t * y;
    to[6] += weight * (t - y) * (t - y);
  }
}

template <class T>
static void add_columns(const MetricRows<T>& a, Index begin, Index end, double* sums) {
  for (Index k = 0; k < metric_width(a.kind, a.c, a.sets); ++k) sums[k] = 0;
  for (Index r = begin; r < end; ++r) {
    const double weight = weight_of(a, r);
    if (weight == 0) continue;
    if (a.kind == MetricKind::confusion) {
      add_confusion(a, r, weight, sums);
    } else {
      add_moments(a, r, weight, sums);
    }
  }
}

// The class of each of 16 short rows, a row to a lane; as index_of_largest.
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
Status metric_rows(Context& context, const MetricRows<T>& a) {
  const Index width = metric_width(a.kind, a.c, a.sets);
  for_row_groups(context, a.n, a.c * 2, [&](Index group, Index begin, Index end, int) {
    double* const sums = a.sums + group * width;
    if (a.kind == MetricKind::confusion || a.kind == MetricKind::moments) {
      add_columns(a, begin, end, sums);
      return;
    }
    Counted total{0, 0};
    if (a.kind == MetricKind::matches && a.c <= row_lanes_columns) {
      total = accuracy_row_lanes(a, begin, end);
      begin = end;
    }
    for (Index r = begin; r < end; ++r) {
      const double weight = weight_of(a, r);
      if (weight == 0) continue;
      const Counted counted = over_row(a, r);
      total.value += weight * counted.value;
      total.weight += weight * counted.weight;
    }
    sums[0] = total.value;
    sums[1] = total.weight;
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(metric_rows, MetricRows)

}  // namespace fastnn::FASTNN_TARGET
