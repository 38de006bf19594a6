// Copies of A and B in the order in which the micro-kernel reads them, and the transposition that
// these copies need. gemm.cpp decides which operands are copied.
#pragma once

#include "cpu/gemm_tile.h"
#include "cpu/loops.h"
#include "cpu/shuffle.h"

namespace fastnn::FASTNN_TARGET {

// 0, 1, ..., N - 1 as a parameter pack, for shuffles.
template <int... I>
struct LaneList {};
template <int N, int... I>
struct LanesTo : LanesTo<N - 1, N - 1, I...> {};
template <int... I>
struct LanesTo<0, I...> {
  using Type = LaneList<I...>;
};

// A square of lanes x lanes elements, transposed in registers by Eklundh's method: blocks of 1, 2,
// 4... lanes are exchanged between rows that are 1, 2, 4... apart.
template <class T>
struct Square {
  static constexpr int lanes = static_cast<int>(Vector<T>::lanes);
  using Row __attribute__((vector_size(sizeof(T) * lanes))) = T;
  Row rows[lanes];

  // Rows beyond `count` are zero.
  FASTNN_INLINE void load(const T* from, Index stride, Index count) {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      rows[i] = Row{};
      if (i < count) __builtin_memcpy(&rows[i], from + i * stride, sizeof(Row));
    }
  }

  FASTNN_INLINE void transpose() { exchange<1>(); }

  FASTNN_INLINE void store(T* to, Index stride) const {
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) __builtin_memcpy(to + i * stride, &rows[i], sizeof(Row));
  }

 private:
  // The source of lane `lane` of the lower or upper of two rows. Lanes of the lower row are
  // numbered from 0, lanes of the upper row from `lanes` on.
  static constexpr int source(int step, bool upper, int lane) {
    const bool stays = ((lane & step) != 0) == upper;
    if (upper) return stays ? lanes + lane : lane + step;
    return stays ? lane : lanes + lane - step;
  }

  template <int Step, bool Upper, int... Lane>
  static FASTNN_INLINE Row mix(Row lower, Row upper, LaneList<Lane...>) {
    return shuffled<source(Step, Upper, Lane)...>(lower, upper);
  }

  template <int Step>
  FASTNN_INLINE void exchange() {
    using All = typename LanesTo<lanes>::Type;
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) {
      if ((i & Step) != 0) continue;
      const Row lower = rows[i];
      const Row upper = rows[i + Step];
      rows[i] = mix<Step, false>(lower, upper, All{});
      rows[i + Step] = mix<Step, true>(lower, upper, All{});
    }
    if constexpr (2 * Step < lanes) exchange<2 * Step>();
  }
};

// Transposes `columns` <= lanes vectors of `count` elements, `stride` apart, into rows: out[k * row
// + j] = from[j * stride + k] for k < count, j < columns. It writes whole vectors, so elements that
// follow in a row of `out` must be written later.
template <class T>
static void transpose_strip(const T* from, Index stride, Index columns, Index count, T* out,
                            Index row) {
  constexpr Index lanes_of = Square<T>::lanes;
  Index k = 0;
  for (; k + lanes_of <= count; k += lanes_of) {
    Square<T> square;
    square.load(from + k, stride, columns);
    square.transpose();
    square.store(out + k * row, row);
  }
  for (; k < count; ++k) {
    for (Index j = 0; j < columns; ++j) out[k * row + j] = from[j * stride + k];
    for (Index j = columns; j < least(lanes_of, row); ++j) out[k * row + j] = T(0);
  }
}

// Packs k rows of B, `width` <= panel<T> columns from b on, as rows of panel<T> elements padded
// with zeros.
template <class T>
static void pack_panel(const T* b, Index b_row, Index b_column, Index k, Index width, T* out) {
  if (b_column == 1) {
    if (width == panel<T>) {
      for (Index i = 0; i < k; ++i) {
        const T* const row = b + i * b_row;
        __builtin_prefetch(row + panel<T>, 0, 2);
        __builtin_prefetch(row + panel<T> + panel<T> / 2, 0, 2);
        __builtin_memcpy(out + i * panel<T>, row, sizeof(T) * panel<T>);
      }
      return;
    }
    for (Index i = 0; i < k; ++i) {
      for (Index j = 0; j < width; ++j) out[i * panel<T> + j] = b[i * b_row + j];
      for (Index j = width; j < panel<T>; ++j) out[i * panel<T> + j] = T(0);
    }
    return;
  }
  constexpr Index lanes_of = Square<T>::lanes;
  for (Index j = 0; j < panel<T>; j += lanes_of) {
    const Index columns = least(lanes_of, most(width - j, 0));
    transpose_strip(b + j * b_column, b_column, columns, k, out + j, panel<T>);
  }
}

inline constexpr Index row_step = 128;  // rows of C at a time

// Packs up to max_rows rows of A, k elements of each, as k rows of `rows` elements. It may write up
// to one vector beyond the last element.
template <class T>
static void pack_rows(const T* a, Index a_row, Index a_column, Index rows, Index k, T* out) {
  if (a_row == 1) {
    if (rows == max_rows) {
      for (Index i = 0; i < k; ++i) {
        const T* const row = a + i * a_column;
        __builtin_prefetch(row + row_step, 0, 2);
        __builtin_memcpy(out + i * max_rows, row, sizeof(T) * max_rows);
      }
      return;
    }
    for (Index i = 0; i < k; ++i) {
      for (Index r = 0; r < rows; ++r) out[i * rows + r] = a[i * a_column + r];
    }
    return;
  }
  if (a_column == 1 && rows <= Square<T>::lanes) {
    transpose_strip(a, a_row, rows, k, out, rows);
    return;
  }
  for (Index r = 0; r < rows; ++r) {
    for (Index i = 0; i < k; ++i) out[i * rows + r] = a[r * a_row + i * a_column];
  }
}

}  // namespace fastnn::FASTNN_TARGET
