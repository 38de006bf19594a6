// Layer normalization and its gradients: see core/layer_norm.h for the formulas of a row.
//
// Short rows lie row_lanes (row_lanes.h), a lane for a row; a long row is walked over with a lane
// for a column.
#include "core/layer_norm.h"

#include "cpu/group_sums.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/row_lanes.h"

namespace fastnn::FASTNN_TARGET {

static_assert(row_lanes == lanes);

inline constexpr Index cost_of_element = 3;  // see for_ranges
inline constexpr Index short_row = 64;
static_assert(short_row <= row_lanes_columns);

// gamma xhat + beta, of those that there are.
template <bool has_gamma, bool has_beta, class T>
static FASTNN_INLINE T scaled(T xhat, const LayerNormForward<T>& a, Index j) {
  if constexpr (has_gamma && has_beta) return mul_add(a.gamma[j], xhat, a.beta[j]);
  if constexpr (has_gamma) return a.gamma[j] * xhat;
  if constexpr (has_beta) return xhat + a.beta[j];
  return xhat;
}

template <class T>
static void keep(const LayerNormForward<T>& a, Index r, T mean, T inverse) {
  if (a.statistics == nullptr) return;
  a.statistics[2 * r] = mean;
  a.statistics[2 * r + 1] = inverse;
}

// -- forward: short rows ----------------------------------------------------

// RowNorm of each row of a tile.
template <class T>
struct LaneNorms {
  alignas(64) Lanes<T> mean{};
  alignas(64) Lanes<T> residue{};
  alignas(64) Lanes<T> inverse{};

  FASTNN_INLINE RowNorm<T> of(int r) const { return {mean[r], residue[r], inverse[r]}; }
};

template <class T>
static LaneNorms<T> norms_of_tile(const RowLanes<T>& tile, Index c, T epsilon) {
  LaneNorms<T> norms;
  alignas(64) Lanes<T> shifted{};
  for (Index j = 1; j < c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) shifted[r] += tile.column[j][r] - tile.column[0][r];
  }
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) {
    norms.mean[r] = tile.column[0][r] + shifted[r] / static_cast<T>(c);
  }
  alignas(64) Lanes<T> sum{};
  alignas(64) Lanes<T> squares{};
  for (Index j = 0; j < c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      const T d = tile.column[j][r] - norms.mean[r];
      sum[r] += d;
      squares[r] = mul_add(d, d, squares[r]);
    }
  }
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) {
    const RowNorm<T> norm = row_norm(norms.mean[r], sum[r], squares[r], c, epsilon);
    norms.residue[r] = norm.residue;
    norms.inverse[r] = norm.inverse;
  }
  return norms;
}

// Rows [begin, begin + n); those up to `end` are this task's.
template <bool has_gamma, bool has_beta, class T>
static void normalize_row_lanes(const LayerNormForward<T>& a, Index begin, Index n, Index end) {
  RowLanes<T> tile;
  fetch_rows(a.y + begin * a.c, n, a.c);
  to_row_lanes_apart(a.x + begin * a.c, n, a.c, (end - begin) * a.c, tile);
  const LaneNorms<T> norms = norms_of_tile(tile, a.c, a.epsilon);
  for (Index j = 0; j < a.c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      tile.column[j][r] = scaled<has_gamma, has_beta>(norms.of(r).xhat(tile.column[j][r]), a, j);
    }
  }
  from_row_lanes_apart(tile, n, a.c, a.y + begin * a.c);
  for (int r = 0; r < n; ++r) keep(a, begin + r, norms.mean[r], norms.inverse[r]);
}

// -- forward: long rows -----------------------------------------------------

template <class T>
static T mean_of_row(T first, Lanes<T>& shifted, Index c) {
  return first + joined(shifted) / static_cast<T>(c);
}

template <class T>
static RowNorm<T> norm_of_row(const T* x, T mean, Index c, T epsilon) {
  alignas(64) Lanes<T> sum{};
  alignas(64) Lanes<T> squares{};
  for_lanes(c, [&](int k, Index j) {
    const T d = x[j] - mean;
    sum[k] += d;
    squares[k] = mul_add(d, d, squares[k]);
  });
  return row_norm(mean, joined(sum), joined(squares), c, epsilon);
}

// Rows [begin, end). A row is written while the next one is read for its mean: that pass is a chain
// of additions, and either would wait for memory alone.
template <bool has_gamma, bool has_beta, class T>
static void normalize_rows(const LayerNormForward<T>& a, Index begin, Index end) {
  const Index c = a.c;
  const T* x = a.x + begin * c;
  T* y = a.y + begin * c;
  alignas(64) Lanes<T> shifted{};
  for_lanes(c, [&, first = x[0]](int k, Index j) { shifted[k] += x[j] - first; });
  T mean = mean_of_row(x[0], shifted, c);
  for (Index r = begin; r < end; ++r, x += c, y += c) {
    const RowNorm<T> norm = norm_of_row(x, mean, c, a.epsilon);
    keep(a, r, norm.mean, norm.inverse);
    const T* const next = r + 1 < end ? x + c : x;  // behind the last row nothing is left to read
    const T first = next[0];
    set(shifted, T(0));
    for_lanes(c, [&](int k, Index j) {
      shifted[k] += next[j] - first;
      y[j] = scaled<has_gamma, has_beta>(norm.xhat(x[j]), a, j);
    });
    mean = mean_of_row(first, shifted, c);
  }
}

