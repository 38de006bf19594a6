// Every elementwise formula of fastnn, for host and device, float and double. Loops over elements
// are elsewhere.
//
// A function here takes scalars and returns scalars. It has no branches, only selections, so that a
// loop over it vectorises. NaN in gives NaN out; an infinity gives the limit if there is one.
//
// In float, exp, log and erfc are fastnn's own: polynomials fitted (minimax, weighted for relative
// error) on the reduced argument and evaluated in short chains (Estrin's scheme), because loops
// over them wait for results more than for units. In double, exp and expm1 of arguments that are
// not positive are fastnn's own, too, for sigmoid, tanh and softmax; the others are the C
// library's.
//
// Compiled with -ffp-contract=off: a product and a sum are fused where mul_add says so and nowhere
// else, so that the result of an element depends neither on the compiler's choices nor on the
// element's place in a vector.
#pragma once

#include <math.h>
#include <stdint.h>

#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

// -- arithmetic -------------------------------------------------------------

#if defined(__FMA__) || defined(__aarch64__) || defined(__CUDA_ARCH__)
FASTNN_INLINE float mul_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
FASTNN_INLINE double mul_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
#else
FASTNN_INLINE float mul_add(float a, float b, float c) { return a * b + c; }
FASTNN_INLINE double mul_add(double a, double b, double c) { return a * b + c; }
#endif

FASTNN_INLINE float abs(float x) { return __builtin_fabsf(x); }
FASTNN_INLINE double abs(double x) { return __builtin_fabs(x); }
FASTNN_INLINE float sqrt(float x) { return __builtin_sqrtf(x); }
FASTNN_INLINE double sqrt(double x) { return __builtin_sqrt(x); }
FASTNN_INLINE float copy_sign(float x, float sign) { return __builtin_copysignf(x, sign); }
FASTNN_INLINE double copy_sign(double x, double sign) { return __builtin_copysign(x, sign); }

// a * b, but 0 if a is 0, whatever b is: a weight of zero leaves its term out.
template <class T>
FASTNN_INLINE T weigh(T a, T b) {
  return a == T(0) ? T(0) : a * b;
}

// The smallest number of T with all its digits.
template <class T>
FASTNN_INLINE constexpr T least_normal() {
  return sizeof(T) == 4 ? T(0x1p-126) : T(0x1p-1022);
}

// x in T, for a divisor: an x above 0 becomes at least `least`, so that it is not rounded to 0, and
// 0 stays 0.
template <class T>
FASTNN_INLINE constexpr T positive_as(double x, T least) {
  const T rounded = static_cast<T>(x);
  return x > 0 && rounded < least ? least : rounded;
}

// -1, 0 or 1; NaN for NaN.
template <class T>
FASTNN_INLINE T sign_of(T x) {
  const T below = x < T(0) ? T(-1) : x;  // 0 and NaN are their own sign
  return x > T(0) ? T(1) : below;
}

template <class T>
FASTNN_INLINE bool is_finite(T x) {
  return x - x == T(0);
}

// -- exponential and logarithm, float ---------------------------------------

// All exponentials in fastnn have arguments that are not positive, which halves the work: exp(x) =
// 2^n e^r with |r| <= log(2) / 2 and n <= 0, so that 2^(n + raised) is one factor, and it is 0 for
// the smallest n.
template <class T>
struct Reduced {
  T r;
  T power;
};

template <int raised>
FASTNN_INLINE Reduced<float> reduce_exponent(float x) {
  // Adding 1.5 * 2^23 rounds to the nearest integer, which is then in the low bits; since the bias
  // of exponents is added too, a shift moves them into place. log(2) is subtracted in two parts, of
  // which the first is short enough for n * high to be exact.
  constexpr float bias = 127.0F + raised;
  constexpr float lowest = bias * -0.6932F;
  constexpr float shift = 12582912.0F + bias;
  constexpr float high = 0.693359375F;
  constexpr float low = -2.12194440e-4F;
  const float kept = x < lowest ? lowest : x;
  const float shifted = mul_add(kept, 1.44269504F, shift);
  const float n = shifted - shift;
  const float r = mul_add(n, -low, mul_add(n, -high, kept));
  const uint32_t bits = __builtin_bit_cast(uint32_t, shifted) << 23U;
  return {r, __builtin_bit_cast(float, bits)};
}

