// What networks side by side (lane_kernels.h) do besides products and softmax: rows brought into
// lanes, sums over rows, losses of elements, counts of metrics, steps of optimizers.
#include "core/loss.h"
#include "core/math.h"
#include "cpu/context.h"
#include "cpu/lane_kernels.h"
#include "cpu/loops.h"
#include "cpu/row_lanes.h"

namespace fastnn::FASTNN_TARGET {

static_assert(net_lanes == lanes && net_lanes == row_lanes);

template <class T>
static void row_sum(const LaneRowSum<T>& a) {
  const Index width = a.c * net_lanes;
  T* __restrict__ const out = a.out;
  for (Index e = 0; e < width; e += net_lanes) {
    alignas(64) Lanes<T> sum;
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) sum[k] = a.x[e + k];
    for (Index r = 1; r < a.n; ++r) {
      const T* const row = a.x + r * width + e;
      FASTNN_LANES
      for (int k = 0; k < lanes; ++k) sum[k] += row[k];
    }
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) out[e + k] = a.adds ? out[e + k] + sum[k] : sum[k];
  }
}

template <class T>
static void spread(const LaneSpread<T>& a) {
  constexpr Index side = LaneSquare<T>::side;
  Index e = 0;
  for (; e + side <= a.count; e += side) {
    for (Index k = 0; k < net_lanes; k += side) {
      LaneSquare<T> square;
#pragma GCC unroll 16
      for (Index i = 0; i < side; ++i) {
        __builtin_memcpy(&square.row[i], a.from[k + i] + e, sizeof square.row[i]);
      }
      square.transpose();
#pragma GCC unroll 16
      for (Index i = 0; i < side; ++i) {
        __builtin_memcpy(a.out + (e + i) * net_lanes + k, &square.row[i], sizeof square.row[i]);
      }
    }
  }
  for (; e < a.count; ++e) {
    for (Index k = 0; k < net_lanes; ++k) a.out[e * net_lanes + k] = a.from[k][e];
  }
}

template <class T>
static void records(const LaneRecords<T>& a) {
  constexpr Index side = LaneSquare<T>::side;
  static_assert(lane_record % side == 0);
  const Index used = a.columns + a.targets + (a.weights != nullptr ? 1 : 0);
  for (Index r = 0; r < a.n; ++r) {
    const T* rows[net_lanes];
    for (Index k = 0; k < net_lanes; ++k) rows[k] = a.records[k] + a.order[k][r] * a.width;
    T* const x = a.x + r * a.columns * net_lanes;
    T* const y = a.y + (r * a.targets - a.columns) * net_lanes;
    for (Index first = 0; first < used; first += side) {
      for (Index k = 0; k < net_lanes; k += side) {
        LaneSquare<T> square;
#pragma GCC unroll 16
        for (Index i = 0; i < side; ++i) {
          __builtin_memcpy(&square.row[i], rows[k + i] + first, sizeof square.row[i]);
        }
        square.transpose();
        for (Index i = 0; i < least(side, used - first); ++i) {
          const Index e = first + i;
          T* to = e < a.columns ? x + e * net_lanes : y + e * net_lanes;
          if (e == a.columns + a.targets) to = a.weights + r * net_lanes;
          __builtin_memcpy(to + k, &square.row[i], sizeof square.row[i]);
        }
      }
    }
  }
}

// -- losses -----------------------------------------------------------------

// Sums of blocks of elements in the order of sum_of (loops.h), each lane for itself.
template <class T>
struct LaneSum {
  explicit FASTNN_INLINE LaneSum(Index n) : places(n < lanes ? 1 : lanes) {}
  FASTNN_INLINE T* at(Index i) { return partial[i % places]; }
  FASTNN_INLINE void join(double* total) {
    for (Index width = places / 2; width > 0; width /= 2) {
      for (Index i = 0; i < width; ++i) {
        FASTNN_LANES
        for (int k = 0; k < lanes; ++k) partial[i][k] += partial[i + width][k];
      }
    }
    for (int k = 0; k < lanes; ++k) total[k] += static_cast<double>(partial[0][k]);
  }
  Index places;
  alignas(64) T partial[lanes][lanes] = {};
};

template <class Row, bool by_element, class T>
static FASTNN_INLINE void losses_of_element(const typename Row::template Common<T> common,
                                            const T* __restrict__ outputs,
                                            const T* __restrict__ targets,
                                            const T* __restrict__ weights,
                                            const T* __restrict__ scale, T column, T share,
                                            T* __restrict__ sum, T* __restrict__ gradient) {
  FASTNN_LANES
  for (int k = 0; k < lanes; ++k) {
    const T target = targets[k];
    const T known = weights[k] * share;
    const T weight = !by_element || target == target ? known : T(0);
    const auto one = Row::at(common, outputs[k], target, column);
    sum[k] += weigh(weight, one.loss);
    gradient[k] = weigh(weight * scale[k], one.gradient);
  }
}

