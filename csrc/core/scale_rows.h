// Rows scaled by their own length, for host and device: the formulas of a row. How its sums are
// taken is the kernels'.
//
// The root mean square: Zhang and Sennrich, arXiv:1910.07467.
#pragma once

#include "core/kernels.h"
#include "core/math.h"

namespace fastnn::FASTNN_TARGET {

// 1 / length of a row of c columns, from the sum of its squares.
template <class T>
FASTNN_INLINE T inverse_length(RowLength length, T squares, Index c, T epsilon) {
  if (length == RowLength::root_mean_square) {
    return T(1) / sqrt(squares / static_cast<T>(c) + epsilon);
  }
  const T norm = sqrt(squares);
  return T(1) / (norm < epsilon ? epsilon : norm);
}

// dx = inverse (g - xhat factor), where `product` is the sum of g x over the columns.
template <class T>
FASTNN_INLINE T slope_factor(RowLength length, T inverse, T product, Index c, T epsilon) {
  const T along = product * inverse;
  if (length == RowLength::root_mean_square) return along / static_cast<T>(c);
  return epsilon > T(0) && inverse >= T(1) / epsilon ? T(0) : along;
}

}  // namespace fastnn::FASTNN_TARGET