// e^r - 1 with relative error 3e-9 before rounding.
FASTNN_INLINE float expm1_reduced(float r) {
  const float square = r * r;
  const float low = mul_add(1.666651860e-1F, r, 0.5F);
  const float middle = mul_add(8.368917867e-3F, r, 4.166620506e-2F);
  const float high = mul_add(1.395054052e-3F, square, middle);
  return mul_add(mul_add(high, square, low), square, r);
}

// exp(x) for x <= 0. Error under 1.5 units in the last place; subnormal results are kept, since the
// product of the two factors is rounded once.
FASTNN_INLINE float exp_nonpositive(float x) {
  constexpr float lowered = 0x1p-24F;
  const Reduced<float> reduced = reduce_exponent<24>(x);
  return mul_add(expm1_reduced(reduced.r), lowered, lowered) * reduced.power;
}

// exp(x) - 1 for x <= 0.
FASTNN_INLINE float expm1_nonpositive(float x) {
  const Reduced<float> reduced = reduce_exponent<0>(x);
  return mul_add(expm1_reduced(reduced.r), reduced.power, reduced.power - 1.0F);
}

// log(m * 2^e) with m in [sqrt(1/2), sqrt(2)). For finite x > 0 that is not subnormal.
FASTNN_INLINE float log_positive(float x) {
  constexpr int32_t sqrt_half = 0x3f3504f3;
  const int32_t bits = __builtin_bit_cast(int32_t, x);
  const int32_t exponent = (bits - sqrt_half) >> 23;
  const float m = __builtin_bit_cast(
      float,
      static_cast<int32_t>(static_cast<uint32_t>(bits) - (static_cast<uint32_t>(exponent) << 23U)));
  const float r = m - 1.0F;
  const auto e = static_cast<float>(exponent);
  float p = 6.915428444e-2F;
  p = mul_add(p, r, -1.178983670e-1F);
  p = mul_add(p, r, 1.187296447e-1F);
  p = mul_add(p, r, -1.238434275e-1F);
  p = mul_add(p, r, 1.421865899e-1F);
  p = mul_add(p, r, -1.666925117e-1F);
  p = mul_add(p, r, 2.000222658e-1F);
  p = mul_add(p, r, -2.499998659e-1F);
  p = mul_add(p, r, 3.333331044e-1F);
  const float square = r * r;
  float y = mul_add(p * square, r, e * -2.12194440e-4F);
  y = mul_add(square, -0.5F, y);
  return mul_add(e, 0.693359375F, y + r);
}

// For x >= 0 that is not subnormal.
FASTNN_INLINE float log(float x) {
  float y = log_positive(x);
  y = x > 3.4028234e38F ? x : y;
  y = x == 0.0F ? -__builtin_inff() : y;
  return x >= 0.0F ? y : __builtin_nanf("");
}

// log(1 + x) for 0 <= x <= 1 as x + x^2 P(x); P is fitted to relative error 5e-9 of the whole.
// Error under 1.5 units in the last place, 2 without fused operations.
FASTNN_INLINE float log1p_unit(float x) {
  const float square = x * x;
  const float p_0 = mul_add(3.333051133e-1F, x, -4.999993276e-1F);
  const float p_2 = mul_add(1.969540101e-1F, x, -2.495858753e-1F);
  const float p_4 = mul_add(1.068055725e-1F, x, -1.535539745e-1F);
  const float p_6 = mul_add(2.020459304e-2F, x, -5.766446016e-2F);
  const float fourth = square * square;
  const float high = mul_add(mul_add(-3.318474296e-3F, square, p_6), square, p_4);
  return mul_add(mul_add(high, fourth, mul_add(p_2, square, p_0)), square, x);
}

// exp(-z^2) and erfc(z).
template <class T>
struct Tail {
  T density, erfc;
};

// erfc(z) for z >= 0 as t Q(t) exp(-z^2) with t = 1 / (1 + z / 2); Q is fitted to relative error
// 5e-8 on z <= 13. Beyond that, erfc is 0 in float.
FASTNN_INLINE Tail<float> normal_tail(float z) {
  const float x = z > 13.0F ? 13.0F : z;
  const float t = 1.0F / mul_add(x, 0.5F, 1.0F);
  const float square = t * t;
  const float q_0 = mul_add(2.824120963e-1F, t, 2.820843313e-1F);
  const float q_2 = mul_add(2.037522879e-1F, t, 2.428351538e-1F);
  const float q_4 = mul_add(2.817319467e-1F, t, -2.914778046e-2F);
  const float q_6 = mul_add(2.861232252e-1F, t, -4.904050107e-1F);
  const float fourth = square * square;
  const float high = mul_add(mul_add(-5.938629422e-2F, square, q_6), square, q_4);
  const float q = mul_add(high, fourth, mul_add(q_2, square, q_0));
  // exp(-(s + d)) = exp(-s) (1 - d), where d is the rounding error of x * x. Without d, the tail is
  // wrong by z^2 units in the last place.
  const float s = x * x;
  const float d = mul_add(x, x, -s);
  const float density = exp_nonpositive(-s) * (1.0F - d);
  return {density, t * q * density};
}

