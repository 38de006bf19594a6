// Random numbers from counters, for host and device: any number of any stream is computed without
// the ones before it, so that results do not depend on the order of work. There is no state.
//
// Philox 4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The
// permutation is a keyed Feistel network with cycle walking: Black and Rogaway, "Ciphers with
// arbitrary finite domains", CT-RSA 2002.
#pragma once

#include <math.h>
#include <stdint.h>

#include "core/math.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

struct Philox {
  uint32_t word[4];
};

inline constexpr int philox_rounds = 10;
inline constexpr uint32_t philox_factor_0 = 0xD2511F53U;
inline constexpr uint32_t philox_factor_1 = 0xCD9E8D57U;
inline constexpr uint32_t philox_step_0 = 0x9E3779B9U;
inline constexpr uint32_t philox_step_1 = 0xBB67AE85U;

FASTNN_INLINE Philox philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
  auto k0 = static_cast<uint32_t>(key);
  auto k1 = static_cast<uint32_t>(key >> 32U);
  auto c0 = static_cast<uint32_t>(counter_low);
  auto c1 = static_cast<uint32_t>(counter_low >> 32U);
  auto c2 = static_cast<uint32_t>(counter_high);
  auto c3 = static_cast<uint32_t>(counter_high >> 32U);
  for (int round = 0; round < philox_rounds; ++round) {
    const uint64_t product_0 = uint64_t{philox_factor_0} * c0;
    const uint64_t product_1 = uint64_t{philox_factor_1} * c2;
    c0 = static_cast<uint32_t>(product_1 >> 32U) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(product_0 >> 32U) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(product_1);
    c3 = static_cast<uint32_t>(product_0);
    k0 += philox_step_0;
    k1 += philox_step_1;
  }
  return {{c0, c1, c2, c3}};
}

// The key of one stream of a model, such as a layer's: splitmix64's finaliser.
FASTNN_INLINE uint64_t stream_key(uint64_t key, uint64_t stream) {
  uint64_t x = key + (stream + 1) * 0x9E3779B97F4A7C15U;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31U);
}

// Uniform in (0, 1), never 0 or 1; for each value x, 1 - x is a value too.
FASTNN_INLINE double uniform(uint32_t bits) { return (bits + 0.5) * 0x1p-32; }

// Number j of a stream, in (low, high).
FASTNN_INLINE double uniform_number(uint64_t key, uint64_t j, double low, double high) {
  return low + (high - low) * uniform(philox(key, j, 0).word[0]);
}

// Box and Muller, 1958: the radius from one word, the angle from another.
FASTNN_INLINE double standard_normal(const Philox& words) {
  constexpr double two_pi = 6.283185307179586;
  return ::sqrt(-2 * ::log(uniform(words.word[0]))) * ::cos(two_pi * uniform(words.word[1]));
}

// Number j of a stream. If truncated, it is drawn again until it is within two standard deviations.
FASTNN_INLINE double normal_number(uint64_t key, uint64_t j, double mean, double deviation,
                                   bool truncated) {
  double x = 0;
  uint64_t tries = 0;
  do {
    x = standard_normal(philox(key, j, tries++));
  } while (truncated && (x > 2 || x < -2));
  return mean + deviation * x;
}

// The normal number of a word: the quantile of (word + 1/2) / 2^32. Its distance from zero is a
// polynomial in s = sqrt(-2 log q) - 4, where q is the probability of its tail, fitted to absolute
// error 3e-6. It is made in float for both types of arithmetic, and without branches.

// All bits where the number is above zero. A selection of ~word would read a register of the
// vector before it, and let each vector wait for the one before.
FASTNN_INLINE uint32_t upper_half(uint32_t word) {
  return static_cast<uint32_t>(static_cast<int32_t>(word) >> 31);
}

FASTNN_INLINE float normal_argument(uint32_t word) {
  const auto tail = static_cast<int32_t>(word ^ upper_half(word));
  const float q = (static_cast<float>(tail) + 0.5F) * 0x1p-32F;
  return sqrt(-2.0F * log_positive(q)) - 4.0F;
}

FASTNN_INLINE float normal_at(float s, uint32_t word) {
  float z = 9.880198466e-08F;
  z = mul_add(z, s, -2.898870908e-07F);
  z = mul_add(z, s, -9.772889148e-07F);
  z = mul_add(z, s, 1.248589574e-06F);
  z = mul_add(z, s, 1.406826282e-05F);
  z = mul_add(z, s, -4.095023441e-05F);
  z = mul_add(z, s, 1.149466971e-04F);
  z = mul_add(z, s, -6.417807948e-04F);
  z = mul_add(z, s, 3.333882729e-03F);
  z = mul_add(z, s, -1.704608646e-02F);
  z = mul_add(z, s, 1.093387105e+00F);
  z = mul_add(z, s, 3.401194592e+00F);
  return __builtin_bit_cast(float,
                            __builtin_bit_cast(uint32_t, z) ^ (~upper_half(word) & 0x80000000U));
}

FASTNN_INLINE float normal_of(uint32_t word) { return normal_at(normal_argument(word), word); }

