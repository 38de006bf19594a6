// Lanes of vectors in another order, by the compiler's built-in function. Only files that are
// compiled for each instruction set include this.
#pragma once

#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 12
#define FASTNN_SHUFFLES_BY_MASK  // GCC 11 has no __builtin_shufflevector
template <unsigned bytes>
struct LaneNumber;
template <>
struct LaneNumber<4> {
  using Type = int;
};
template <>
struct LaneNumber<8> {
  using Type = long long;
};
#endif

// The lanes `at` of two vectors; the lanes of b are numbered after those of a.
template <int... at, class V>
FASTNN_INLINE V shuffled(V a, V b) {
#ifdef FASTNN_SHUFFLES_BY_MASK
  using Number = typename LaneNumber<sizeof(V) / sizeof...(at)>::Type;
  using Mask __attribute__((vector_size(sizeof(V)))) = Number;
  return __builtin_shuffle(a, b, Mask{at...});
#else
  return __builtin_shufflevector(a, b, at...);
#endif
}

}  // namespace fastnn::FASTNN_TARGET
