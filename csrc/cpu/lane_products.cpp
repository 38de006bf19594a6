// Products of networks side by side (lane_kernels.h): R rows by J columns of C in registers, each
// element a vector of lanes, so that short rows and few columns fill vectors, too.
#include "cpu/gemm_vector.h"
#include "cpu/lane_kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// Chosen for the number of vector registers, as in gemm_tile.h.
#if defined(__AVX512F__)
inline constexpr int tile_rows = 6;
inline constexpr int tile_columns = 4;
#else
inline constexpr int tile_rows = 3;
inline constexpr int tile_columns = 3;
#endif

// One vector of the lanes, from lane `piece` on.
template <class T, int R, int J>
static void lane_tile(const LaneProduct<T>& p, Index row, Index column, Index piece) {
  using Vec = Vector<T>;
  typename Vec::Type c[R][J];
  const Index a_row = p.a_row * net_lanes;
  const Index b_column = p.b_column * net_lanes;
  const T* a = p.a + row * a_row + piece;
  const T* b = p.b + column * b_column + piece;
#pragma GCC unroll 4
  for (int j = 0; j < J; ++j) {
    const typename Vec::Type first =
        p.start != nullptr ? Vec::load(p.start + (column + j) * net_lanes + piece) : Vec::zero();
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) c[i][j] = first;
  }
  for (Index k = 0; k < p.k; ++k) {
    typename Vec::Type y[J];
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j) y[j] = Vec::load(b + j * b_column);
#pragma GCC unroll 8
    for (int i = 0; i < R; ++i) {
      const typename Vec::Type x = Vec::load(a + i * a_row);
#pragma GCC unroll 4
      for (int j = 0; j < J; ++j) c[i][j] = Vec::mul_add(x, y[j], c[i][j]);
    }
    a += p.a_column * net_lanes;
    b += p.b_row * net_lanes;
  }
  T* const to = p.c + (row * p.n + column) * net_lanes + piece;
#pragma GCC unroll 8
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < J; ++j) Vec::store(to + (i * p.n + j) * net_lanes, c[i][j]);
  }
}

// Indexed by rows - 1 and columns - 1.
template <class T>
struct LaneTiles {
  void (*at[tile_rows][tile_columns])(const LaneProduct<T>&, Index, Index, Index);
};

template <class T, int R, int J>
static constexpr void set_lane_tiles(LaneTiles<T>& tiles) {
  tiles.at[R - 1][J - 1] = lane_tile<T, R, J>;
  if constexpr (J > 1) {
    set_lane_tiles<T, R, J - 1>(tiles);
  } else if constexpr (R > 1) {
    set_lane_tiles<T, R - 1, tile_columns>(tiles);
  }
}

template <class T>
static constexpr LaneTiles<T> make_lane_tiles() {
  LaneTiles<T> tiles{};
  set_lane_tiles<T, tile_rows, tile_columns>(tiles);
  return tiles;
}

template <class T>
inline constexpr LaneTiles<T> lane_tiles = make_lane_tiles<T>();

// Tiles differ in height, and in width, by one at most: narrow remainders wait for their chains.
// Some columns of B stay in the first cache while the rows of A pass by.
template <class T>
void lane_product(const LaneProduct<T>& p) {
  constexpr Index kept = Index{24} << 10;  // bytes of B
  const Index down = ceil_div(p.m, tile_rows);
  const Index across = ceil_div(p.n, tile_columns);
  const Index bytes = p.k * tile_columns * net_lanes * static_cast<Index>(sizeof(T));
  const Index at_once = most(kept / most(bytes, 1), 1);
  for (Index first = 0; first < across; first += at_once) {
    const Index end = least(first + at_once, across);
    for (Index i = 0; i < down; ++i) {
      const Index row = i * p.m / down;
      const Index rows = (i + 1) * p.m / down - row;
      for (Index j = first; j < end; ++j) {
        const Index column = j * p.n / across;
        const auto tile = lane_tiles<T>.at[rows - 1][(j + 1) * p.n / across - column - 1];
        for (Index piece = 0; piece < net_lanes; piece += Vector<T>::lanes) {
          tile(p, row, column, piece);
        }
      }
    }
  }
}

template void lane_product(const LaneProduct<float>&);
template void lane_product(const LaneProduct<double>&);

}  // namespace fastnn::FASTNN_TARGET
