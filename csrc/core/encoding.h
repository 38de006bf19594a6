// How a column of a table becomes inputs of a network: the formulas of a column encoding, for host,
// device and checks.
//
// Outputs stand in the order: numbers, pieces of numbers, gaps, categories. What each column
// becomes is a record of whole numbers (EncodedColumn), those of numbers first.
#pragma once

#include "core/embedding.h"
#include "core/kernels.h"
#include "core/math.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
FASTNN_INLINE bool is_gap(T x) {
  return x != x;
}

template <class T>
FASTNN_INLINE T filled(T x, T fill) {
  return is_gap(x) ? fill : x;
}

// (x - center) * factor, and with a bound above 0 z / sqrt(1 + (z / bound)^2), written so that no
// square overflows.
template <class T>
FASTNN_INLINE T scaled_number(T x, T center, T factor, T bound) {
  const T z = (x - center) * factor;
  if (!(bound > T(0))) return z;
  const T t = z / bound;
  const bool large = abs(t) > T(1);
  const T small = large ? T(1) / t : t;
  return bound * (large ? copy_sign(T(1), t) : t) / sqrt(T(1) + small * small);
}

// How much of the piece from `low` to `high` lies below x; of a piece without a width all or
// nothing.
template <class T>
FASTNN_INLINE T piece_below(T x, T low, T high) {
  const T share = (x - low) / (high - low);
  return x < low ? T(0) : x >= high ? T(1) : share;
}

// A column of two values, -1 or 1; what is neither is 0.
template <class T>
FASTNN_INLINE T sign_of_level(T x) {
  const Index level = named_row(x, 2);
  return level < 0 ? T(0) : static_cast<T>(2 * level - 1);
}

// The output that is 1 for a column of categories; -1: none.
template <class T>
FASTNN_INLINE Index level_output(T x, const EncodedColumn& column) {
  const Index level = named_row(x, column.levels);
  if (level >= 0) return column.output + level;
  return column.has_missing ? column.output + column.levels : -1;
}

}  // namespace fastnn::FASTNN_TARGET
