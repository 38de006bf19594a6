// The product of a single row, y = x W, as in a prediction for one sample. Only gemm.cpp includes
// this file, which must be compiled with the flags of gemm.cpp.
//
// Each vector of columns is one chain of fused multiply-adds, in which each step waits for the one
// before. Two vectors at a time, the width of the tile in gemm_tile.h, leave the units idle most of
// the time. Eight at a time keep two units busy through a latency of four cycles, and read W in
// runs long enough to stream. The remaining wait is for W itself.
#pragma once

#include "cpu/gemm.h"
#include "cpu/gemm_vector.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr int row_vectors = 8;

// Prefetching W this many rows ahead makes reading it 10 to 20 % faster. With vectors narrower than
// a cache line, a prefetch costs as much as it saves.
inline constexpr Index rows_ahead = 8;
template <class T>
inline constexpr bool asks_ahead = sizeof(typename Vector<T>::Type) == 64;

template <class T>
struct RowTile {
  Index k, block;  // terms in all; terms in one chain
  const T* a;
  Index a_column;
  const T* b;
  Index b_row;
  T* c;
  const T* start;  // initial value of C; null: zeros
  Index last;      // valid lanes of the last vector
};

// Uses the same chains in the same blocks as the tile of many rows, so that both give the same
// bits, except where gemm.cpp cuts long sums of few elements.
template <class T, int V, bool Masked>
static void row_tile(const RowTile<T>& t) {
  using Vec = Vector<T>;
  typename Vec::Type sum[V], c[V];
  const typename Vec::Mask mask = Vec::first(t.last);
  const T* a = t.a;
  const T* b = t.b;
#pragma GCC unroll 8
  for (int j = 0; j < V; ++j) sum[j] = Vec::zero();
  for (Index k0 = 0; k0 < t.k; k0 += t.block) {
#pragma GCC unroll 8
    for (int j = 0; j < V; ++j) {
      c[j] = Vec::zero();
      if (k0 > 0 || t.start == nullptr) continue;
      const T* const from = t.start + j * Vec::lanes;
      c[j] = Masked && j == V - 1 ? Vec::load(from, mask) : Vec::load(from);
    }
    for (Index k = least(t.block, t.k - k0); k > 0; --k) {
      const typename Vec::Type x = Vec::broadcast(*a);
#pragma GCC unroll 8
      for (int j = 0; j < V; ++j) {
        const T* const from = b + j * Vec::lanes;
        const bool masked = Masked && j == V - 1;
        if (asks_ahead<T>) __builtin_prefetch(from + rows_ahead * t.b_row);
        c[j] = Vec::mul_add(x, masked ? Vec::load(from, mask) : Vec::load(from), c[j]);
      }
      a += t.a_column;
      b += t.b_row;
    }
#pragma GCC unroll 8
    for (int j = 0; j < V; ++j) sum[j] = k0 > 0 ? Vec::add(sum[j], c[j]) : c[j];
  }
#pragma GCC unroll 8
  for (int j = 0; j < V; ++j) {
    T* const to = t.c + j * Vec::lanes;
    if (Masked && j == V - 1) {
      Vec::store(to, mask, sum[j]);
    } else {
      Vec::store(to, sum[j]);
    }
  }
}

// Indexed by vectors - 1 and whether the last vector is masked.
template <class T>
struct RowTiles {
  void (*at[row_vectors][2])(const RowTile<T>&);
};

template <class T, int V>
static constexpr void set_row_tiles(RowTiles<T>& tiles) {
  tiles.at[V - 1][0] = row_tile<T, V, false>;
  tiles.at[V - 1][1] = row_tile<T, V, true>;
  if constexpr (V > 1) set_row_tiles<T, V - 1>(tiles);
}

template <class T>
static constexpr RowTiles<T> make_row_tiles() {
  RowTiles<T> tiles{};
  set_row_tiles<T, row_vectors>(tiles);
  return tiles;
}

template <class T>
inline constexpr RowTiles<T> row_tiles = make_row_tiles<T>();

// Requires p.m == 1, p.k > 0, contiguous rows of B, and a C, which is overwritten.
template <class T>
static void multiply_row(Context& context, const Product<T>& p) {
  constexpr Index wide = Vector<T>::lanes;
  constexpr Index flops_per_unit = 32;  // in one unit of the work that for_tasks takes
  // Tasks differ in width by one vector at most: a narrow remainder would be limited by latency.
  const Index vectors = ceil_div(p.n, wide);
  const Index count = ceil_div(vectors, row_vectors);
  for_tasks(context, count, p.n * p.k / flops_per_unit, [&](Index i, int) {
    const Index begin = i * vectors / count;
    const Index end = (i + 1) * vectors / count;
    const Index column = begin * wide;
    const Index columns = least(end * wide, p.n) - column;
    const Index last = columns - (end - begin - 1) * wide;
    row_tiles<T>.at[end - begin - 1][last != wide ? 1 : 0]({
        .k = p.k,
        .block = block_terms(p),
        .a = p.a,
        .a_column = p.a_column,
        .b = p.b + column,
        .b_row = p.b_row,
        .c = p.c + column,
        .start = p.start != nullptr ? p.start + column : nullptr,
        .last = last,
    });
    if (p.finish != nullptr)
      p.finish(p.arguments, {{0, 1, column, columns}, p.c + column, p.c_row});
  });
}

}  // namespace fastnn::FASTNN_TARGET
