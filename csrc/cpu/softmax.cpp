// Softmax, its cross-entropy, and their gradients.
//
// All is done sixteen numbers at a time: short rows are transposed, a row to a lane (row_lanes.h),
// a lane for a row; a long row is cut into pieces of sixteen, a lane for a column. What is done
// with sixteen logits is the same either way.
#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/lane_kernels.h"
#include "cpu/loops.h"
#include "cpu/row_lanes.h"

namespace fastnn::FASTNN_TARGET {

static_assert(row_lanes == lanes && net_lanes == lanes);

inline constexpr Index cost_of_element = 8;  // see for_ranges

// Equal infinities share the mass, which is the limit.
template <class T>
static FASTNN_INLINE T below_top(T z, T top) {
  const T below = z - top;
  return z == top ? T(0) : below;
}

// How targets are smoothed: share * target + rest.
template <class T>
struct Smoothing {
  explicit Smoothing(const LossRows<T>& a) : Smoothing(a.options[0], a.c) {}
  Smoothing(double label_smoothing, Index classes)
      : smoothing(static_cast<T>(label_smoothing)),
        share(T(1) - smoothing),
        rest(smoothing / static_cast<T>(classes)) {}
  // The label's own term, which the share multiplies: an infinite one with a share of 0 is left
  // out.
  FASTNN_INLINE T of_label(T own) const { return share == T(0) ? T(0) : own; }
  T smoothing, share, rest;
};

// What is summed over the classes of each row.
template <class T>
struct RowSums {
  alignas(64) Lanes<T> e{};       // exp(d), d = logits - top
  alignas(64) Lanes<T> below{};   // d times the smoothed target; with labels d alone
  alignas(64) Lanes<T> target{};  // not smoothed; with labels nothing
};

// Sixteen logits become their exponentials. In sums only the first `count` go.
template <bool with_targets, class T>
static FASTNN_INLINE void exponentials(const T* z, const T* targets, const Lanes<T>& top,
                                       const Smoothing<T>& s, int count, T* e, RowSums<T>& sums) {
  FASTNN_LANES
  for (int k = 0; k < lanes; ++k) {
    const T below = below_top(z[k], top[k]);
    const T x = exp_nonpositive(below);
    e[k] = x;
    sums.e[k] += k < count ? x : T(0);
    if constexpr (with_targets) {
      const T t = targets[k];
      const T term = weigh(mul_add(s.share, t, s.rest), below);
      sums.below[k] += k < count ? term : T(0);
      sums.target[k] += k < count ? t : T(0);
    } else {
      sums.below[k] += k < count ? below : T(0);
    }
  }
}

// -- short rows -------------------------------------------------------------

// A tile has c columns of sixteen numbers, one of each row.
template <class T>
static FASTNN_INLINE void tops(const Lanes<T>* tile, Index c, Lanes<T>& top) {
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) top[r] = tile[0][r];
  for (Index j = 1; j < c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) top[r] = larger(tile[j][r], top[r]);
  }
}

// Rows [begin, begin + n); those up to `end` are this task's.
template <bool logarithm, class T>
static void softmax_row_lanes(const SoftmaxForward<T>& a, Index begin, Index n, Index end) {
  RowLanes<T> tile;
  alignas(64) Lanes<T> top;
  alignas(64) Lanes<T> sum{};
  fetch_rows(a.y + begin * a.c, n, a.c);
  to_row_lanes(a.x + begin * a.c, n, a.c, (end - begin) * a.c, tile);
  tops(tile.column, a.c, top);
  for (Index j = 0; j < a.c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      const T below = below_top(tile.column[j][r], top[r]);
      const T x = exp_nonpositive(below);
      tile.column[j][r] = logarithm ? below : x;
      sum[r] += x;
    }
  }
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) sum[r] = logarithm ? log(sum[r]) : T(1) / sum[r];
  for (Index j = 0; j < a.c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      const T kept = tile.column[j][r];
      tile.column[j][r] = logarithm ? kept - sum[r] : kept * sum[r];
    }
  }
  from_row_lanes(tile, n, a.c, a.y + begin * a.c);
}

