// Conversion of float32 to bfloat16 parts, in up to four forms of a matrix at once.
//
// A block of 32 by 32 goes through registers and the first-level cache. Its rows, as pairs along
// the row, are the A form; transposed, they are the B form of the transpose. Two rows interleaved
// are pairs along the column, the B form; transposed, they are the A form of the transpose.
#include "cpu/gemm_bf16.h"
#include "cpu/gemm_transpose.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

static constexpr Index side = 32;

// What remains of 32 by 32 elements after the parts taken so far; zeros beyond the end of X.
struct Rest {
  alignas(64) float at[side][side];
};

#if defined(__AVX512BF16__) && defined(__AVX512BW__)

static void load_rest(const float* x, Index x_row, Index rows, Index columns, Rest& rest) {
  const auto mask = static_cast<uint32_t>((uint64_t{1} << columns) - 1);
  const auto low = static_cast<__mmask16>(mask);
  const auto high = static_cast<__mmask16>(mask >> 16);
  for (Index r = 0; r < side; ++r) {
    const bool inside = r < rows;
    const float* const row = inside ? x + r * x_row : x;
    _mm512_store_ps(rest.at[r], _mm512_maskz_loadu_ps(inside ? low : __mmask16{0}, row));
    _mm512_store_ps(rest.at[r] + 16, _mm512_maskz_loadu_ps(inside ? high : __mmask16{0}, row + 16));
  }
}

static FASTNN_INLINE __m512 widened(__m256i half) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

// Rounds a row to its next part, and subtracts that part from the row unless it is the last.
static FASTNN_INLINE Words round_row(float* row, bool last) {
  const __m512 low = _mm512_load_ps(row);
  const __m512 high = _mm512_load_ps(row + 16);
  // The cast is for compilers with a separate type for vectors of bfloat16.
  const Words pairs = (Words)_mm512_cvtne2ps_pbh(high, low);  // NOLINT
  if (!last) {
    _mm512_store_ps(row, _mm512_sub_ps(low, widened(_mm512_castsi512_si256(pairs))));
    _mm512_store_ps(row + 16, _mm512_sub_ps(high, widened(_mm512_extracti64x4_epi64(pairs, 1))));
  }
  return pairs;
}

// Pairs of 16 columns, from column 16 * half on, out of two rows of 32.
static FASTNN_INLINE Words interleave(Words even, Words odd, int half) {
  const Words first = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8,
                                       39, 7, 38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  const Words at = _mm512_add_epi16(first, _mm512_set1_epi16(static_cast<short>(16 * half)));
  return _mm512_permutex2var_epi16(even, at, odd);
}

#else

static void load_rest(const float* x, Index x_row, Index rows, Index columns, Rest& rest) {
  for (Index r = 0; r < side; ++r) {
    for (Index j = 0; j < side; ++j) {
      rest.at[r][j] = r < rows && j < columns ? x[r * x_row + j] : 0.0F;
    }
  }
}

// Rounds like the instruction: to nearest even, NaN to a quiet NaN, denormals to zero.
static uint32_t rounded(float x) {
  uint32_t bits;
  __builtin_memcpy(&bits, &x, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffU;
  if (magnitude > 0x7f800000U) return bits >> 16 | 0x40U;
  if (magnitude < 0x00800000U) return bits >> 16 & 0x8000U;
  return (bits + 0x7fffU + (bits >> 16 & 1U)) >> 16;
}

static Words round_row(float* row, bool last) {
  Words pairs{};
  for (Index j = 0; j < side; ++j) {
    const uint32_t bits = rounded(row[j]);
    pairs.at[j / 2] |= bits << (16 * (j % 2));
    const uint32_t wide = bits << 16;
    float value;
    __builtin_memcpy(&value, &wide, sizeof value);
    if (!last) row[j] -= value;
  }
  return pairs;
}

static Words interleave(const Words& even, const Words& odd, int half) {
  Words pairs;
  for (int j = 0; j < 16; ++j) {
    const int word = 8 * half + j / 2;
    const int shift = 16 * (j % 2);
    pairs.at[j] = (even.at[word] >> shift & 0xffffU) | (odd.at[word] >> shift & 0xffffU) << 16;
  }
  return pairs;
}

#endif

// Stores rows of 32 k in A form.
static FASTNN_INLINE void store_rows(const Bf16Matrix& to, Index part, Index row, Index k,
                                     Index rows, const Words* pairs) {
  uint16_t* const at = to.data + part * to.part_stride + row * to.stride + k;
  for (Index r = 0; r < rows; ++r) store_words(at + r * to.stride, pairs[r]);
}

// Stores 32 k of a panel in B form.
static FASTNN_INLINE void store_panel(const Bf16Matrix& to, Index part, Index k, Index column,
                                      const Words (&pairs)[16]) {
  uint16_t* const at = to.data + part * to.part_stride + column / bf16_lanes * to.stride + k * 16;
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store_words(at + i * side, pairs[i]);
}

// Stores one part of up to 32 by 32 elements at (row, column) of X in every form that has data.
static void store_forms(const Bf16Convert& c, Index part, Index row, Index column, Index rows,
                        Index columns, const Words (&pairs)[side]) {
  if (c.a.data != nullptr) store_rows(c.a, part, row, column, rows, pairs);
  if (c.b_transposed.data != nullptr) {
    for (Index half = 0; half < rows; half += 16) {
      Words turned[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) turned[i] = pairs[half + i];
      transpose(turned);
      store_panel(c.b_transposed, part, column, row + half, turned);
    }
  }
  if (c.b.data == nullptr && c.a_transposed.data == nullptr) return;
  for (int half = 0; 16 * half < columns; ++half) {
    Words down[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) down[i] = interleave(pairs[2 * i], pairs[2 * i + 1], half);
    const Index first = column + 16 * half;
    if (c.b.data != nullptr) store_panel(c.b, part, row, first, down);
    if (c.a_transposed.data != nullptr) {
      transpose(down);
      store_rows(c.a_transposed, part, first, row, least(16, columns - 16 * half), down);
    }
  }
}

void convert_bf16(const Bf16Convert& c) {
  for (Index r = 0; r < c.block.rows; r += side) {
    for (Index j = 0; j < c.block.columns; j += side) {
      const Index rows = least(side, c.block.rows - r);
      const Index columns = least(side, c.block.columns - j);
      Rest rest;
      load_rest(c.x + r * c.x_row + j, c.x_row, rows, columns, rest);
      for (int part = 0; part < c.bf16_parts; ++part) {
        Words pairs[side];
        for (Index i = 0; i < side; ++i) pairs[i] = round_row(rest.at[i], part + 1 == c.bf16_parts);
        store_forms(c, part, c.block.row + r, c.block.column + j, rows, columns, pairs);
      }
    }
  }
}

}  // namespace fastnn::FASTNN_TARGET
