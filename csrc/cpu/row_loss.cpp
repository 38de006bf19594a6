// Losses of whole rows with their gradients, by the formulas of core/losses_of_rows.h.
//
// All is done sixteen numbers at a time: short rows are transposed, a row to a lane (row_lanes.h);
// of a long row, lane k takes columns k, k + 16, ...
#include "core/losses_of_rows.h"

#include "core/loss.h"
#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/row_lanes.h"

namespace fastnn::FASTNN_TARGET {

static_assert(row_lanes == lanes);

inline constexpr Index cost_of_row_loss = 24;  // of an element: see for_row_groups

// Sums over the columns, by lane.
template <int count, class T>
struct LaneSums {
  alignas(64) T of[count < 1 ? 1 : count][lanes];

  LaneSums() {
    for (auto& sum : of) set(sum, T(0));
  }
  template <int size>
  FASTNN_INLINE void add(int lane, bool counts, const T (&terms)[size]) {
    for (int i = 0; i < count; ++i) of[i][lane] += counts ? terms[i] : T(0);
  }
  template <int size>
  FASTNN_INLINE void get(int lane, T (&out)[size]) const {
    for (int i = 0; i < size; ++i) out[i] = of[i][lane];
  }
  // The same for a row that all lanes share.
  template <int size>
  FASTNN_INLINE void join(T (&out)[size]) {
    for (int i = 0; i < size; ++i) out[i] = joined(of[i]);
  }
};

template <class Row>
inline constexpr int seconds_of = Row::seconds < 1 ? 1 : Row::seconds;

template <class T>
static FASTNN_INLINE T weight_at(const LossRows<T>& a, Index r) {
  return a.weights != nullptr ? a.weights[r] : T(1);
}

template <class T>
static FASTNN_INLINE T column_weight_at(const LossRows<T>& a, Index j) {
  return a.column_weights != nullptr ? a.column_weights[j] : T(1);
}

// -- short rows: a lane has a row -------------------------------------------

// Targets of the rows, or ones where their labels are.
template <class T>
static void targets_of_lanes(const LossRows<T>& a, Index begin, Index n, Index end,
                             RowLanes<T>& targets) {
  if (a.labels == nullptr) {
    to_row_lanes_apart(a.targets + begin * a.c, n, a.c, (end - begin) * a.c, targets);
    return;
  }
  alignas(64) Lanes<T> label{};
  for (Index r = 0; r < n; ++r) label[r] = static_cast<T>(a.labels[begin + r]);
  for (Index j = 0; j < a.c; ++j) {
    const T class_j = static_cast<T>(j);
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) targets.column[j][r] = label[r] == class_j ? T(1) : T(0);
  }
}

// Rows [begin, begin + n); those up to `end` are this task's.
template <class Row, class T>
static void loss_of_lanes(const LossRows<T>& a, Index begin, Index n, Index end,
                          Lanes<double>& total) {
  constexpr int sums = Row::sums;
  constexpr int seconds = seconds_of<Row>;
  const typename Row::template Common<T> common(a.options, static_cast<T>(a.c));
  RowLanes<T> outputs;
  RowLanes<T> targets;
  alignas(64) Lanes<T> top;
  if (a.gradient != nullptr) fetch_rows(a.gradient + begin * a.c, n, a.c);
  to_row_lanes_apart(a.outputs + begin * a.c, n, a.c, (end - begin) * a.c, outputs);
  targets_of_lanes(a, begin, n, end, targets);
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) {
    top[r] = Row::key(common, outputs.column[0][r], targets.column[0][r]);
  }
  for (Index j = 1; j < a.c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      top[r] = larger(Row::key(common, outputs.column[j][r], targets.column[j][r]), top[r]);
    }
  }
  LaneSums<sums, T> first;
  for (Index j = 0; j < a.c; ++j) {
    const T w = column_weight_at(a, j);
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      T terms[sums];
      Row::terms(common, top[r], outputs.column[j][r], targets.column[j][r], w, terms);
      first.add(r, true, terms);
    }
  }
  const auto numbers_of = [&](int r) {
    T found[sums];
    first.get(r, found);
    return typename Row::template Numbers<T>(common, top[r], found);
  };
  LaneSums<Row::seconds, T> second;
  if constexpr (Row::seconds > 0) {
    for (Index j = 0; j < a.c; ++j) {
      const T w = column_weight_at(a, j);
      FASTNN_LANES
      for (int r = 0; r < lanes; ++r) {
        T terms[seconds];
        Row::second_terms(common, numbers_of(r), outputs.column[j][r], targets.column[j][r], w,
                          terms);
        second.add(r, true, terms);
      }
    }
  }
  for (int r = 0; r < static_cast<int>(n); ++r) {
    T found[seconds];
    second.get(r, found);
    const T loss = Row::loss(common, numbers_of(r), found);
    total[r] += static_cast<double>(weigh(weight_at(a, begin + r), loss));
  }
  if (a.gradient == nullptr) return;
  alignas(64) Lanes<T> factor{};
  for (Index r = 0; r < n; ++r) factor[r] = a.scale * weight_at(a, begin + r);
  for (Index j = 0; j < a.c; ++j) {
    const T w = column_weight_at(a, j);
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      T found[seconds];
      second.get(r, found);
      const T gradient = Row::gradient(common, numbers_of(r), found, outputs.column[j][r],
                                       targets.column[j][r], w);
      outputs.column[j][r] = weigh(factor[r], gradient);
    }
  }
  from_row_lanes_apart(outputs, n, a.c, a.gradient + begin * a.c);
}

