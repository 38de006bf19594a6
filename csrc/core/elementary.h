// Exponential, sine and cosine of arguments of either sign, for activations; as math.h, without
// branches, in float and double.
#pragma once

#include <math.h>
#include <stdint.h>

#include "core/math.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

// exp(x) of any x. Error under 1.5 units in the last place on both sides, where exp (math.h) of a
// large x is one over a subnormal number. Infinite from 88.723 on.
FASTNN_INLINE float exponential(float x) {
  // 2^128 is no float: half of the power, and a factor of 2.
  const float kept = x > 89.0F ? 89.0F : x;
  const Reduced<float> reduced = reduce_exponent<-1>(kept);
  const float above = mul_add(expm1_reduced(reduced.r), 2.0F, 2.0F) * reduced.power;
  return x > 0.0F ? above : exp_nonpositive(x);
}
FASTNN_INLINE double exponential(double x) { return ::exp(x); }

// -- sine and cosine ----------------------------------------------------------

// x = k pi / 2 + r with |r| <= pi / 4.
struct QuarterTurns {
  float r;
  uint32_t k;  // its low two bits count
};

// Cody and Waite's reduction: pi / 2 in three parts of 11 bits and a rest. Products of k < 2^13
// with the parts are exact, with and without fused operations, so r is right to 2^-25 for |x| up to
// 10^4. Beyond that, its error grows as that of x itself, by about |x| 2^-24; from 6e6 on, where
// neighbouring floats are half a radian apart, r is only known to be in range.
FASTNN_INLINE QuarterTurns quarter_turns(float x) {
  constexpr float shift = 12582912.0F;  // 1.5 * 2^23 rounds to integers, as in reduce_exponent
  constexpr float end = 0.7855F;
  const float shifted = mul_add(x, 0.636619772F, shift);
  const float k = shifted - shift;
  float r = mul_add(-k, 1.5703125F, x);
  r = mul_add(-k, 4.83751297e-4F, r);
  r = mul_add(-k, 7.54953362e-8F, r);
  r = mul_add(-k, 2.56334415e-12F, r);
  r = abs(r) > end ? copy_sign(end, r) : r;
  return {r, __builtin_bit_cast(uint32_t, shifted)};
}

// sin(r + k pi / 2). The polynomials are fitted on |r| <= pi / 4, to 4e-9 of the sine and 1e-10.
FASTNN_INLINE float turned_sine(float r, uint32_t k) {
  const float square = r * r;
  float odd = mul_add(-1.951665658e-4F, square, 8.332173550e-3F);
  odd = mul_add(odd, square, -1.666665487e-1F);
  odd = mul_add(odd * square, r, r);
  float even = mul_add(2.443773070e-5F, square, -1.388736146e-3F);
  even = mul_add(even, square, 4.166664675e-2F);
  even = mul_add(even * square, square, mul_add(square, -0.5F, 1.0F));
  const float y = (k & 1U) != 0 ? even : odd;
  return (k & 2U) != 0 ? -y : y;
}

// sin(x), to 2^-23 for |x| up to 10^4; see quarter_turns. NaN for an infinity.
FASTNN_INLINE float sine(float x) {
  const QuarterTurns turns = quarter_turns(x);
  return turned_sine(turns.r, turns.k);
}
FASTNN_INLINE float cosine(float x) {
  const QuarterTurns turns = quarter_turns(x);
  return turned_sine(turns.r, turns.k + 1U);
}
FASTNN_INLINE double sine(double x) { return ::sin(x); }
FASTNN_INLINE double cosine(double x) { return ::cos(x); }

}  // namespace fastnn::FASTNN_TARGET