// What belongs to sixteen rows beside their logits.
template <class T>
struct RowsOfTile {
  alignas(64) Lanes<T> weight{};
  alignas(64) Lanes<T> label{};  // a whole number, unless there are targets
  alignas(64) Lanes<T> scale;    // of the gradient
};

// The losses of a tile are added to `total`. The logits become their exponentials or, with
// `differentiates`, their gradients.
template <bool with_targets, class T>
static FASTNN_INLINE void cross_entropy_of_tile(Lanes<T>* tile, const Lanes<T>* targets, Index c,
                                                const RowsOfTile<T>& rows, const Smoothing<T>& s,
                                                bool differentiates, Lanes<double>& total) {
  alignas(64) Lanes<T> top;
  alignas(64) Lanes<T> own{};  // the logit of the row's label
  RowSums<T> sums;
  if constexpr (!with_targets) {
    for (Index j = 0; j < c; ++j) {
      const T class_j = static_cast<T>(j);
      FASTNN_LANES
      for (int r = 0; r < lanes; ++r) own[r] = rows.label[r] == class_j ? tile[j][r] : own[r];
    }
  }
  tops(tile, c, top);
  for (Index j = 0; j < c; ++j) {
    exponentials<with_targets>(tile[j], with_targets ? targets[j] : nullptr, top, s, lanes, tile[j],
                               sums);
  }
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) {
    const T log_sum = log(sums.e[r]);
    T loss;
    if constexpr (with_targets) {
      loss = mul_add(mul_add(s.share, sums.target[r], s.smoothing), log_sum, -sums.below[r]);
    } else {
      const T others = static_cast<T>(c) * log_sum - sums.below[r];
      const T of_label = s.of_label(log_sum - below_top(own[r], top[r]));
      loss = mul_add(s.share, of_label, weigh(s.rest, others));
    }
    total[r] += static_cast<double>(weigh(rows.weight[r], loss));
  }
  if (!differentiates) return;
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) {
    const T factor = rows.scale[r] * rows.weight[r];
    const T of_targets = with_targets ? mul_add(s.share, sums.target[r], s.smoothing) : T(1);
    top[r] = factor;
    sums.e[r] = factor * of_targets / sums.e[r];
  }
  for (Index j = 0; j < c; ++j) {
    const T class_j = static_cast<T>(j);
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      T t;
      if constexpr (with_targets) {
        t = targets[j][r];
      } else {
        t = rows.label[r] == class_j ? T(1) : T(0);
      }
      const T target = top[r] * mul_add(s.share, t, s.rest);
      const T gradient = mul_add(tile[j][r], sums.e[r], -target);
      tile[j][r] = rows.weight[r] == T(0) ? T(0) : gradient;
    }
  }
}

template <bool with_targets, class T>
static void cross_entropy_row_lanes(const LossRows<T>& a, Index begin, Index n, Index end,
                                    Lanes<double>& total) {
  RowLanes<T> tile;
  RowLanes<T> targets;
  RowsOfTile<T> rows;
  if (a.gradient != nullptr) fetch_rows(a.gradient + begin * a.c, n, a.c);
  to_row_lanes(a.outputs + begin * a.c, n, a.c, (end - begin) * a.c, tile);
  if constexpr (with_targets) {
    to_row_lanes(a.targets + begin * a.c, n, a.c, (end - begin) * a.c, targets);
  } else {
    for (Index r = 0; r < n; ++r) rows.label[r] = static_cast<T>(a.labels[begin + r]);
  }
  for (Index r = 0; r < n; ++r) rows.weight[r] = a.weights != nullptr ? a.weights[begin + r] : T(1);
  set(rows.scale, a.scale);
  cross_entropy_of_tile<with_targets>(tile.column, targets.column, a.c, rows, Smoothing<T>(a),
                                      a.gradient != nullptr, total);
  if (a.gradient != nullptr) from_row_lanes(tile, n, a.c, a.gradient + begin * a.c);
}

