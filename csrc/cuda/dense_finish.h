// What dense layers do with the pieces of a product before these leave a block: bias and
// activation going forward; going back, the slope of the layer before and the sums of its
// bias's gradient.
//
// Each has run<columns, threads>(t, m, n, region, room): a region of the result (m, n), of
// so many columns, and memory of threads * Pack<T>::count elements that the block shares,
// which may be where the region is.
#pragma once

#include "core/activation.h"
#include "cuda/pack.h"

namespace fastnn::FASTNN_TARGET {

// Part of a result, as arrays to be added in order.
template <class T>
struct Region {
  const T* values;
  Index stride;  // of its rows
  Index parts, part_stride;
  bool aligned;       // its packs
  Index row, column;  // of the result, where it begins
  int rows;
  Index number;  // of its row among regions
  Index piece;   // of the sum
};

// Where in the region's rows the thread's packs are.
template <class T, int columns>
FASTNN_DEVICE int own_column(const Thread& t) {
  return t.index() % (columns / Pack<T>::count) * Pack<T>::count;
}

// f(place, count, pack) for the packs of a region, each thread's below one another: where
// in the result, and how many of the elements are in it.
template <int columns, int threads, class T, class F>
FASTNN_DEVICE void each_pack(const Thread& t, Index m, Index n, const Region<T>& region,
                             const F& f) {
  constexpr int across = columns / Pack<T>::count;
  static_assert(threads % across == 0);
  const int column = own_column<T, columns>(t);
  const Index count = n - region.column - column;
  const Index rows = least(region.rows, m - region.row);
  if (count <= 0) return;
  for (Index r = t.index() / across; r < rows; r += threads / across) {
    const T* const from = region.values + r * region.stride + column;
    Pack<T> pack = load_pack(from, count, region.aligned);
    for (Index part = 1; part < region.parts; ++part) {
      add_pack(pack, load_pack(from + part * region.part_stride, count, region.aligned));
    }
    f((region.row + r) * n + region.column + column, count, pack);
  }
}

template <class T>
struct FinishForward {
  const T* b;  // may be null
  Activation activation;
  T* z;  // may be null
  T* y;
  bool aligned;

  template <int columns, int threads>
  FASTNN_DEVICE void run(const Thread& t, Index m, Index n, const Region<T>& region, T*) const {
    Pack<T> bias{};
    if (b != nullptr) {
      const Index column = region.column + own_column<T, columns>(t);
      bias = load_pack(b + column, n - column, false);
    }
    with_activation(activation, [&](auto kind) {
      each_pack<columns, threads>(t, m, n, region,
                                  [&](Index place, Index count, const Pack<T>& sum) {
                                    Pack<T> pack = sum;
                                    add_pack(pack, bias);
                                    if (z != nullptr) store_pack(z + place, pack, count, aligned);
                                    FASTNN_UNROLL
                                    for (int j = 0; j < Pack<T>::count; ++j)
                                      pack.at[j] = kind.forward(pack.at[j]);
                                    store_pack(y + place, pack, count, aligned);
                                  });
    });
  }
};

template <class A, class B>
inline constexpr bool same = false;
template <class A>
inline constexpr bool same<A, A> = true;

template <class T>
struct FinishInputGradient {
  Activation activation;
  const T* x;  // what its slope is of; not read where it is linear
  T* dx;
  T* sums;  // of the rows of each region, by its number; may be null
  bool aligned;

  template <int columns, int threads>
  FASTNN_DEVICE void run(const Thread& t, Index m, Index n, const Region<T>& region,
                         T* room) const {
    Pack<T> sum{};
    with_activation(activation, [&](auto kind) {
      using Kind = decltype(kind);
      each_pack<columns, threads>(t, m, n, region,
                                  [&](Index place, Index count, const Pack<T>& product) {
                                    Pack<T> pack = product;
                                    if constexpr (!same<Kind, Linear>) {
                                      const Pack<T> given = load_pack(x + place, count, aligned);
                                      FASTNN_UNROLL
                                      for (int j = 0; j < Pack<T>::count; ++j) {
                                        pack.at[j] *= kind.slope(given.at[j], given.at[j]);
                                      }
                                    }
                                    store_pack(dx + place, pack, count, aligned);
                                    add_pack(sum, pack);
                                  });
    });
    if (sums == nullptr) return;
    constexpr int across = columns / Pack<T>::count;
    const int column = own_column<T, columns>(t);
    t.barrier();
    FASTNN_UNROLL
    for (int j = 0; j < Pack<T>::count; ++j) {
      room[t.index() / across * columns + column + j] = sum.at[j];
    }
    t.barrier();
    for (Index j = t.index(); j < least(columns, n - region.column); j += threads) {
      T total = T(0);
      for (int part = 0; part < threads / across; ++part) total += room[part * columns + j];
      sums[region.number * n + region.column + j] = total;
    }
  }
};

template <class T>
struct FinishStore {
  T* c;
  Index piece_stride;
  bool accumulates;
  bool aligned;

  template <int columns, int threads>
  FASTNN_DEVICE void run(const Thread& t, Index m, Index n, const Region<T>& region, T*) const {
    each_pack<columns, threads>(t, m, n, region,
                                [&](Index at, Index count, const Pack<T>& product) {
                                  const Index place = region.piece * piece_stride + at;
                                  Pack<T> pack = product;
                                  if (accumulates)
                                    add_pack(pack, load_pack(c + place, count, aligned));
                                  store_pack(c + place, pack, count, aligned);
                                });
  }
};

}  // namespace fastnn::FASTNN_TARGET
