// The inner kernels of products in bfloat16: a piece of C stays in registers while k advances. One
// unit is compiled in:
//   tiles of AMX (FASTNN_TILES), 32 by 32 of C in four of eight registers (or their emulation);
//   AVX-512's dot products of pairs, up to 14 by 32 in 28 of 32 registers.
#pragma once

#include "cpu/bf16.h"
#include "cpu/loops.h"

#if defined(FASTNN_TILES) || defined(FASTNN_EMULATE_TILES)
#include "cpu/gemm_bf16_tiles.h"
#else
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_TARGET {

// Columns of C that a unit has in its registers at a time.
inline constexpr Index strip = 2 * bf16_lanes;

// A piece of C: `to` = A B over `steps` times 32 k, plus `from` unless that is null.
struct Piece {
  int bf16_parts;
  Index steps;
  Bf16Matrix a, b;  // at the piece's first row, column and k
  const float* from;
  Index from_row;
  float* to;
  Index to_row;
  // Memory that is needed soon. AVX-512's unit prefetches it meanwhile, `next_step` bytes on for
  // each pair of k.
  const char* next;
  Index next_step;
};

// Divides a block's rows into pieces: `higher` pieces of low + 1 rows come first, and no piece goes
// beyond `rows`.
struct Pieces {
  Index count, low, higher, rows;

  FASTNN_INLINE Index start(Index i) const { return least(i * low + least(i, higher), rows); }
};

#if defined(FASTNN_TILES) || defined(FASTNN_EMULATE_TILES)

using UnitInUse = TilesInUse;

// The unit writes whole tiles, also if fewer rows or columns are asked for.
inline constexpr bool whole_tiles = true;
// Half of the second-level cache, which A shares with the operands that stream through.
inline constexpr Index a_bytes = Index{1} << 20;
inline constexpr Index flops_per_unit = 512;

static Pieces pieces_of(Index rows) { return {ceil_div(rows, 32), 32, 0, rows}; }

// The pairs of parts whose products are added. From one pair to the next, one operand stays in its
// registers; the pair with the largest product comes as late as that allows.
struct PartPair {
  int a, b;
};
template <int P>
struct Walk;
template <>
struct Walk<1> {
  static constexpr int count = 1;
  static constexpr PartPair at[] = {{0, 0}};
};
template <>
struct Walk<2> {
  static constexpr int count = 3;
  static constexpr PartPair at[] = {{0, 1}, {0, 0}, {1, 0}};
};
template <>
struct Walk<3> {
  static constexpr int count = 6;
  static constexpr PartPair at[] = {{0, 2}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {0, 0}};
};

// Tiles 0 to 3 hold C, tiles 4 and 5 A, tiles 6 and 7 B.
template <int R, int V>
static FASTNN_INLINE void start_tiles(const Piece& p) {
  const Index row = p.from_row * Index{sizeof(float)};
  const float* const below = p.from + tile_rows * p.from_row;
  if (p.from == nullptr) {
    FASTNN_TILE_ZERO(0);
    if constexpr (V > 1) FASTNN_TILE_ZERO(1);
    if constexpr (R > 1) FASTNN_TILE_ZERO(2);
    if constexpr (R > 1 && V > 1) FASTNN_TILE_ZERO(3);
    return;
  }
  FASTNN_TILE_LOAD(0, p.from, row);
  if constexpr (V > 1) FASTNN_TILE_LOAD(1, p.from + bf16_lanes, row);
  if constexpr (R > 1) FASTNN_TILE_LOAD(2, below, row);
  if constexpr (R > 1 && V > 1) FASTNN_TILE_LOAD(3, below + bf16_lanes, row);
}

template <int R, int V>
static FASTNN_INLINE void finish_tiles(const Piece& p) {
  const Index row = p.to_row * Index{sizeof(float)};
  FASTNN_TILE_STORE(0, p.to, row);
  if constexpr (V > 1) FASTNN_TILE_STORE(1, p.to + bf16_lanes, row);
  if constexpr (R > 1) FASTNN_TILE_STORE(2, p.to + tile_rows * p.to_row, row);
  if constexpr (R > 1 && V > 1) {
    FASTNN_TILE_STORE(3, p.to + tile_rows * p.to_row + bf16_lanes, row);
  }
}

template <int R, int V, int P>
static void multiply_piece(const Piece& p) {
  const Index a_row = p.a.stride * Index{sizeof(uint16_t)};
  constexpr Index b_row = 64;
  const uint16_t* a = p.a.data;
  const uint16_t* b = p.b.data;
  finish_stores();
  start_tiles<R, V>(p);
  for (Index step = 0; step < p.steps; ++step) {
#pragma GCC unroll 6
    for (int i = 0; i < Walk<P>::count; ++i) {
      const PartPair at = Walk<P>::at[i];
      const bool next_a = i == 0 || at.a != Walk<P>::at[i - 1].a;
      const bool next_b = i == 0 || at.b != Walk<P>::at[i - 1].b;
      const uint16_t* const x = a + at.a * p.a.part_stride;
      const uint16_t* const y = b + at.b * p.b.part_stride;
      if (next_b) FASTNN_TILE_LOAD(6, y, b_row);
      if (next_a) FASTNN_TILE_LOAD(4, x, a_row);
      FASTNN_TILE_DOT(0, 4, 6);
      if constexpr (V > 1) {
        if (next_b) FASTNN_TILE_LOAD(7, y + p.b.stride, b_row);
        FASTNN_TILE_DOT(1, 4, 7);
      }
      if constexpr (R > 1) {
        if (next_a) FASTNN_TILE_LOAD(5, x + tile_rows * p.a.stride, a_row);
        FASTNN_TILE_DOT(2, 5, 6);
        if constexpr (V > 1) FASTNN_TILE_DOT(3, 5, 7);
      }
    }
    a += bf16_depth;
    b += bf16_depth * bf16_lanes;
  }
  finish_tiles<R, V>(p);
}

template <int R, int V>
static void multiply_parts(const Piece& p) {
  if (p.bf16_parts == 1) multiply_piece<R, V, 1>(p);
  if (p.bf16_parts == 2) multiply_piece<R, V, 2>(p);
  if (p.bf16_parts == 3) multiply_piece<R, V, 3>(p);
}

static void multiply_unit(Index rows, Index columns, const Piece& p) {
  const bool narrow = columns <= bf16_lanes;
  if (rows <= tile_rows) {
    narrow ? multiply_parts<1, 1>(p) : multiply_parts<1, 2>(p);
  } else {
    narrow ? multiply_parts<2, 1>(p) : multiply_parts<2, 2>(p);
  }
}

#else

struct UnitInUse {};

inline constexpr bool whole_tiles = false;
inline constexpr Index a_bytes = Index{1} << 19;
inline constexpr Index flops_per_unit = 64;
inline constexpr int unit_rows = 14;

static Pieces pieces_of(Index rows) {
  const Index count = ceil_div(rows, unit_rows);
  return {count, rows / count, rows % count, rows};
}

// Multiplies each pair of parts over all steps, the smallest products first, so that most roundings
// are of small sums. Every loop over the registers must be unrolled, or they spill.
template <int R, int V>
static void multiply_piece(const Piece& p) {
  __m512 c[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) c[i][j] = _mm512_setzero_ps();
  }
  for (int sum = p.bf16_parts - 1; sum >= 0; --sum) {
    for (int part = 0; part <= sum; ++part) {
      const uint16_t* a = p.a.data + part * p.a.part_stride;
      const uint16_t* b = p.b.data + (sum - part) * p.b.part_stride;
      const char* next = p.next;
      for (Index k = 0; k < p.steps * (bf16_depth / 2); ++k) {
        __m512i row[V];
        __builtin_prefetch(next, 0, 3);
        next += p.next_step;
#pragma GCC unroll 2
        for (int j = 0; j < V; ++j) row[j] = _mm512_load_si512(b + j * p.b.stride);
#pragma GCC unroll 16
        for (int i = 0; i < R; ++i) {
          int pair;
          __builtin_memcpy(&pair, a + i * p.a.stride, sizeof pair);
          const __m512i x = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
          for (int j = 0; j < V; ++j) {
            c[i][j] = _mm512_dpbf16_ps(c[i][j], (__m512bh)x, (__m512bh)row[j]);  // NOLINT
          }
        }
        a += 2;
        b += 2 * bf16_lanes;
      }
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < V; ++j) {
      const float* const from = p.from + i * p.from_row + j * bf16_lanes;
      if (p.from != nullptr) c[i][j] = _mm512_add_ps(_mm512_loadu_ps(from), c[i][j]);
      _mm512_storeu_ps(p.to + i * p.to_row + j * bf16_lanes, c[i][j]);
    }
  }
}

struct PieceFunctions {
  void (*at[unit_rows][2])(const Piece&);  // indexed by rows - 1, vectors - 1
};

template <int R>
static constexpr void set_functions(PieceFunctions& functions) {
  functions.at[R - 1][0] = multiply_piece<R, 1>;
  functions.at[R - 1][1] = multiply_piece<R, 2>;
  if constexpr (R > 1) set_functions<R - 1>(functions);
}

static constexpr PieceFunctions make_functions() {
  PieceFunctions functions{};
  set_functions<unit_rows>(functions);
  return functions;
}

inline constexpr PieceFunctions piece_functions = make_functions();

static void multiply_unit(Index rows, Index columns, const Piece& p) {
  piece_functions.at[rows - 1][columns > bf16_lanes ? 1 : 0](p);
}

#endif

}  // namespace fastnn::FASTNN_TARGET
