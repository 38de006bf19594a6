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
  // The lower half of upper(p) ^ b ^ c, and above it that of p.
  static FASTNN_INLINE Type last(Type p, Type b, Type c) {
    return _mm512_mask_ternarylogic_epi32(_mm512_maskz_rol_epi64(0xFF, p, 32), 0x5555, b, c, 0x96);
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
  static FASTNN_INLINE Type last(Type p, Type b, Type c) {
    const Type lower = _mm256_blend_epi32(_mm256_xor_si256(b, c), _mm256_setzero_si256(), 0xAA);
    return _mm256_xor_si256(_mm256_shuffle_epi32(p, 0xB1), lower);
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
  static FASTNN_INLINE Type last(Type p, Type b, Type c) {
    const Type lower = _mm_and_si128(_mm_xor_si128(b, c), all(0xFFFFFFFFU));
    return _mm_xor_si128(_mm_shuffle_epi32(p, 0xB1), lower);
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

// The key in `round`, the first of which is 0.
struct RoundKeys {
  Halves::Type k0, k1;

  static FASTNN_INLINE RoundKeys of(uint64_t key, int round) {
    const auto turns = static_cast<uint32_t>(round);
    return {Halves::all(static_cast<uint32_t>(key) + turns * philox_step_0),
            Halves::all(static_cast<uint32_t>(key >> 32U) + turns * philox_step_1)};
  }
};

// The four words of a counter in each lane. Upper halves may hold anything.
struct Counters {
  Halves::Type c0, c1, c2, c3;

  FASTNN_INLINE Halves::Type product_0() const {
    return Halves::product(c0, Halves::all(philox_factor_0));
  }
  FASTNN_INLINE Halves::Type product_1() const {
    return Halves::product(c2, Halves::all(philox_factor_1));
  }
  FASTNN_INLINE void turn(const RoundKeys& key) {
    const Halves::Type p0 = product_0();
    const Halves::Type p1 = product_1();
    c0 = Halves::mix(Halves::upper(p1), c1, key.k0);
    c2 = Halves::mix(Halves::upper(p0), c3, key.k1);
    c1 = p1;
    c3 = p0;
  }
  // The last round, and the words.
  FASTNN_INLINE void finish(const RoundKeys& key, uint32_t* out) const {
    Halves::store(out, Halves::last(product_1(), c1, key.k0),
                  Halves::last(product_0(), c3, key.k1));
  }
};

// `count` vectors side by side: the rounds of one are a chain.
template <Index count>
FASTNN_INLINE void finish_rounds(uint64_t key, int round, Counters* at, uint32_t* out) {
  for (; round < philox_rounds - 1; ++round) {
    const RoundKeys keys = RoundKeys::of(key, round);
    for (Index v = 0; v < count; ++v) at[v].turn(keys);
  }
  const RoundKeys keys = RoundKeys::of(key, round);
  for (Index v = 0; v < count; ++v) at[v].finish(keys, out + 4 * v * Halves::lanes);
}

inline constexpr Index vectors_at_once = 4;

inline void random_words(uint64_t key, uint64_t step, const uint64_t* counter, uint32_t* out) {
  constexpr Index at_once = vectors_at_once * Halves::lanes;
  static_assert(quads % at_once == 0);
  for (Index i = 0; i < quads; i += at_once) {
    Counters at[vectors_at_once];
    for (Index v = 0; v < vectors_at_once; ++v) {
      at[v].c0 = Halves::all(step);
      at[v].c1 = Halves::upper(at[v].c0);
      at[v].c2 = Halves::load(counter + i + v * Halves::lanes);
      at[v].c3 = Halves::upper(at[v].c2);
    }
    finish_rounds<vectors_at_once>(key, 0, at, out + 4 * i);
  }
}

// -- long rows --------------------------------------------------------------
//
// In one step, counters differ by column (c2) and row (c3) alone. The first round multiplies the
// step and the column, the second what each of column and row has become, and only the first
// product of the third depends on both. So the work of three rounds on a table of columns is done
// once for all rows, all but that product: 47 operations for a vector in place of 60.

// In the order of Halves::load. The first factor of round three is c0 ^ row.c0. After it, c0 is
// third_0 ^ row.c1, c2 is upper(first product) ^ third_2, and c3 is the first product.
struct ColumnRounds {
  Halves::Type c0, third_0, c1, third_2;
};

struct RowRounds {
  Halves::Type c0, c1;
};

inline constexpr Index table_vectors = 256 / Halves::lanes;

// The rounds of a vector of counters from `column` on, each of which serves four columns of a row.
FASTNN_APART ColumnRounds column_rounds(uint64_t key, uint64_t step, Index column) {
  uint64_t columns[Halves::lanes];
  for (Index k = 0; k < Halves::lanes; ++k) columns[k] = static_cast<uint64_t>(column + k);
  Counters at{Halves::all(step), Halves::all(step >> 32U), Halves::load(columns), Halves::all(0)};
  at.turn(RoundKeys::of(key, 0));
  const RoundKeys second = RoundKeys::of(key, 1);
  const RoundKeys third = RoundKeys::of(key, 2);
  const Halves::Type p0 = at.product_0();
  const Halves::Type c0 = at.c1 ^ second.k0;
  at.c2 = Halves::mix(Halves::upper(p0), at.c3, second.k1);
  const Halves::Type p1 = at.product_1();
  return {c0, Halves::upper(p1) ^ third.k0, p1, p0 ^ third.k1};
}

inline RowRounds row_rounds(uint64_t key, uint64_t step, Index row) {
  const uint64_t first = uint64_t{philox_factor_0} * static_cast<uint32_t>(step);
  const auto c2 = static_cast<uint32_t>(first >> 32U ^ static_cast<uint64_t>(row) ^ key >> 32U);
  const uint64_t second = uint64_t{philox_factor_1} * c2;
  return {Halves::all(second >> 32U), Halves::all(second)};
}

template <Index count>
FASTNN_INLINE void words_of_vectors(uint64_t key, const ColumnRounds* table, const RowRounds& row,
                                    uint32_t* out) {
  Counters at[count];
  for (Index v = 0; v < count; ++v) {
    const ColumnRounds& column = table[v];
    at[v].c0 = column.c0 ^ row.c0;
    const Halves::Type p0 = at[v].product_0();
    at[v].c0 = column.third_0 ^ row.c1;
    at[v].c1 = column.c1;
    at[v].c2 = Halves::upper(p0) ^ column.third_2;
    at[v].c3 = p0;
  }
  finish_rounds<count>(key, 3, at, out);
}

// The words of the first `vectors` of a table, in a row.
FASTNN_APART void words_of_row(uint64_t key, const ColumnRounds* table, Index vectors,
                               const RowRounds& row, uint32_t* out) {
  Index v = 0;
  for (; v + vectors_at_once <= vectors; v += vectors_at_once) {
    words_of_vectors<vectors_at_once>(key, table + v, row, out + 4 * v * Halves::lanes);
  }
  for (; v < vectors; ++v) words_of_vectors<1>(key, table + v, row, out + 4 * v * Halves::lanes);
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