template <class Row, bool by_element, class T>
static void losses_of_elements(const LaneLoss<T>& a) {
  constexpr Index block_elements = 512;  // as in loss.cpp
  const typename Row::template Common<T> common(a.options);
  const T share = by_element ? T(1) : T(1) / static_cast<T>(a.c);
  alignas(64) Lanes<T> ones;
  alignas(64) Lanes<T> unread;
  set(ones, T(1));
  const Index all = a.n * a.c;
  for (Index first = 0; first < all; first += block_elements) {
    const Index count = least(block_elements, all - first);
    LaneSum<T> sum(count);
    Index row = first / a.c;
    Index column = first % a.c;
    for (Index i = 0; i < count; ++i) {
      const Index at = (first + i) * net_lanes;
      losses_of_element<Row, by_element>(
          common, a.outputs + at, a.targets + at,
          a.weights != nullptr ? a.weights + row * net_lanes : ones, a.scale,
          a.column_weights != nullptr ? a.column_weights[column] : T(1), share, sum.at(i),
          a.gradient != nullptr ? a.gradient + at : unread);
      if (++column == a.c) {
        column = 0;
        ++row;
      }
    }
    sum.join(a.sums);
  }
}

// What the rows of each lane weigh.
template <class T>
static void add_weights(const LaneLoss<T>& a) {
  double* const total = a.sums + net_lanes;
  for (Index r = 0; r < a.n; ++r) {
    for (int k = 0; k < lanes; ++k) {
      Index present = 1;
      if (a.by_element) {
        present = 0;
        for (Index j = 0; j < a.c; ++j) {
          const T t = a.targets[(r * a.c + j) * net_lanes + k];
          present += t == t ? 1 : 0;
        }
      }
      const T weight = a.weights != nullptr ? a.weights[r * net_lanes + k] : T(1);
      total[k] += static_cast<double>(weight) * static_cast<double>(present);
    }
  }
}

template <class T>
static void element_loss(const LaneLoss<T>& a) {
  for (int k = 0; k < 2 * lanes; ++k) a.sums[k] = 0;
  with_element_loss(a.kind, [&](auto row) {
    using Row = decltype(row);
    if constexpr (Row::outputs_of_target == 1) {
      if (a.by_element) {
        losses_of_elements<Row, true>(a);
      } else {
        losses_of_elements<Row, false>(a);
      }
    }
  });
  add_weights(a);
}

// -- metrics ----------------------------------------------------------------

// The class of a row in each lane: the first largest of c numbers.
template <class T>
static FASTNN_INLINE void largest(const T* x, Index c, Lanes<T>& at) {
  alignas(64) Lanes<T> top;
  FASTNN_LANES
  for (int k = 0; k < lanes; ++k) {
    top[k] = x[k];
    at[k] = T(0);
  }
  for (Index j = 1; j < c; ++j) {
    const T class_j = static_cast<T>(j);
    const T* const own = x + j * net_lanes;
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) {
      const T z = own[k];
      at[k] = z > top[k] ? class_j : at[k];
      top[k] = z > top[k] ? z : top[k];
    }
  }
}

// Hits of a row, and how many there could be.
template <class T>
static FASTNN_INLINE void count_row(const LaneMetric<T>& a, Index r, Lanes<double>& met,
                                    Lanes<double>& known) {
  const T* const outputs = a.outputs + r * a.c * net_lanes;
  if (a.kind == MetricKind::matches) {
    alignas(64) Lanes<T> at;
    alignas(64) Lanes<T> own;
    largest(outputs, a.c, at);
    if (a.labels == nullptr) largest(a.targets + r * a.c * net_lanes, a.c, own);
    const T* const wanted = a.labels != nullptr ? a.labels + r * net_lanes : own;
    for (int k = 0; k < lanes; ++k) {
      met[k] = at[k] == wanted[k] ? 1 : 0;
      known[k] = 1;
    }
    return;
  }
  set(met, 0.0);
  set(known, 0.0);
  for (Index j = 0; j < a.c; ++j) {
    const T* const targets = a.targets + (r * a.c + j) * net_lanes;
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) {
      const T t = targets[k];
      const bool above = static_cast<double>(outputs[j * net_lanes + k]) > a.value;
      const bool on = t > T(0.5);
      met[k] += t == t && above == on ? 1 : 0;
      known[k] += t == t ? 1 : 0;
    }
  }
}