// A row of sixteen networks is such a tile. The sum of a network's rows is that of
// softmax_cross_entropy: of every sixteenth row, joined at the end.
template <bool with_targets, class T>
static void cross_entropy_of_nets(const LaneLoss<T>& a) {
  const Smoothing<T> s(a.options[0], a.c);
  const Index size = a.c * net_lanes;
  alignas(64) Lanes<T> work[row_lanes_columns];
  alignas(64) Lanes<double> total[row_lanes] = {};
  RowsOfTile<T> rows;
  set(rows.weight, T(1));
  for (int k = 0; k < lanes; ++k) rows.scale[k] = a.scale[k];
  for (Index r = 0; r < a.n; ++r) {
    const auto bytes = static_cast<size_t>(size) * sizeof(T);
    Lanes<T>* const tile =
        a.gradient != nullptr ? reinterpret_cast<Lanes<T>*>(a.gradient + r * size) : work;
    __builtin_memcpy(tile, a.outputs + r * size, bytes);
    const Lanes<T>* targets = nullptr;
    if constexpr (with_targets) {
      targets = reinterpret_cast<const Lanes<T>*>(a.targets + r * size);
    } else {
      __builtin_memcpy(rows.label, a.labels + r * net_lanes, sizeof rows.label);
    }
    if (a.weights != nullptr) {
      __builtin_memcpy(rows.weight, a.weights + r * net_lanes, sizeof rows.weight);
    }
    cross_entropy_of_tile<with_targets>(tile, targets, a.c, rows, s, a.gradient != nullptr,
                                        total[r % row_lanes]);
  }
  for (Index width = row_lanes / 2; width > 0; width /= 2) {
    for (Index i = 0; i < width; ++i) {
      for (int k = 0; k < lanes; ++k) total[i][k] += total[i + width][k];
    }
  }
  for (int k = 0; k < lanes; ++k) {
    a.sums[k] = total[0][k];
    double weight = 0;
    for (Index r = 0; r < a.n; ++r) {
      weight += a.weights != nullptr ? static_cast<double>(a.weights[r * net_lanes + k]) : 1.0;
    }
    a.sums[net_lanes + k] = weight;
  }
}

template <class T>
void lane_softmax_cross_entropy(const LaneLoss<T>& a) {
  if (a.labels != nullptr) {
    cross_entropy_of_nets<false>(a);
  } else {
    cross_entropy_of_nets<true>(a);
  }
}

template void lane_softmax_cross_entropy(const LaneLoss<float>&);
template void lane_softmax_cross_entropy(const LaneLoss<double>&);

// -- long rows --------------------------------------------------------------

// The exponentials of a row into e, in pieces of sixteen.
template <bool with_targets, class T>
static void exponentials_of_row(const T* z, const T* targets, Index c, const Lanes<T>& top,
                                const Smoothing<T>& s, T* e, RowSums<T>& sums) {
  Index j = 0;
  for (; j + lanes <= c; j += lanes) {
    exponentials<with_targets>(z + j, with_targets ? targets + j : nullptr, top, s, lanes, e + j,
                               sums);
  }
  if (j == c) return;
  const auto count = static_cast<int>(c - j);
  alignas(64) Lanes<T> last_z{};
  alignas(64) Lanes<T> last_t{};
  alignas(64) Lanes<T> last_e;
  for (int k = 0; k < count; ++k) {
    last_z[k] = z[j + k];
    if constexpr (with_targets) last_t[k] = targets[j + k];
  }
  exponentials<with_targets>(last_z, last_t, top, s, count, last_e, sums);
  for (int k = 0; k < count; ++k) e[j + k] = last_e[k];
}

