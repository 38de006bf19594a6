// Vectors of sixteen 32-bit words, each a pair of bfloat16, and the transpose of sixteen of them.
#pragma once

#include "core/kernels.h"
#include "core/target.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_TARGET {

#if defined(__AVX512F__)

using Words = __m512i;

FASTNN_INLINE void store_words(void* to, Words x) { _mm512_store_si512(to, x); }

// Row i of the result is column i. Each of four rounds exchanges the elements that are in the wrong
// one of two rows, in units of 32, 64, 128 and 256 bits.
FASTNN_INLINE void transpose(Words (&x)[16]) {
  Words y[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  // x[i + j] gets column j of each 128 bits of rows i to i + 3.
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    const Words low0 = _mm512_shuffle_i32x4(x[j], x[4 + j], 0x88);   // 128 bits 0, 2
    const Words high0 = _mm512_shuffle_i32x4(x[j], x[4 + j], 0xdd);  // 1, 3
    const Words low1 = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0x88);
    const Words high1 = _mm512_shuffle_i32x4(x[8 + j], x[12 + j], 0xdd);
    y[j] = _mm512_shuffle_i32x4(low0, low1, 0x88);
    y[4 + j] = _mm512_shuffle_i32x4(high0, high1, 0x88);
    y[8 + j] = _mm512_shuffle_i32x4(low0, low1, 0xdd);
    y[12 + j] = _mm512_shuffle_i32x4(high0, high1, 0xdd);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) x[i] = y[i];
}

#else

struct Words {
  uint32_t at[16];
};

FASTNN_INLINE void store_words(void* to, const Words& x) { __builtin_memcpy(to, &x, sizeof x); }

FASTNN_INLINE void transpose(Words (&x)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const uint32_t word = x[i].at[j];
      x[i].at[j] = x[j].at[i];
      x[j].at[i] = word;
    }
  }
}

#endif

}  // namespace fastnn::FASTNN_TARGET