template <class T>
static void metric(const LaneMetric<T>& a) {
  for (int k = 0; k < 2 * lanes; ++k) a.sums[k] = 0;
  for (Index r = 0; r < a.n; ++r) {
    alignas(64) Lanes<double> met;
    alignas(64) Lanes<double> known;
    count_row(a, r, met, known);
    for (int k = 0; k < lanes; ++k) {
      const double weight =
          a.weights != nullptr ? static_cast<double>(a.weights[r * net_lanes + k]) : 1.0;
      a.sums[k] += weight * met[k];
      a.sums[net_lanes + k] += weight * known[k];
    }
  }
}

// -- optimizers -------------------------------------------------------------

// By number of Rates, those of each lane.
template <class T>
struct LaneRates {
  alignas(64) T value[most_rates][lanes];
};

template <class T>
static void find_rates(const LaneUpdate<T>& a, LaneRates<T>& rates) {
  AnyRates<T> one{};
  int of = -1;
  for (int k = 0; k < lanes; ++k) {
    if (a.active[k]) {
      const bool same = of >= 0 && a.steps[k] == a.steps[of] &&
                        __builtin_memcmp(a.settings + k, a.settings + of, sizeof *a.settings) == 0;
      if (!same) one = rates_of<T>(a.kind, a.settings[k], a.steps[k]);
      of = k;
    }
    for (int i = 0; i < most_rates; ++i) rates.value[i][k] = one.value[i];
  }
}

template <class Rule, class Kept, class Root, class T>
static void step_lanes(const LaneRates<T>& rates, const T* __restrict__ active, Index n,
                       T* __restrict__ param, const T* __restrict__ grad, T* __restrict__ slot_0,
                       T* __restrict__ slot_1, T* __restrict__ slot_2) {
  using Rates = typename Rule::template Rates<T>;
  constexpr int count = sizeof(Rates) / sizeof(T);
  struct Values {
    T at[count];
  };
  for (Index first = 0; first < n * net_lanes; first += net_lanes) {
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) {
      const Index i = first + k;
      Values values;
#pragma GCC unroll 8
      for (int v = 0; v < count; ++v) values.at[v] = rates.value[v][k];
      const bool takes = active[k] != T(0);
      const T p = param[i];
      T s[rule_slots] = {};
      if constexpr (Kept::has(0)) s[0] = slot_0[i];
      if constexpr (Kept::has(1)) s[1] = slot_1[i];
      if constexpr (Kept::has(2)) s[2] = slot_2[i];
      const T s_0 = s[0];
      const T s_1 = s[1];
      const T s_2 = s[2];
      T moved = p;
      Rule::step(__builtin_bit_cast(Rates, values), grad[i], moved, s, Root{});
      param[i] = takes ? moved : p;
      if constexpr (Kept::has(0)) slot_0[i] = takes ? s[0] : s_0;
      if constexpr (Kept::has(1)) slot_1[i] = takes ? s[1] : s_1;
      if constexpr (Kept::has(2)) slot_2[i] = takes ? s[2] : s_2;
    }
  }
}

template <class T>
static void update(const LaneUpdate<T>& a) {
  LaneRates<T> rates;
  find_rates(a, rates);
  alignas(64) Lanes<T> active;
  for (int k = 0; k < lanes; ++k) active[k] = a.active[k] ? T(1) : T(0);
  with_optimizer(a.kind, [&](auto rule) {
    using Rule = decltype(rule);
    with_kept<Rule>(a.kept, [&](auto kept) {
      using Kept = decltype(kept);
      const auto step = unit_takes_roots() ? step_lanes<Rule, Kept, RootByUnit, T>
                                           : step_lanes<Rule, Kept, RootByProducts, T>;
      step(rates, active, a.n, a.param, a.grad, a.slots[0], a.slots[1], a.slots[2]);
    });
  });
}

template <class T>
static constexpr LaneKernels<T> make_lane_kernels() {
  return {.product = lane_product<T>,
          .row_sum = row_sum<T>,
          .spread = spread<T>,
          .records = records<T>,
          .softmax_cross_entropy = lane_softmax_cross_entropy<T>,
          .element_loss = element_loss<T>,
          .metric = metric<T>,
          .update = update<T>};
}

extern const LaneTable lane_table;
constexpr LaneTable lane_table{.f32 = make_lane_kernels<float>(),
                               .f64 = make_lane_kernels<double>()};

}  // namespace fastnn::FASTNN_TARGET
