// Columns normalized, by given statistics or by those of a batch, for host and device: the formulas
// of a column. How its sums are taken is the kernels'.
//
// Batch normalization: Ioffe and Szegedy, arXiv:1502.03167. Its sums are those of
// core/layer_norm.h, over the rows of a column in place of the columns of a row.
#pragma once

#include "core/kernels.h"
#include "core/math.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
FASTNN_INLINE T at_or(const T* values, Index j, T otherwise) {
  return values != nullptr ? values[j] : otherwise;
}

// What x - mean is multiplied by; of `inverted` x.
template <class T>
FASTNN_INLINE T column_factor(ColumnScaling scaling, T epsilon, T variance) {
  if (scaling == ColumnScaling::with_epsilon) return T(1) / sqrt(variance + epsilon);
  const T deviation = sqrt(variance);
  const T limited = deviation < epsilon ? epsilon : deviation;
  return scaling == ColumnScaling::inverted ? limited : T(1) / limited;
}

// y = factor (x - mean) + offset.
template <class T>
struct ColumnMap {
  T mean, factor, offset;
};

template <class T>
FASTNN_INLINE ColumnMap<T> column_map(ColumnScaling scaling, T epsilon, T mean, T variance, T gamma,
                                      T beta) {
  const T factor = column_factor(scaling, epsilon, variance);
  if (scaling == ColumnScaling::inverted) return {T(0), factor, mean};
  return {mean, factor * gamma, beta};
}

template <class T>
struct ColumnStatistics {
  T mean, residue, variance;
  T inverse;  // 1 / sqrt(variance + epsilon)
};

// `sum` and `squares` are of x - mean, over n rows.
template <class T>
FASTNN_INLINE ColumnStatistics<T> column_statistics(T mean, T sum, T squares, Index n, T epsilon) {
  const T rows = static_cast<T>(n);
  const T residue = sum / rows;
  const T rounded = mul_add(-residue, residue, squares / rows);
  const T variance = rounded < T(0) ? T(0) : rounded;
  return {mean, residue, variance, T(1) / sqrt(variance + epsilon)};
}

// Keeps the statistics of column j for the backward pass, and moves the moving ones.
template <class T>
FASTNN_INLINE void keep_statistics(const BatchNormForward<T>& a, Index j,
                                   const ColumnStatistics<T>& column) {
  if (a.statistics != nullptr) {
    a.statistics[j] = column.mean;
    a.statistics[a.c + j] = column.residue;
    a.statistics[2 * a.c + j] = column.inverse;
  }
  if (a.moving_mean == nullptr) return;
  const T share = T(1) - a.momentum;
  const T mean = column.mean + column.residue;
  a.moving_mean[j] = mul_add(a.momentum, a.moving_mean[j], share * mean);
  a.moving_variance[j] = mul_add(a.momentum, a.moving_variance[j], share * column.variance);
}

}  // namespace fastnn::FASTNN_TARGET
