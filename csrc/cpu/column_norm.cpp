// Columns normalized by statistics that are given, or by those of the batch, and their gradients:
// see core/column_norm.h.
#include "core/column_norm.h"

#include "cpu/group_sums.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {
inline constexpr Index cost_of_element = 2;  // see for_ranges

// By column, (4, c): what is subtracted from x, twice, what it is multiplied by, and what is added.
template <class T>
struct ColumnMaps {
  T* mean;
  T* residue;
  T* factor;
  T* offset;
};

template <class T>
static ColumnMaps<T> maps_at(T* room, Index c) {
  return {room, room + c, room + 2 * c, room + 3 * c};
}

template <class T>
static void map_columns(Context& context, Index n, Index c, const ColumnMaps<T>& by, const T* x,
                        T* y) {
  for_ranges(context, n, c * cost_of_element, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* const from = x + r * c;
      T* const to = y + r * c;
      FASTNN_INDEPENDENT
      for (Index j = 0; j < c; ++j) {
        to[j] = mul_add((from[j] - by.mean[j]) - by.residue[j], by.factor[j], by.offset[j]);
      }
    }
  });
}

// Adds dy xhat and dy of a row to the sums of its group.
template <class T>
static void add_slopes(Index c, const T* dy, const T* x, const T* mean, const T* residue,
                       const T* inverse, T* __restrict__ product, T* __restrict__ sum) {
  for (Index j = 0; j < c; ++j) {
    const T xhat = ((x[j] - mean[j]) - residue[j]) * inverse[j];
    product[j] = mul_add(dy[j], xhat, product[j]);
    sum[j] += dy[j];
  }
}

// sums[group] (2, c): of dy xhat and of dy, over the rows of a group.
template <class T>
static void sum_slopes(Context& context, Index n, Index c, const T* dy, const T* x, const T* mean,
                       const T* residue, const T* inverse, T* products, T* plain) {
  for_row_groups(context, n, 2 * c * cost_of_element,
                 [=](Index group, Index begin, Index end, int) {
                   T* const product = products + group * c;
                   T* const sum = plain + group * c;
                   for (Index j = 0; j < c; ++j) product[j] = sum[j] = T(0);
                   for (Index r = begin; r < end; ++r) {
                     add_slopes(c, dy + r * c, x + r * c, mean, residue, inverse, product, sum);
                   }
                 });
}

// For each column of a batch: its statistics, the means of dy xhat (`product`) and of dy (`plain`),
// and the factor of dx.
template <class T>
struct ColumnSlopes {
  const T *mean, *residue, *inverse;
  const T *product, *plain, *scale;
};

template <class T>
static void slope_of_row(Index c, const ColumnSlopes<T> by, const T* dy, const T* x, T* dx) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < c; ++j) {
    const T xhat = ((x[j] - by.mean[j]) - by.residue[j]) * by.inverse[j];
    dx[j] = by.scale[j] * mul_add(-xhat, by.product[j], dy[j] - by.plain[j]);
  }
}

template <class T>
Status normalize_columns_forward(Context& context, const NormalizeColumnsForward<T>& a) {
  T* const room =
      static_cast<T*>(context.scratch(Context::sums, static_cast<size_t>(4 * a.c) * sizeof(T)));
  if (room == nullptr) return Status::out_of_memory;
  const ColumnMaps<T> by = maps_at(room, a.c);
  for (Index j = 0; j < a.c; ++j) {
    const ColumnMap<T> map =
        column_map(a.scaling, a.epsilon, at_or(a.mean, j, T(0)), at_or(a.variance, j, T(1)),
                   at_or(a.gamma, j, T(1)), at_or(a.beta, j, T(0)));
    by.mean[j] = map.mean;
    by.residue[j] = T(0);
    by.factor[j] = map.factor;
    by.offset[j] = map.offset;
  }
  map_columns(context, a.n, a.c, by, a.x, a.y);
  return Status::ok;
}

template <class T>
Status normalize_columns_backward(Context& context, const NormalizeColumnsBackward<T>& a) {
  const Index groups = row_groups(a.n).count;
  T* const sums = group_sums<T>(context, a.n, 2 * a.c + 3 * a.c);
  if (sums == nullptr) return Status::out_of_memory;
  T* const plain = sums + groups * a.c;
  T* const mean = plain + most(groups, 1) * a.c;
  T* const zero = mean + a.c;
  T* const inverse = zero + a.c;
  for (Index j = 0; j < a.c; ++j) {
    mean[j] = at_or(a.mean, j, T(0));
    zero[j] = T(0);
    inverse[j] = column_factor(a.scaling, a.epsilon, at_or(a.variance, j, T(1)));
  }
  if (a.dgamma != nullptr || a.dbeta != nullptr) {  // before dx, which may be dy
    sum_slopes(context, a.n, a.c, a.dy, a.x, mean, zero, inverse, sums, plain);
    if (a.dgamma != nullptr) join_groups(sums, groups, a.c, a.accumulates, a.dgamma);
    if (a.dbeta != nullptr) join_groups(plain, groups, a.c, a.accumulates, a.dbeta);
  }
  if (a.dx == nullptr) return Status::ok;
  for (Index j = 0; j < a.c; ++j) inverse[j] *= at_or(a.gamma, j, T(1));
  map_columns(context, a.n, a.c, ColumnMaps<T>{zero, zero, inverse, zero}, a.dy, a.dx);
  return Status::ok;
}