// Dropout keeps an element whose word is at most `last`, and multiplies it by `scale`. Four columns
// of a row share a counter in dropout_words: column j uses word j % 4.
template <class T>
struct Kept {
  uint32_t last;
  T scale;
};

template <class T>
FASTNN_INLINE Kept<T> kept_of(double rate) {
  const double keep = (1 - rate) * 0x1p32;
  return {static_cast<uint32_t>(keep < 1 ? 0 : keep - 1), static_cast<T>(1 / (1 - rate))};
}

template <class T>
FASTNN_INLINE T drop(const Kept<T>& kept, uint32_t word, T x) {
  const T y = x * kept.scale;
  return word <= kept.last ? y : T(0);
}

FASTNN_INLINE Philox dropout_words(uint64_t key, uint64_t step, uint32_t row, uint32_t quad) {
  return philox(key, step, uint64_t{row} << 32U | quad);
}

// The streams of a model that belong to no layer.
inline constexpr uint64_t permutation_stream = uint64_t{1} << 32U;
// The stream of a dropout that has a key of its own.
inline constexpr uint64_t seeded_dropout_stream = permutation_stream + 1;

// A random permutation of [0, n), evaluated point by point: a Feistel network on pairs (left,
// right) of Z_a x Z_b with a b just above n.
struct Permutation {
  static constexpr uint32_t narrow_sides = 1U << 12U;
  static constexpr int rounds = 10;
  uint64_t n;
  uint32_t a, b;
  bool narrow;  // both sides are below narrow_sides
  uint32_t keys[2 * rounds];
};

FASTNN_INLINE Permutation make_permutation(uint64_t n, uint64_t key, uint64_t epoch) {
  Permutation p{};
  p.n = n;
  // With sides under 8 the rounds would have too few functions to draw from for all orders to be
  // equally likely. With sides of 8, the cycle walk over a handful of rows takes longer.
  constexpr uint64_t least = 8;
  uint64_t a = least;
  while (a * a < n && a < 0xFFFFFFFFU) a += a < 4096 ? 1 : a / 4096;
  p.a = static_cast<uint32_t>(a);
  const uint64_t b = (n + a - 1) / a;
  p.b = static_cast<uint32_t>(b < least ? least : b);
  p.narrow = p.a < Permutation::narrow_sides && p.b < Permutation::narrow_sides;
  const uint64_t stream = stream_key(key, permutation_stream);
  for (uint32_t i = 0; i < 2 * Permutation::rounds; i += 4) {
    const Philox words = philox(stream, epoch, i);
    for (uint32_t j = 0; j < 4; ++j) p.keys[i + j] = words.word[j];
  }
  return p;
}

// (x + F(y)) mod size, for x < size. F is a hash scaled to [0, size). It uses all 32 bits of the
// hash or, if sides are narrow, the upper 16, whose products fit in 32 bits. A vector holds twice
// as many 32-bit products, and some processors take three times as long for 64-bit ones. With 16
// bits, the values of F are within 1/16 of equally likely, and 20 turns leave nothing of that.
template <bool narrow>
FASTNN_INLINE uint32_t turn(uint32_t x, uint32_t y, uint32_t key, uint32_t size) {
  uint32_t h = (y ^ key) * 0x7FEB352DU;
  h = (h ^ (h >> 15U)) * 0x846CA68BU;
  const uint32_t step =
      narrow ? ((h >> 16U) * size) >> 16U : static_cast<uint32_t>((uint64_t{h} * size) >> 32U);
  const uint32_t room = size - x;
  return step < room ? x + step : step - room;
}

#if defined(__CUDA_ARCH__)
#define FASTNN_UNROLL_TURNS _Pragma("unroll")
#elif defined(__CUDACC__)  // nvcc's host pass hands pragmas to a compiler without this one
#define FASTNN_UNROLL_TURNS
#else
#define FASTNN_UNROLL_TURNS _Pragma("GCC unroll 10")
#endif

struct Pair {
  uint32_t left, right;
};

template <bool narrow>
FASTNN_INLINE Pair encipher(const Permutation& p, Pair pair) {
  FASTNN_UNROLL_TURNS
  for (int round = 0; round < Permutation::rounds; ++round) {
    pair.left = turn<narrow>(pair.left, pair.right, p.keys[2 * round], p.a);
    pair.right = turn<narrow>(pair.right, pair.left, p.keys[2 * round + 1], p.b);
  }
  return pair;
}

FASTNN_INLINE Pair encipher(const Permutation& p, Pair pair) {
  return p.narrow ? encipher<true>(p, pair) : encipher<false>(p, pair);
}

FASTNN_INLINE uint64_t join(const Permutation& p, Pair pair) {
  return uint64_t{pair.left} * p.b + pair.right;
}

FASTNN_INLINE Pair split(const Permutation& p, uint64_t x) {
  return {static_cast<uint32_t>(x / p.b), static_cast<uint32_t>(x % p.b)};
}

// The first point in [0, n) on the walk from i.
FASTNN_INLINE uint64_t permute(const Permutation& p, uint64_t i) {
  uint64_t x = join(p, encipher(p, split(p, i)));
  while (x >= p.n) x = join(p, encipher(p, split(p, x)));
  return x;
}

}  // namespace fastnn::FASTNN_TARGET