template <bool has_gamma, bool has_beta, class T>
static Status normalize(Context& context, const LayerNormForward<T>& a) {
  const Index rows =
      a.c <= short_row ? round_up(most(4096 / a.c, 1), row_lanes) : most((1 << 15) / a.c, 1);
  for_tasks(context, ceil_div(a.n, rows), a.n * a.c * cost_of_element, [&](Index index, int) {
    const Index end = least((index + 1) * rows, a.n);
    if (a.c <= short_row) {
      for (Index r = index * rows; r < end; r += row_lanes) {
        normalize_row_lanes<has_gamma, has_beta>(a, r, least(row_lanes, end - r), end);
      }
    } else {
      normalize_rows<has_gamma, has_beta>(a, index * rows, end);
    }
  });
  return Status::ok;
}

template <class T>
Status layer_norm_forward(Context& context, const LayerNormForward<T>& a) {
  if (a.gamma != nullptr && a.beta != nullptr) return normalize<true, true>(context, a);
  if (a.gamma != nullptr) return normalize<true, false>(context, a);
  if (a.beta != nullptr) return normalize<false, true>(context, a);
  return normalize<false, false>(context, a);
}

// -- backward: short rows ---------------------------------------------------

// Sums over the rows of a group, of each column a lane for every sixteenth row.
template <class T>
struct LaneSums {
  RowLanes<T> gamma, beta;
};

template <class T>
struct LaneSlopes {
  LaneNorms<T> norms;
  alignas(64) Lanes<T> mean_g{};
  alignas(64) Lanes<T> mean_g_xhat{};

  FASTNN_INLINE RowNormSlope<T> of(int r) const { return {norms.of(r), mean_g[r], mean_g_xhat[r]}; }
};

template <bool has_gamma, class T>
static LaneSlopes<T> slopes_of_tile(const LayerNormBackward<T>& a, const RowLanes<T>& dy,
                                    const RowLanes<T>& x, Index begin, Index n) {
  LaneSlopes<T> slopes;
  LaneNorms<T>& norms = slopes.norms;
  for (int r = 0; r < n; ++r) {
    norms.mean[r] = a.statistics[2 * (begin + r)];
    norms.inverse[r] = a.statistics[2 * (begin + r) + 1];
  }
  alignas(64) Lanes<T> sum{};
  alignas(64) Lanes<T> sum_g{};
  alignas(64) Lanes<T> product{};
  for (Index j = 0; j < a.c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      const T d = x.column[j][r] - norms.mean[r];
      const T g = has_gamma ? dy.column[j][r] * a.gamma[j] : dy.column[j][r];
      sum[r] += d;
      sum_g[r] += g;
      product[r] = mul_add(g, d, product[r]);
    }
  }
  FASTNN_LANES
  for (int r = 0; r < lanes; ++r) {
    const RowNormSlope<T> slope =
        row_norm_slope(norms.mean[r], norms.inverse[r], sum[r], sum_g[r], product[r], a.c);
    norms.residue[r] = slope.norm.residue;
    slopes.mean_g[r] = slope.mean_g;
    slopes.mean_g_xhat[r] = slope.mean_g_xhat;
  }
  return slopes;
}

// Rows [begin, begin + n); those up to `end` are this task's. Rows of a tile that are not
// there are zeros, with statistics of zero, and add nothing.
template <bool has_gamma, bool has_sums, class T>
static void backward_row_lanes(const LayerNormBackward<T>& a, Index begin, Index n, Index end,
                               LaneSums<T>& sums) {
  const Index at = begin * a.c;
  RowLanes<T> x;
  RowLanes<T> dy;
  if (a.dx != nullptr) fetch_rows(a.dx + at, n, a.c);
  to_row_lanes_apart(a.x + at, n, a.c, (end - begin) * a.c, x);
  to_row_lanes_apart(a.dy + at, n, a.c, (end - begin) * a.c, dy);
  const LaneSlopes<T> slopes = slopes_of_tile<has_gamma>(a, dy, x, begin, n);
  for (Index j = 0; j < a.c; ++j) {
    FASTNN_LANES
    for (int r = 0; r < lanes; ++r) {
      const T given = dy.column[j][r];
      const T xhat = slopes.norms.of(r).xhat(x.column[j][r]);
      if constexpr (has_sums) {
        sums.gamma.column[j][r] = mul_add(given, xhat, sums.gamma.column[j][r]);
        sums.beta.column[j][r] += given;
      }
      dy.column[j][r] = slopes.of(r).dx(has_gamma ? given * a.gamma[j] : given, xhat);
    }
  }
  if (a.dx != nullptr) from_row_lanes_apart(dy, n, a.c, a.dx + at);
}