// -- the same, double -------------------------------------------------------

// As in float: 1.5 * 2^52 rounds, and n has at most 11 bits, so that n * high is exact in 53.
template <int raised>
FASTNN_INLINE Reduced<double> reduce_exponent(double x) {
  constexpr double bias = 1023.0 + raised;
  constexpr double lowest = bias * -0.6932;
  constexpr double shift = 6755399441055744.0 + bias;
  constexpr double high = 0x1.62e42fefa38p-1;
  constexpr double low = 0x1.ef35793c7673p-45;
  const double kept = x < lowest ? lowest : x;
  const double shifted = mul_add(kept, 1.4426950408889634, shift);
  const double n = shifted - shift;
  const double r = mul_add(n, -low, mul_add(n, -high, kept));
  const uint64_t bits = __builtin_bit_cast(uint64_t, shifted) << 52U;
  return {r, __builtin_bit_cast(double, bits)};
}

// e^r - 1: Taylor's series up to r^13 / 13!, which leaves 4e-18 at log(2) / 2.
FASTNN_INLINE double expm1_reduced(double r) {
  const double square = r * r;
  const double p_2 = mul_add(1.0 / 6, r, 0.5);
  const double p_4 = mul_add(1.0 / 120, r, 1.0 / 24);
  const double p_6 = mul_add(1.0 / 5040, r, 1.0 / 720);
  const double p_8 = mul_add(1.0 / 362880, r, 1.0 / 40320);
  const double p_10 = mul_add(1.0 / 39916800, r, 1.0 / 3628800);
  const double p_12 = mul_add(1.0 / 6227020800, r, 1.0 / 479001600);
  const double fourth = square * square;
  const double low = mul_add(p_4, square, p_2);
  const double middle = mul_add(p_8, square, p_6);
  const double high = mul_add(p_12, square, p_10);
  return mul_add(mul_add(mul_add(high, fourth, middle), fourth, low), square, r);
}

// exp(x) and exp(x) - 1 for x <= 0. Error under 1.1 and 1.3 units in the last place, measured over
// 2 * 10^7 arguments; subnormal results are kept. A loop over them takes a sixth of the time of the
// C library's, which no loop can vectorise.
FASTNN_INLINE double exp_nonpositive(double x) {
  constexpr double lowered = 0x1p-53;
  const Reduced<double> reduced = reduce_exponent<53>(x);
  return mul_add(expm1_reduced(reduced.r), lowered, lowered) * reduced.power;
}
FASTNN_INLINE double expm1_nonpositive(double x) {
  const Reduced<double> reduced = reduce_exponent<0>(x);
  return mul_add(expm1_reduced(reduced.r), reduced.power, reduced.power - 1.0);
}
FASTNN_INLINE double log(double x) { return ::log(x); }
FASTNN_INLINE double log1p_unit(double x) { return ::log1p(x); }
FASTNN_INLINE Tail<double> normal_tail(double x) { return {::exp(-x * x), ::erfc(x)}; }

// -- of arguments of either sign --------------------------------------------

// exp(x) of any x, with one rounding more than exp_nonpositive where x is above 0.
FASTNN_INLINE float exp(float x) {
  const float e = exp_nonpositive(-__builtin_fabsf(x));
  return x > 0.0F ? 1.0F / e : e;
}
FASTNN_INLINE double exp(double x) { return ::exp(x); }

// log(1 + x) for x >= 0.
template <class T>
FASTNN_INLINE T log1p_nonnegative(T x) {
  const bool small = x < T(1);
  const T below = log1p_unit(small ? x : T(0));
  const T above = log(T(1) + x);
  return small ? below : above;
}

// -- parts of activations and losses ----------------------------------------

// exp(-|x|). sigmoid(x), sigmoid(-x) and softplus all follow from it without cancellation.
template <class T>
FASTNN_INLINE T exp_minus_abs(T x) {
  return exp_nonpositive(-abs(x));
}

