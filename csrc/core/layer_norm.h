// Layer normalization (Ba, Kiros and Hinton, arXiv:1607.06450), for host and device: the
// formulas of a row. How its sums are taken is the kernels'.
//
// The mean of a row is rounded, by ulps of the mean: where a row lies far from zero they are
// large beside its deviation. The pass that adds squares of x - mean therefore adds x - mean
// too. Its mean, the residue, is taken off again, and its square off the variance. This is the
// corrected two-pass algorithm of Chan, Golub and LeVeque, "Algorithms for computing the sample
// variance", 1983, whose error does not grow with the mean.
//
// Kernels take the mean as x[0] + mean(x - x[0]), which is exact for a row of equal numbers.
#pragma once

#include "core/arrays.h"
#include "core/math.h"

namespace fastnn::FASTNN_TARGET {

// epsilon as the kernels take it: above 0 it stays so, and a row of equal numbers is no 0 / 0.
template <class T>
FASTNN_INLINE T layer_norm_epsilon(double epsilon) {
  return positive_as<T>(epsilon, least_normal<T>());
}

template <class T>
struct RowNorm {
  T mean, residue;
  T inverse;  // 1 / sqrt(variance + epsilon)

  FASTNN_INLINE T xhat(T x) const { return ((x - mean) - residue) * inverse; }
};

// `sum` and `squares` are of x - mean, over c columns.
template <class T>
FASTNN_INLINE RowNorm<T> row_norm(T mean, T sum, T squares, Index c, T epsilon) {
  const T columns = static_cast<T>(c);
  const T residue = sum / columns;
  const T rounded = mul_add(-residue, residue, squares / columns);
  const T variance = rounded < T(0) ? T(0) : rounded;
  return {mean, residue, T(1) / sqrt(variance + epsilon)};
}

// What dx of a row is made from.
template <class T>
struct RowNormSlope {
  RowNorm<T> norm;
  T mean_g;       // of g = dy gamma
  T mean_g_xhat;  // of g xhat

  FASTNN_INLINE T dx(T g, T xhat) const {
    return norm.inverse * mul_add(-xhat, mean_g_xhat, g - mean_g);
  }
};

// mean and inverse are the statistics of the forward pass; the sums are of x - mean, of g, and
// of their product.
template <class T>
FASTNN_INLINE RowNormSlope<T> row_norm_slope(T mean, T inverse, T sum, T sum_g, T sum_product,
                                             Index c) {
  const T columns = static_cast<T>(c);
  const T residue = sum / columns;
  const T product = mul_add(-residue, sum_g, sum_product);
  return {{mean, residue, inverse}, sum_g / columns, product / columns * inverse};
}

}  // namespace fastnn::FASTNN_TARGET