// e may be z: what is read of a piece is read before it is written.
template <bool with_targets, class T>
static double cross_entropy_of_row(const LossRows<T>& a, Index r, T* e) {
  const Smoothing<T> s(a);
  const T weight = a.weights != nullptr ? a.weights[r] : T(1);
  if (weight == T(0)) {
    for (Index j = 0; j < a.c; ++j) e[j] = T(0);
    return 0;
  }
  const T* const z = a.outputs + r * a.c;
  const T* const t = with_targets ? a.targets + r * a.c : nullptr;
  alignas(64) Lanes<T> top;
  RowSums<T> sums;
  set(top, max_of(z, a.c));
  exponentials_of_row<with_targets>(z, t, a.c, top, s, e, sums);
  const T sum = joined(sums.e);
  const T below = joined(sums.below);
  const T log_sum = log(sum);
  const T factor = a.scale * weight;
  if constexpr (with_targets) {
    const T of_targets = mul_add(s.share, joined(sums.target), s.smoothing);
    const T inverse = factor * of_targets / sum;
    if (a.gradient != nullptr) {
      FASTNN_INDEPENDENT
      for (Index j = 0; j < a.c; ++j) {
        e[j] = mul_add(e[j], inverse, -factor * mul_add(s.share, t[j], s.rest));
      }
    }
    return static_cast<double>(weight * mul_add(of_targets, log_sum, -below));
  } else {
    const T own = s.of_label(log_sum - below_top(z[a.labels[r]], top[0]));
    const T others = static_cast<T>(a.c) * log_sum - below;
    const T inverse = factor / sum;
    const T rest = factor * s.rest;
    if (a.gradient != nullptr) {
      for (Index j = 0; j < a.c; ++j) e[j] = mul_add(e[j], inverse, -rest);
      e[a.labels[r]] -= factor * s.share;
    }
    return static_cast<double>(weight * mul_add(s.share, own, weigh(s.rest, others)));
  }
}

template <class T>
static void softmax_of_row(const T* x, Index c, T* y) {
  alignas(64) Lanes<T> top;
  set(top, max_of(x, c));
  FASTNN_INDEPENDENT
  for (Index j = 0; j < c; ++j) y[j] = exp_nonpositive(below_top(x[j], top[0]));
  const T inverse = T(1) / sum_of(y, c);
  for (Index j = 0; j < c; ++j) y[j] *= inverse;
}

template <class T>
static void log_softmax_of_row(const T* x, Index c, T* y) {
  const T top = max_of(x, c);
  alignas(64) Lanes<T> sums{};
  alignas(64) Lanes<T> last{};
  Index j = 0;
  for (; j + lanes <= c; j += lanes) {
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) sums[k] += exp_nonpositive(below_top(x[j + k], top));
  }
  for (Index k = 0; k < c - j; ++k) last[k] = x[j + k];
  FASTNN_LANES
  for (int k = 0; k < lanes; ++k) {
    const T e = exp_nonpositive(below_top(last[k], top));
    sums[k] += k < c - j ? e : T(0);
  }
  const T log_sum = log(joined(sums));
  FASTNN_INDEPENDENT
  for (j = 0; j < c; ++j) y[j] = below_top(x[j], top) - log_sum;
}

template <class T>
static void log_softmax_backward_of_row(const T* dy, const T* y, Index c, T* dx) {
  const T total = sum_of(dy, c);
  FASTNN_INDEPENDENT
  for (Index j = 0; j < c; ++j) dx[j] = mul_add(-total, exp_nonpositive(y[j]), dy[j]);
}

template <class T>
static void softmax_backward_of_row(const T* dy, const T* y, Index c, T* dx) {
  T dot = T(0);
  Index j = 0;
  if (c >= lanes) {
    alignas(64) Lanes<T> dots{};
    for (; j + lanes <= c; j += lanes) {
      FASTNN_LANES
      for (int k = 0; k < lanes; ++k) dots[k] = mul_add(y[j + k], dy[j + k], dots[k]);
    }
    dot = joined(dots);
  }
  for (; j < c; ++j) dot = mul_add(y[j], dy[j], dot);
  FASTNN_INDEPENDENT
  for (j = 0; j < c; ++j) dx[j] = y[j] * (dy[j] - dot);
}

