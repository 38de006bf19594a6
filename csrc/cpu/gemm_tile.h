// The micro-kernel of products: R rows by V vectors of C in registers.
//
// For each k it multiplies R elements of A, broadcast from any stride, with V vectors of B. It does
// not loop over a matrix: gemm.cpp does.
#pragma once

#include "cpu/gemm_vector.h"

namespace fastnn::FASTNN_TARGET {

// Tile height, chosen for the number of vector registers: 32 with AVX-512, otherwise 16.
#if defined(__AVX512F__)
inline constexpr int max_rows = 14;
#else
inline constexpr int max_rows = 6;
#endif
inline constexpr int max_vectors = 2;

template <class T>
inline constexpr Index panel = max_vectors * Vector<T>::lanes;

template <class T>
struct Tile {
  Index k;
  const T* a;
  Index a_row, a_column;
  const T* b;
  Index b_row;
  T* c;
  Index c_row;
  const T* start;    // initial value of each row of C; null: zeros
  Index last;        // valid lanes of the last vector
  bool add;          // add to C; otherwise overwrite it
  const char* next;  // prefetched meanwhile, `next_step` bytes for each k
  Index next_step;
};

// Every loop over the tile must be unrolled, or the accumulators leave the registers.
template <class T, int R, int V, bool Masked, class Vec = Vector<T>>
static void tile(const Tile<T>& t) {
  typename Vec::Type c[R][V];
  const typename Vec::Mask mask = Vec::first(t.last);
  const T* a = t.a;
  const T* b = t.b;
  const Index a_row = t.a_row;
  const Index c_row = t.c_row;
  T* const to = t.c;
  const bool add = t.add;
  const char* next = t.next;
  const Index next_step = t.next_step;
  if (add) {
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) __builtin_prefetch(to + i * c_row + j * Vec::lanes, 1);
    }
  }
#pragma GCC unroll 4
  for (int j = 0; j < V; ++j) {
    typename Vec::Type first = Vec::zero();
    if (t.start != nullptr) {
      const bool masked = Masked && j == V - 1;
      first =
          masked ? Vec::load(t.start + j * Vec::lanes, mask) : Vec::load(t.start + j * Vec::lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) c[i][j] = first;
  }
  for (Index k = 0; k < t.k; ++k) {
    typename Vec::Type row[V];
    __builtin_prefetch(next, 0, 2);
    next += next_step;
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      const bool masked = Masked && j == V - 1;
      row[j] = masked ? Vec::load(b + j * Vec::lanes, mask) : Vec::load(b + j * Vec::lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const typename Vec::Type x = Vec::broadcast(a[i * a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) c[i][j] = Vec::mul_add(x, row[j], c[i][j]);
    }
    a += t.a_column;
    b += t.b_row;
  }
  const auto store = [&](int i, int j, typename Vec::Type x) __attribute__((always_inline)) {
    T* const at = to + i * c_row + j * Vec::lanes;
    if (Masked && j == V - 1) {
      Vec::store(at, mask, add ? Vec::add(Vec::load(at, mask), x) : x);
    } else {
      Vec::store(at, add ? Vec::add(Vec::load(at), x) : x);
    }
  };
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) store(i, j, c[i][j]);
  }
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

// `at` is indexed by rows - 1, vectors - 1 and whether the last vector is masked; `half`, for half
// a vector, which is always masked, by rows - 1.
template <class T>
struct Tiles {
  TileFunction<T> at[max_rows][max_vectors][2];
#if defined(__AVX512F__)
  TileFunction<T> half[max_rows];
#endif
};

template <class T, int R>
static constexpr void set_tiles(Tiles<T>& tiles) {
  tiles.at[R - 1][0][0] = tile<T, R, 1, false>;
  tiles.at[R - 1][0][1] = tile<T, R, 1, true>;
  tiles.at[R - 1][1][0] = tile<T, R, 2, false>;
  tiles.at[R - 1][1][1] = tile<T, R, 2, true>;
#if defined(__AVX512F__)
  tiles.half[R - 1] = tile<T, R, 1, true, HalfVector<T>>;
#endif
  if constexpr (R > 1) set_tiles<T, R - 1>(tiles);
}

template <class T>
static constexpr Tiles<T> make_tiles() {
  Tiles<T> tiles{};
  set_tiles<T, max_rows>(tiles);
  return tiles;
}

template <class T>
inline constexpr Tiles<T> tiles = make_tiles<T>();

// The tile of so many rows and columns, of which `last` are in its last vector.
template <class T>
static FASTNN_INLINE TileFunction<T> tile_of(Index rows, Index columns, Index last) {
#if defined(__AVX512F__)
  if (columns <= HalfVector<T>::lanes) return tiles<T>.half[rows - 1];
#endif
  return tiles<T>.at[rows - 1][columns > Vector<T>::lanes][last != Vector<T>::lanes];
}

}  // namespace fastnn::FASTNN_TARGET
