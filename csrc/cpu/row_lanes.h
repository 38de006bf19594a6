// Short rows side by side: 16 rows of a matrix as a tile of columns, one row in each lane, so that
// loops over the tile fill vectors even if there are few columns. This file only moves rows in and
// out, by transposing squares in registers; softmax.cpp and metric.cpp compute on the tiles.
#pragma once

#include "core/kernels.h"
#include "core/target.h"
#include "cpu/loops.h"
#include "cpu/shuffle.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr Index row_lanes = 16;           // rows of a tile, one in each lane
inline constexpr Index row_lanes_columns = 128;  // columns of a tile, at most

template <class T>
struct RowLanes {
  alignas(64) T column[row_lanes_columns][row_lanes];
};

#if defined(__AVX512F__)
inline constexpr int vector_bytes = 64;
#elif defined(__AVX__)
inline constexpr int vector_bytes = 32;
#else
inline constexpr int vector_bytes = 16;
#endif

template <int... at>
struct Places {};
template <int count>
struct PlacesOf;
template <>
struct PlacesOf<2> {
  using Type = Places<0, 1>;
};
template <>
struct PlacesOf<4> {
  using Type = Places<0, 1, 2, 3>;
};
template <>
struct PlacesOf<8> {
  using Type = Places<0, 1, 2, 3, 4, 5, 6, 7>;
};
template <>
struct PlacesOf<16> {
  using Type = Places<0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15>;
};

// A square of as many rows as a vector has lanes. Eklundh, "A fast computer method for matrix
// transposing", 1972: blocks off the diagonal change places, for each block size in turn.
template <class T>
struct LaneSquare {
  static constexpr int side = vector_bytes / static_cast<int>(sizeof(T));
  using Row __attribute__((vector_size(vector_bytes))) = T;
  Row row[side];

  FASTNN_INLINE void transpose() {
    exchange<1>();
    if constexpr (side > 2) exchange<2>();
    if constexpr (side > 4) exchange<4>();
    if constexpr (side > 8) exchange<8>();
  }

 private:
  template <int size>
  FASTNN_INLINE void exchange() {
#pragma GCC unroll 16
    for (int i = 0; i < side; ++i) {
      if ((i & size) == 0) {
        exchange<size>(row[i], row[i + size], typename PlacesOf<side>::Type{});
      }
    }
  }

  template <int size, int... at>
  static FASTNN_INLINE void exchange(Row& a, Row& b, Places<at...>) {
    const Row above = shuffled<((at & size) != 0 ? side + at - size : at)...>(a, b);
    b = shuffled<((at & size) != 0 ? side + at : at + size)...>(a, b);
    a = above;
  }
};

// Loads the first n rows of x, of which `readable` elements may be read; the other rows are 0.
// Columns past c, up to a whole square, hold arbitrary values.
template <class T>
FASTNN_INLINE void to_row_lanes(const T* x, Index n, Index c, Index readable, RowLanes<T>& tile) {
  constexpr Index side = LaneSquare<T>::side;
  for (Index r = 0; r < row_lanes; r += side) {
    Index j = 0;
    do {  // a matrix without columns gives a square of zeros
      LaneSquare<T> square;
#pragma GCC unroll 16
      for (Index i = 0; i < side; ++i) {
        const Index at = (r + i) * c + j;
        if (at + side <= readable && r + i < n) {
          __builtin_memcpy(&square.row[i], x + at, sizeof square.row[i]);
        } else {
          T few[side] = {};
          for (Index k = 0; k < side; ++k) {
            if (r + i < n && j + k < c) few[k] = x[at + k];
          }
          __builtin_memcpy(&square.row[i], few, sizeof few);
        }
      }
      square.transpose();
#pragma GCC unroll 16
      for (Index i = 0; i < side; ++i) {
        __builtin_memcpy(&tile.column[j + i][r], &square.row[i], sizeof square.row[i]);
      }
      j += side;
    } while (j < c);
  }
}

// Prefetches the rows that from_row_lanes will write: it stores to sixteen rows in turn, which no
// hardware prefetcher follows. Without prefetching, long rows in memory cost a third more.
template <class T>
FASTNN_INLINE void fetch_rows(const T* y, Index n, Index c) {
  constexpr Index line = 64 / sizeof(T);
  for (Index i = 0; i < n * c; i += line) __builtin_prefetch(y + i, 1);
}

// Stores the first n rows of the tile to y. It stores whole vectors; elements written past the end
// of a row are overwritten by a later store.
template <class T>
FASTNN_INLINE void from_row_lanes(const RowLanes<T>& tile, Index n, Index c, T* y) {
  constexpr Index side = LaneSquare<T>::side;
  for (Index r = 0; r < n; r += side) {
    for (Index j = (c - 1) / side * side; j >= 0; j -= side) {
      LaneSquare<T> square;
#pragma GCC unroll 16
      for (Index i = 0; i < side; ++i) {
        __builtin_memcpy(&square.row[i], &tile.column[j + i][r], sizeof square.row[i]);
      }
      square.transpose();
#pragma GCC unroll 16
      for (Index i = 0; i < side; ++i) {
        const Index at = (r + i) * c + j;
        if (at + side <= n * c) {
          __builtin_memcpy(y + at, &square.row[i], sizeof square.row[i]);
        } else if (r + i < n) {
          T few[side];
          __builtin_memcpy(few, &square.row[i], sizeof few);
          for (Index k = 0; k < least(side, c - j); ++k) y[at + k] = few[k];
        }
      }
    }
  }
}

// The same in one copy for each type, for files with many callers whose own work is long.
template <class T>
FASTNN_APART void to_row_lanes_apart(const T* x, Index n, Index c, Index readable,
                                     RowLanes<T>& tile) {
  to_row_lanes(x, n, c, readable, tile);
}

template <class T>
FASTNN_APART void from_row_lanes_apart(const RowLanes<T>& tile, Index n, Index c, T* y) {
  from_row_lanes(tile, n, c, y);
}

}  // namespace fastnn::FASTNN_TARGET