// -- kernels ----------------------------------------------------------------

// f(begin, end) over the rows, in tasks of whole tiles where rows have a lane each.
template <class F>
static void for_rows(Context& context, Index n, Index c, const F& f) {
  const Index rows = round_up(most(4096 / most(c, 1), 1), c <= row_lanes_columns ? row_lanes : 1);
  for_tasks(context, ceil_div(n, rows), n * c * cost_of_element,
            [&](Index index, int) { f(index * rows, least((index + 1) * rows, n)); });
}

template <class T>
Status softmax_forward(Context& context, const SoftmaxForward<T>& a) {
  for_rows(context, a.n, a.c, [&](Index begin, Index end) {
    if (a.c <= row_lanes_columns) {
      for (Index r = begin; r < end; r += row_lanes) {
        const Index n = least(row_lanes, end - r);
        if (a.logarithm) {
          softmax_row_lanes<true>(a, r, n, end);
        } else {
          softmax_row_lanes<false>(a, r, n, end);
        }
      }
    } else {
      const auto of_row = a.logarithm ? log_softmax_of_row<T> : softmax_of_row<T>;
      for (Index r = begin; r < end; ++r) of_row(a.x + r * a.c, a.c, a.y + r * a.c);
    }
  });
  return Status::ok;
}

template <class T>
Status softmax_backward(Context& context, const SoftmaxBackward<T>& a) {
  for_rows(context, a.n, a.c, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* const dy = a.dy + r * a.c;
      const T* const y = a.y + r * a.c;
      T* const dx = a.dx + r * a.c;
      if (a.logarithm) {
        log_softmax_backward_of_row(dy, y, a.c, dx);
      } else {
        softmax_backward_of_row(dy, y, a.c, dx);
      }
    }
  });
  return Status::ok;
}

template <class T>
static double weight_of_rows(const LossRows<T>& a, Index begin, Index end) {
  if (a.weights == nullptr) return static_cast<double>(end - begin);
  double total = 0;
  for (Index r = begin; r < end; ++r) total += static_cast<double>(a.weights[r]);
  return total;
}

template <class T>
Status softmax_cross_entropy(Context& context, const LossRows<T>& a) {
  const bool labels = a.labels != nullptr;
  bool out_of_memory = false;
  for_row_groups(
      context, a.n, a.c * cost_of_element, [&](Index group, Index begin, Index end, int worker) {
        a.sums[2 * group + 1] = weight_of_rows(a, begin, end);
        if (a.c <= row_lanes_columns) {
          Lanes<double> total{};
          for (Index r = begin; r < end; r += row_lanes) {
            const Index n = least(row_lanes, end - r);
            if (labels) {
              cross_entropy_row_lanes<false>(a, r, n, end, total);
            } else {
              cross_entropy_row_lanes<true>(a, r, n, end, total);
            }
          }
          a.sums[2 * group] = joined(total);
          return;
        }
        T* work = nullptr;
        if (a.gradient == nullptr) {
          work = static_cast<T*>(context.scratch(worker, static_cast<size_t>(a.c) * sizeof(T)));
          if (work == nullptr) {
            __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
            return;
          }
        }
        double total = 0;
        for (Index r = begin; r < end; ++r) {
          T* const e = a.gradient != nullptr ? a.gradient + r * a.c : work;
          total +=
              labels ? cross_entropy_of_row<false>(a, r, e) : cross_entropy_of_row<true>(a, r, e);
        }
        a.sums[2 * group] = total;
      });
  return out_of_memory ? Status::out_of_memory : Status::ok;
}

FASTNN_INSTANTIATE(softmax_forward, SoftmaxForward)
FASTNN_INSTANTIATE(softmax_backward, SoftmaxBackward)
FASTNN_INSTANTIATE(softmax_cross_entropy, LossRows)

}  // namespace fastnn::FASTNN_TARGET