// -- long rows: a lane has some columns -------------------------------------

// f(k, z, t, column weight, counts) for lane k of a piece that begins at column j.
template <class T, class F>
static FASTNN_INLINE void for_columns(const LossRows<T>& a, Index r, const F& f) {
  const T* const z = a.outputs + r * a.c;
  const T* const t = a.labels == nullptr ? a.targets + r * a.c : nullptr;
  const Index label = a.labels != nullptr ? a.labels[r] : -1;
  for_lanes(a.c, [&](int k, Index j) {
    const T of_label = j == label ? T(1) : T(0);
    f(k, j, z[j], t != nullptr ? t[j] : of_label, column_weight_at(a, j));
  });
}

template <class Row, class T>
static double loss_of_row(const LossRows<T>& a, Index r) {
  constexpr int sums = Row::sums;
  constexpr int seconds = seconds_of<Row>;
  const T weight = weight_at(a, r);
  T* const gradient = a.gradient != nullptr ? a.gradient + r * a.c : nullptr;
  if (weight == T(0)) {
    for (Index j = 0; gradient != nullptr && j < a.c; ++j) gradient[j] = T(0);
    return 0;
  }
  const typename Row::template Common<T> common(a.options, static_cast<T>(a.c));
  alignas(64) Lanes<T> tops;
  set(tops, -static_cast<T>(__builtin_inff()));
  for_columns(
      a, r, [&](int k, Index, T z, T t, T) { tops[k] = larger(Row::key(common, z, t), tops[k]); });
  const T top = max_of(tops, lanes);
  LaneSums<sums, T> first;
  for_columns(a, r, [&](int k, Index, T z, T t, T w) {
    T terms[sums];
    Row::terms(common, top, z, t, w, terms);
    first.add(k, true, terms);
  });
  T found[sums];
  first.join(found);
  const typename Row::template Numbers<T> numbers(common, top, found);
  LaneSums<Row::seconds, T> second;
  if constexpr (Row::seconds > 0) {
    for_columns(a, r, [&](int k, Index, T z, T t, T w) {
      T terms[seconds];
      Row::second_terms(common, numbers, z, t, w, terms);
      second.add(k, true, terms);
    });
  }
  T found_then[seconds];
  second.join(found_then);
  const T factor = a.scale * weight;
  if (gradient != nullptr) {
    for_columns(a, r, [&](int, Index j, T z, T t, T w) {
      gradient[j] = weigh(factor, Row::gradient(common, numbers, found_then, z, t, w));
    });
  }
  return static_cast<double>(weight * Row::loss(common, numbers, found_then));
}

// -- the kernel -------------------------------------------------------------

template <class Row, class T>
static void losses_of_group(const LossRows<T>& a, Index group, Index begin, Index end) {
  double weight = static_cast<double>(end - begin);
  if (a.weights != nullptr) {
    weight = 0;
    for (Index r = begin; r < end; ++r) weight += static_cast<double>(a.weights[r]);
  }
  a.sums[2 * group + 1] = weight;
  if (a.c <= row_lanes_columns) {
    Lanes<double> total{};
    for (Index r = begin; r < end; r += row_lanes) {
      loss_of_lanes<Row>(a, r, least(row_lanes, end - r), end, total);
    }
    a.sums[2 * group] = joined(total);
    return;
  }
  double total = 0;
  for (Index r = begin; r < end; ++r) total += loss_of_row<Row>(a, r);
  a.sums[2 * group] = total;
}

template <class T>
Status row_loss(Context& context, const LossRows<T>& a) {
  with_reduced_loss(a.kind, [&](auto row) {
    using Row = decltype(row);
    for_row_groups(context, a.n, a.c * cost_of_row_loss,
                   [&](Index group, Index begin, Index end, int) {
                     losses_of_group<Row>(a, group, begin, end);
                   });
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(row_loss, LossRows)

}  // namespace fastnn::FASTNN_TARGET
