// Which row of a table a number names, for host, device and checks.
#pragma once

#include "core/arrays.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

// The row that x names, of [0, vocabulary); -1: x is no such whole number. The comparison with
// vocabulary is one of integers: a float does not hold each of them.
template <class T>
FASTNN_INLINE Index named_row(T x, Index vocabulary) {
  constexpr T beyond = static_cast<T>(Index{1} << 62);
  if (!(x >= T(0) && x < beyond)) return -1;
  const Index row = static_cast<Index>(x);
  return row < vocabulary && static_cast<T>(row) == x ? row : -1;
}

}  // namespace fastnn::FASTNN_TARGET