template <class T>
FASTNN_INLINE T sigmoid(T x) {
  const T e = exp_minus_abs(x);
  return (x < T(0) ? e : T(1)) / (T(1) + e);
}

// sigmoid(x), and sigmoid(-x), which is 1 - sigmoid(x) without cancellation.
template <class T>
struct Sides {
  T p, q;
};

template <class T>
FASTNN_INLINE Sides<T> sigmoid_sides(T x, T e) {
  const T large = T(1) / (T(1) + e);
  const T small = e * large;
  return {x < T(0) ? small : large, x < T(0) ? large : small};
}

template <class T>
FASTNN_INLINE T softplus(T x) {
  return (x < T(0) ? T(0) : x) + log1p_unit(exp_minus_abs(x));
}

template <class T>
FASTNN_INLINE T tanh(T x) {
  const T e = expm1_nonpositive(T(-2) * abs(x));
  return copy_sign(-e / (T(2) + e), x);
}

// The normal distribution function, and exp(-x^2 / 2). It keeps relative accuracy in the lower tail
// too, where (1 + erf(x / sqrt 2)) / 2 has lost every digit.
template <class T>
struct Normal {
  T cdf, density;
};

template <class T>
FASTNN_INLINE Normal<T> normal(T x) {
  constexpr T half_sqrt_two = T(0.70710678118654752440);
  const Tail<T> tail = normal_tail(abs(x) * half_sqrt_two);
  const T below = T(0.5) * tail.erfc;
  return {x < T(0) ? below : T(1) - below, tail.density};
}

// Clips x to a value that is large enough for every vanishing factor to be 0, and finite, so that
// an infinite argument times its factor 0 gives 0 and not NaN.
template <class T>
FASTNN_INLINE T finite(T x) {
  return abs(x) > T(1e4) ? copy_sign(T(1e4), x) : x;
}

// -- for optimizers ---------------------------------------------------------

// What gradients of this norm are multiplied by so that it is at most `limit`. A norm that is no
// number gives one, so that the step shows it.
FASTNN_INLINE double factor_of_norm(double norm, double limit) {
  return norm <= limit ? 1.0 : limit / norm;
}

// What a vector of this norm is multiplied by so that the norm comes near [low, high], by `rate` of
// the way, in Keras's form.
FASTNN_INLINE double factor_within(double norm, double low, double high, double rate) {
  const double above = norm < low ? low : norm;  // a norm that is no number stays
  const double within = above > high ? high : above;
  return (rate * within + (1 - rate) * norm) / (norm + 1e-7);
}

// You et al., arXiv:1904.00962: what moves are multiplied by so that they are as long as weights.
FASTNN_INLINE double ratio_of_norms(double weights, double moves) {
  return weights > 0 && moves > 0 ? weights / moves : 1.0;
}

// Square root of x >= 0 without the division unit, which Adam keeps busy with its quotient: in that
// unit a root costs as much as all the rest of the step. A first guess of 1 / sqrt(x) comes from
// halving the exponent (within 4.2 %); a quadratic makes it right to 1.7e-5; one of Newton's steps
// follows on the root itself. Relative error at most 1.5 * 2^-24 for normal x, measured over all
// exponents. Below the least normal number the result is only known to be below 1.1e-19, as it
// should be.
FASTNN_INLINE float root(float x) {
  const float guess = __builtin_bit_cast(float, 0x5f200000 - (__builtin_bit_cast(int32_t, x) >> 1));
  const float scaled = x * guess;
  const float square = scaled * guess;
  const float slope = mul_add(square, 0.66314778F, -1.7609159F);
  const float factor = mul_add(square, slope, 2.1023482F);
  const float y = scaled * factor;
  const float rest = mul_add(-y, y, x);
  const float better = mul_add(rest, 0.5F * guess * factor, y);
  return x < __builtin_inff() ? better : x;
}

FASTNN_INLINE double root(double x) { return sqrt(x); }

// How Adam takes its roots: with the function above, or with the division unit, if that unit is so
// fast that it finishes root and quotient before the rest of the step.
struct RootByProducts {
  template <class T>
  FASTNN_INLINE T operator()(T x) const {
    return root(x);
  }
};
struct RootByUnit {
  template <class T>
  FASTNN_INLINE T operator()(T x) const {
    return sqrt(x);
  }
};

}  // namespace fastnn::FASTNN_TARGET
