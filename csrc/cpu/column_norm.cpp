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

// f.operator()<rows>(r) for rows [r, r + rows) that cover [begin, end), four at a time: what
// belongs to a column is loaded once for them.
template <class F>
FASTNN_INLINE void for_rows(Index begin, Index end, const F& f) {
  Index r = begin;
  for (; r + 4 <= end; r += 4) f.template operator()<4>(r);
  for (; r < end; ++r) f.template operator()<1>(r);
}

// Adds dy xhat and dy of rows to the sums of their group.
template <int rows, class T>
static void add_slopes(Index c, const T* dy, const T* x, const T* means, const T* residues,
                       const T* inverses, T* __restrict__ products, T* __restrict__ sums) {
  for (Index j = 0; j < c; ++j) {
    const T mean = means[j];
    const T residue = residues[j];
    const T inverse = inverses[j];
    T product = products[j];
    T sum = sums[j];
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const T given = dy[r * c + j];
      product = mul_add(given, ((x[r * c + j] - mean) - residue) * inverse, product);
      sum += given;
    }
    products[j] = product;
    sums[j] = sum;
  }
}

// sums[group] (2, c): of dy xhat and of dy, over the rows of a group.
template <class T>
static void sum_slopes(Context& context, Index n, Index c, const T* dy, const T* x, const T* mean,
                       const T* residue, const T* inverse, T* products, T* plain) {
  for_row_groups(
      context, n, 2 * c * cost_of_element, [=](Index group, Index begin, Index end, int) {
        T* const product = products + group * c;
        T* const sum = plain + group * c;
        for (Index j = 0; j < c; ++j) product[j] = sum[j] = T(0);
        for_rows(begin, end, [=]<int rows>(Index r) {
          add_slopes<rows>(c, dy + r * c, x + r * c, mean, residue, inverse, product, sum);
        });
      });
}

// For each column of a batch: its statistics, the means of dy xhat (`product`) and of dy (`plain`),
// and the factor of dx.
template <class T>
struct ColumnSlopes {
  const T *mean, *residue, *inverse;
  const T *product, *plain, *scale;
};

template <int rows, class T>
static void slopes_of_rows(Index c, const ColumnSlopes<T> by, const T* dy, const T* x, T* dx) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < c; ++j) {
    const T mean = by.mean[j];
    const T residue = by.residue[j];
    const T inverse = by.inverse[j];
    const T product = by.product[j];
    const T plain = by.plain[j];
    const T scale = by.scale[j];
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
      const T xhat = ((x[r * c + j] - mean) - residue) * inverse;
      dx[r * c + j] = scale * mul_add(-xhat, product, dy[r * c + j] - plain);
    }
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

// -- statistics of a batch --------------------------------------------------
//
// x is read once for them. Each row group takes the mean of its first rows as a shift, and then its
// sums of x - shift and of the squares; the groups are joined as Chan, Golub and LeVeque do (see
// core/layer_norm.h). The squares lose no more by this than by being added up: n (shift - mean)^2
// is at most n / shift_rows times the sum of squares about the mean, and mostly 1 / shift_rows of
// it. Columns of equal numbers keep a variance of 0.
inline constexpr Index shift_rows = 32;

// By group and column: shift, and the sums of x - shift and of its square.
template <class T>
struct ShiftedSums {
  T *shift, *sum, *square;
};

template <class T>
static void add_shifted(Index c, const T* x, const T* shift, T* __restrict__ sum) {
  for (Index j = 0; j < c; ++j) sum[j] += x[j] - shift[j];
}

template <class T>
static void add_squares(Index c, const T* x, const T* shift, T* __restrict__ sum,
                        T* __restrict__ square) {
  for (Index j = 0; j < c; ++j) {
    const T d = x[j] - shift[j];
    sum[j] += d;
    square[j] = mul_add(d, d, square[j]);
  }
}

// Of n rows, which are those of a group.
template <class T>
static void sum_group(Index n, Index c, const T* x, const ShiftedSums<T>& to) {
  const Index few = least(n, shift_rows);
  for (Index j = 0; j < c; ++j) to.sum[j] = T(0);
  for (Index r = 1; r < few; ++r) add_shifted(c, x + r * c, x, to.sum);
  for (Index j = 0; j < c; ++j) {
    to.shift[j] = x[j] + to.sum[j] / static_cast<T>(few);
    to.sum[j] = to.square[j] = T(0);
  }
  for (Index r = 0; r < n; ++r) add_squares(c, x + r * c, to.shift, to.sum, to.square);
}

// By column: the mean of n rows, and the sums of x - mean and of its square.
template <class T>
static void join_shifted(Index n, Index c, const ShiftedSums<T>& of, T* __restrict__ mean,
                         T* __restrict__ sum, T* __restrict__ square) {
  const RowGroups groups = row_groups(n);
  const T* const first = of.shift;
  for (Index j = 0; j < c; ++j) mean[j] = sum[j] = square[j] = T(0);
  for (Index group = 0; group < groups.count; ++group) {
    const T size = static_cast<T>(least(groups.rows, n - group * groups.rows));
    const T* const shift = of.shift + group * c;
    const T* const shifted = of.sum + group * c;
    for (Index j = 0; j < c; ++j) mean[j] += mul_add(size, shift[j] - first[j], shifted[j]);
  }
  for (Index j = 0; j < c; ++j) mean[j] = first[j] + mean[j] / static_cast<T>(n);
  for (Index group = 0; group < groups.count; ++group) {
    const T size = static_cast<T>(least(groups.rows, n - group * groups.rows));
    const T* const shift = of.shift + group * c;
    const T* const shifted = of.sum + group * c;
    const T* const squares = of.square + group * c;
    for (Index j = 0; j < c; ++j) {
      const T apart = shift[j] - mean[j];
      const T moved = size * apart;
      sum[j] += shifted[j] + moved;
      square[j] += mul_add(apart, mul_add(T(2), shifted[j], moved), squares[j]);
    }
  }
}

template <class T>
Status batch_norm_forward(Context& context, const BatchNormForward<T>& a) {
  if (a.n == 0) return Status::ok;
  const Index groups = row_groups(a.n).count;
  T* const room = group_sums<T>(context, a.n, 3 * a.c + 4 * a.c);
  if (room == nullptr) return Status::out_of_memory;
  const ShiftedSums<T> sums{room, room + groups * a.c, room + 2 * groups * a.c};
  const ColumnMaps<T> by = maps_at(room + 3 * groups * a.c, a.c);
  for_row_groups(context, a.n, 2 * a.c, [&](Index group, Index begin, Index end, int) {
    const Index at = group * a.c;
    sum_group(end - begin, a.c, a.x + begin * a.c,
              ShiftedSums<T>{sums.shift + at, sums.sum + at, sums.square + at});
  });
  join_shifted(a.n, a.c, sums, by.mean, by.residue, by.factor);
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
    for_rows(begin, end, [&]<int rows>(Index r) {
      slopes_of_rows<rows>(a.c, by, a.dy + r * a.c, a.x + r * a.c, a.dx + r * a.c);
    });
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(normalize_columns_forward, NormalizeColumnsForward)
FASTNN_INSTANTIATE(normalize_columns_backward, NormalizeColumnsBackward)
FASTNN_INSTANTIATE(batch_norm_forward, BatchNormForward)
FASTNN_INSTANTIATE(batch_norm_backward, BatchNormBackward)

}  // namespace fastnn::FASTNN_TARGET