template <bool has_gamma, class T>
static void backward_short(const LayerNormBackward<T>& a, Index begin, Index end, T* dgamma,
                           T* dbeta) {
  LaneSums<T> sums;
  if (a.dgamma == nullptr && a.dbeta == nullptr) {  // parts of rows have none of their own
    for (Index r = begin; r < end; r += row_lanes) {
      backward_row_lanes<has_gamma, false>(a, r, least(row_lanes, end - r), end, sums);
    }
    return;
  }
  for (Index j = 0; j < a.c; ++j) {
    set(sums.gamma.column[j], T(0));
    set(sums.beta.column[j], T(0));
  }
  for (Index r = begin; r < end; r += row_lanes) {
    backward_row_lanes<has_gamma, true>(a, r, least(row_lanes, end - r), end, sums);
  }
  for (Index j = 0; j < a.c; ++j) {
    dgamma[j] = joined(sums.gamma.column[j]);
    dbeta[j] = joined(sums.beta.column[j]);
  }
}

// -- backward: long rows ----------------------------------------------------

template <bool has_gamma, class T>
static RowNormSlope<T> slope_of_row(const LayerNormBackward<T>& a, const T* dy, const T* x,
                                    Index r) {
  const T mean = a.statistics[2 * r];
  alignas(64) Lanes<T> sum{};
  alignas(64) Lanes<T> sum_g{};
  alignas(64) Lanes<T> product{};
  for_lanes(a.c, [&](int k, Index j) {
    const T d = x[j] - mean;
    const T g = has_gamma ? dy[j] * a.gamma[j] : dy[j];
    sum[k] += d;
    sum_g[k] += g;
    product[k] = mul_add(g, d, product[k]);
  });
  return row_norm_slope(mean, a.statistics[2 * r + 1], joined(sum), joined(sum_g), joined(product),
                        a.c);
}

template <bool has_gamma, class T>
static void backward_row(const LayerNormBackward<T>& a, Index r, T* __restrict__ dgamma,
                         T* __restrict__ dbeta) {
  const T* const dy = a.dy + r * a.c;
  const T* const x = a.x + r * a.c;
  const RowNormSlope<T> slope = slope_of_row<has_gamma>(a, dy, x, r);
  if (a.dx == nullptr) {
    for (Index j = 0; j < a.c; ++j) {
      dgamma[j] = mul_add(dy[j], slope.norm.xhat(x[j]), dgamma[j]);
      dbeta[j] += dy[j];
    }
    return;
  }
  T* const dx = a.dx + r * a.c;
  const T* const gamma = a.gamma;
  FASTNN_INDEPENDENT
  for (Index j = 0; j < a.c; ++j) {
    const T given = dy[j];
    const T xhat = slope.norm.xhat(x[j]);
    dgamma[j] = mul_add(given, xhat, dgamma[j]);
    dbeta[j] += given;
    dx[j] = slope.dx(has_gamma ? given * gamma[j] : given, xhat);
  }
}

template <bool has_gamma, class T>
static Status backward(Context& context, const LayerNormBackward<T>& a) {
  const RowGroups groups = row_groups(a.n);
  T* const gamma_sums = group_sums<T>(context, a.n, 2 * a.c);
  if (gamma_sums == nullptr) return Status::out_of_memory;
  T* const beta_sums = gamma_sums + groups.count * a.c;
  for_row_groups(context, a.n, 2 * a.c * cost_of_element,
                 [&](Index group, Index begin, Index end, int) {
                   T* const dgamma = gamma_sums + group * a.c;
                   T* const dbeta = beta_sums + group * a.c;
                   if (a.c <= short_row)
                     return backward_short<has_gamma>(a, begin, end, dgamma, dbeta);
                   for (Index j = 0; j < a.c; ++j) dgamma[j] = dbeta[j] = T(0);
                   for (Index r = begin; r < end; ++r) backward_row<has_gamma>(a, r, dgamma, dbeta);
                 });
  if (a.dgamma != nullptr) join_groups(gamma_sums, groups.count, a.c, a.accumulates, a.dgamma);
  if (a.dbeta != nullptr) join_groups(beta_sums, groups.count, a.c, a.accumulates, a.dbeta);
  return Status::ok;
}

template <class T>
Status layer_norm_backward(Context& context, const LayerNormBackward<T>& a) {
  return a.gamma != nullptr ? backward<true>(context, a) : backward<false>(context, a);
}

FASTNN_INSTANTIATE(layer_norm_forward, LayerNormForward)
FASTNN_INSTANTIATE(layer_norm_backward, LayerNormBackward)

}  // namespace fastnn::FASTNN_TARGET