// The mean is taken as x[0] + mean(x - x[0]), with the first row of the batch; see
// core/layer_norm.h for the two passes and the residue.
template <class T>
Status batch_norm_forward(Context& context, const BatchNormForward<T>& a) {
  const RowGroups rows = row_groups(a.n);
  T* const sums = group_sums<T>(context, a.n, 2 * a.c + 4 * a.c);
  if (sums == nullptr) return Status::out_of_memory;
  T* const squares = sums + most(rows.count, 1) * a.c;
  T* const room = squares + most(rows.count, 1) * a.c;
  const ColumnMaps<T> by = maps_at(room, a.c);
  for_row_groups(context, a.n, a.c, [&](Index group, Index begin, Index end, int) {
    T* __restrict__ const sum = sums + group * a.c;
    for (Index j = 0; j < a.c; ++j) sum[j] = T(0);
    for (Index r = begin; r < end; ++r) {
      const T* const x = a.x + r * a.c;
      for (Index j = 0; j < a.c; ++j) sum[j] += x[j] - a.x[j];
    }
  });
  join_groups(sums, rows.count, a.c, false, by.mean);
  for (Index j = 0; j < a.c; ++j) by.mean[j] = a.x[j] + by.mean[j] / static_cast<T>(a.n);
  for_row_groups(context, a.n, 2 * a.c, [&](Index group, Index begin, Index end, int) {
    T* __restrict__ const sum = sums + group * a.c;
    T* __restrict__ const square = squares + group * a.c;
    for (Index j = 0; j < a.c; ++j) sum[j] = square[j] = T(0);
    for (Index r = begin; r < end; ++r) {
      const T* const x = a.x + r * a.c;
      for (Index j = 0; j < a.c; ++j) {
        const T d = x[j] - by.mean[j];
        sum[j] += d;
        square[j] = mul_add(d, d, square[j]);
      }
    }
  });
  join_groups(sums, rows.count, a.c, false, by.residue);
  join_groups(squares, rows.count, a.c, false, by.factor);
  for (Index j = 0; j < a.c; ++j) {
    const ColumnStatistics<T> column =
        column_statistics(by.mean[j], by.residue[j], by.factor[j], a.n, a.epsilon);
    by.residue[j] = column.residue;
    by.factor[j] = column.inverse * at_or(a.gamma, j, T(1));
    by.offset[j] = at_or(a.beta, j, T(0));
    keep_statistics(a, j, column);
  }
  map_columns(context, a.n, a.c, by, a.x, a.y);
  return Status::ok;
}

template <class T>
Status batch_norm_backward(Context& context, const BatchNormBackward<T>& a) {
  const Index groups = row_groups(a.n).count;
  T* const sums = group_sums<T>(context, a.n, 2 * a.c + 3 * a.c);
  if (sums == nullptr) return Status::out_of_memory;
  T* const plain = sums + most(groups, 1) * a.c;
  T* const product_sum = plain + most(groups, 1) * a.c;
  T* const plain_sum = product_sum + a.c;
  T* const scale = plain_sum + a.c;
  const T* const mean = a.statistics;
  const T* const residue = mean + a.c;
  const T* const inverse = residue + a.c;
  sum_slopes(context, a.n, a.c, a.dy, a.x, mean, residue, inverse, sums, plain);
  if (a.dgamma != nullptr) join_groups(sums, groups, a.c, a.accumulates, a.dgamma);
  if (a.dbeta != nullptr) join_groups(plain, groups, a.c, a.accumulates, a.dbeta);
  if (a.dx == nullptr) return Status::ok;
  join_groups(sums, groups, a.c, false, product_sum);
  join_groups(plain, groups, a.c, false, plain_sum);
  const T rows = static_cast<T>(a.n);
  for (Index j = 0; j < a.c; ++j) {
    product_sum[j] /= rows;
    plain_sum[j] /= rows;
    scale[j] = inverse[j] * at_or(a.gamma, j, T(1));
  }
  const ColumnSlopes<T> by{mean, residue, inverse, product_sum, plain_sum, scale};
  for_ranges(context, a.n, 2 * a.c * cost_of_element, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      slope_of_row(a.c, by, a.dy + r * a.c, a.x + r * a.c, a.dx + r * a.c);
    }
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(normalize_columns_forward, NormalizeColumnsForward)
FASTNN_INSTANTIATE(normalize_columns_backward, NormalizeColumnsBackward)
FASTNN_INSTANTIATE(batch_norm_forward, BatchNormForward)
FASTNN_INSTANTIATE(batch_norm_backward, BatchNormBackward)

}  // namespace fastnn::FASTNN_TARGET
