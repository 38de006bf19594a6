// Random words of many counters at once (core/random.h: philox), for kernels that draw a number for
// each element.
//
// Each lane of 64 bits has one counter. A round multiplies the lower halves of its lanes, so that
// the upper ones may hold anything, and no lane is moved before the last round. Compilers do not
// find this product of halves everywhere: GCC takes a product of 64 bits for it, three times as
// long.
#pragma once

#include "core/kernels.h"
#include "core/random.h"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_TARGET {

// The number of counters that are drawn at once.
inline constexpr Index quads = 64;

// counter[i] is the row of a number in its upper half, and its column / 4 in the lower one. The
// four words of counter i are out[4 i] to out[4 i + 3].
#if defined(__SSE2__)

#if defined(__AVX512F__)
// Masks of all lanes, because GCC 12 warns of the undefined vector in the forms without a mask.
struct Halves {
  using Type = __m512i;
  static constexpr Index lanes = 8;
  static FASTNN_INLINE Type all(uint64_t x) { return _mm512_set1_epi64(static_cast<int64_t>(x)); }
  static FASTNN_INLINE Type product(Type a, Type b) { return _mm512_maskz_mul_epu32(0xFF, a, b); }
  static FASTNN_INLINE Type upper(Type a) { return _mm512_maskz_srli_epi64(0xFF, a, 32); }
  static FASTNN_INLINE Type mix(Type a, Type b, Type c) {
    return _mm512_ternarylogic_epi64(a, b, c, 0x96);
  }
  // The lower halves of a and b, in turn.
  static FASTNN_INLINE Type pair(Type a, Type b) {
    return _mm512_mask_shuffle_epi32(a, 0xAAAA, b, _MM_PERM_CCAA);
  }
  // Lane 2 k is that of counter k, lane 2 k + 1 that of counter lanes / 2 + k.
  static FASTNN_INLINE Type load(const uint64_t* p) {
    return _mm512_maskz_permutexvar_epi64(0xFF, _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7),
                                          _mm512_loadu_si512(p));
  }
  static FASTNN_INLINE void store(uint32_t* p, Type a, Type b) {
    _mm512_storeu_si512(p, _mm512_maskz_unpacklo_epi64(0xFF, a, b));
    _mm512_storeu_si512(p + 2 * lanes, _mm512_maskz_unpackhi_epi64(0xFF, a, b));
  }
};
#elif defined(__AVX2__)
struct Halves {
  using Type = __m256i;
  static constexpr Index lanes = 4;
  static FASTNN_INLINE Type all(uint64_t x) { return _mm256_set1_epi64x(static_cast<int64_t>(x)); }
  static FASTNN_INLINE Type product(Type a, Type b) { return _mm256_mul_epu32(a, b); }
  static FASTNN_INLINE Type upper(Type a) { return _mm256_srli_epi64(a, 32); }
  static FASTNN_INLINE Type mix(Type a, Type b, Type c) {
    return _mm256_xor_si256(_mm256_xor_si256(a, c), b);
  }
  static FASTNN_INLINE Type pair(Type a, Type b) {
    return _mm256_blend_epi32(a, _mm256_slli_epi64(b, 32), 0xAA);
  }
  static FASTNN_INLINE Type load(const uint64_t* p) {
    return _mm256_permute4x64_epi64(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)), 0xD8);
  }
  static FASTNN_INLINE void store(uint32_t* p, Type a, Type b) {
    auto* const out = reinterpret_cast<__m256i*>(p);
    _mm256_storeu_si256(out, _mm256_unpacklo_epi64(a, b));
    _mm256_storeu_si256(out + 1, _mm256_unpackhi_epi64(a, b));
  }
};
#else
struct Halves {
  using Type = __m128i;
  static constexpr Index lanes = 2;
  static FASTNN_INLINE Type all(uint64_t x) { return _mm_set1_epi64x(static_cast<int64_t>(x)); }
  static FASTNN_INLINE Type product(Type a, Type b) { return _mm_mul_epu32(a, b); }
  static FASTNN_INLINE Type upper(Type a) { return _mm_srli_epi64(a, 32); }
  static FASTNN_INLINE Type mix(Type a, Type b, Type c) {
    return _mm_xor_si128(_mm_xor_si128(a, c), b);
  }
  static FASTNN_INLINE Type pair(Type a, Type b) {
    return _mm_unpacklo_epi32(_mm_shuffle_epi32(a, _MM_SHUFFLE(3, 1, 2, 0)),
                              _mm_shuffle_epi32(b, _MM_SHUFFLE(3, 1, 2, 0)));
  }
  static FASTNN_INLINE Type load(const uint64_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  }
  static FASTNN_INLINE void store(uint32_t* p, Type a, Type b) {
    auto* const out = reinterpret_cast<__m128i*>(p);
    _mm_storeu_si128(out, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128(out + 1, _mm_unpackhi_epi64(a, b));
  }
};
#endif

inline void random_words(uint64_t key, uint64_t step, const uint64_t* counter, uint32_t* out) {
  using Type = Halves::Type;
  constexpr Index at_once = 4;  // vectors: the rounds of one are a chain
  const Type factor_0 = Halves::all(philox_factor_0);
  const Type factor_1 = Halves::all(philox_factor_1);
  for (Index i = 0; i < quads; i += at_once * Halves::lanes) {
    Type c0[at_once];
    Type c1[at_once];
    Type c2[at_once];
    Type c3[at_once];
    for (Index v = 0; v < at_once; ++v) {
      c0[v] = Halves::all(step);
      c1[v] = Halves::upper(c0[v]);
      c2[v] = Halves::load(counter + i + v * Halves::lanes);
      c3[v] = Halves::upper(c2[v]);
    }
    auto k0 = static_cast<uint32_t>(key);
    auto k1 = static_cast<uint32_t>(key >> 32U);
    for (int round = 0; round < philox_rounds; ++round) {
      const Type key_0 = Halves::all(k0);
      const Type key_1 = Halves::all(k1);
      for (Index v = 0; v < at_once; ++v) {
        const Type product_0 = Halves::product(c0[v], factor_0);
        const Type product_1 = Halves::product(c2[v], factor_1);
        c0[v] = Halves::mix(Halves::upper(product_1), c1[v], key_0);
        c2[v] = Halves::mix(Halves::upper(product_0), c3[v], key_1);
        c1[v] = product_1;
        c3[v] = product_0;
      }
      k0 += philox_step_0;
      k1 += philox_step_1;
    }
    for (Index v = 0; v < at_once; ++v) {
      Halves::store(out + 4 * (i + v * Halves::lanes), Halves::pair(c0[v], c1[v]),
                    Halves::pair(c2[v], c3[v]));
    }
  }
}

#else

inline void random_words(uint64_t key, uint64_t step, const uint64_t* counter, uint32_t* out) {
  for (Index i = 0; i < quads; ++i) {
    const Philox words = philox(key, step, counter[i]);
    for (int j = 0; j < 4; ++j) out[4 * i + j] = words.word[j];
  }
}

#endif

}  // namespace fastnn::FASTNN_TARGET
