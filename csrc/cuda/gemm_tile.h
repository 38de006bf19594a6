// A block's part of a product by multiply-adds: tiles are in shared memory, and each thread
// multiplies a few rows by a few columns in registers. gemm.h decides which blocks compute what.
//
// Shared tiles are stored by k: at one k, a thread reads packs of neighbouring elements.
// Operands stored the other way are transposed on their way in. Their places are shifted, so that
// the stores of a warp cause few bank conflicts.
#pragma once

#include "core/math.h"
#include "cuda/pack.h"

namespace fastnn::FASTNN_TARGET {

// A matrix that the product sums over k. Its rows in memory, `stride` elements apart, run along k
// (by_k) or along the other side, whose length is `extent`.
template <class T>
struct Operand {
  const T* data;
  Index stride, extent;
  bool aligned;  // whether its packs are aligned
};

template <class T>
Operand<T> operand(const T* data, Index stride, Index extent) {
  return {data, stride, extent, packs_align(data, stride)};
}

// One operand's part of a stage, on its way from device memory to shared memory.
template <class T, int extent, int depth, int threads, bool by_k>
class Fetch {
 public:
  // Elements in a row of shared memory. A row of 16 elements is padded; longer rows use `shifted`.
  static constexpr int row = extent > 16 ? extent : 20;

  FASTNN_DEVICE static int shifted(int k, int e) { return extent > 16 ? e ^ (k / 4 % 4 * 8) : e; }

  FASTNN_DEVICE Fetch(const Thread& t, const Operand<T>& from, Index first, Index k) {
    const PackIndex own = place(t);
    const Index e = first + own.e;
    at_ =
        by_k ? from.data + e * from.stride + k + own.k : from.data + (k + own.k) * from.stride + e;
    left_ = static_cast<int>(least(from.extent - e, extent));
  }

  // Loads the next stage; `k_left` terms of k remain, which may be more than one stage.
  FASTNN_DEVICE void load(const Thread& t, const Operand<T>& from, int k_left) {
    FASTNN_UNROLL
    for (int turn = 0; turn < turns; ++turn) {
      const int own_left = k_left - place(t).k - k_step(turn);
      if constexpr (by_k) {
        const int count = e_step(turn) < left_ ? own_left : 0;
        held_[turn] =
            load_pack(at_ + e_step(turn) * from.stride + k_step(turn), count, from.aligned);
      } else {
        const int count = own_left > 0 ? left_ : 0;
        held_[turn] = load_pack(at_ + k_step(turn) * from.stride, count, from.aligned);
      }
    }
    at_ += by_k ? depth : depth * from.stride;
  }

  FASTNN_DEVICE void store(const Thread& t, T* tile) const {
    FASTNN_UNROLL
    for (int turn = 0; turn < turns; ++turn) {
      const PackIndex at{place(t).e + e_step(turn), place(t).k + k_step(turn)};
      if (!whole && at.k >= depth) break;
      if constexpr (by_k) {
        FASTNN_UNROLL
        for (int j = 0; j < pack; ++j) {
          tile[(at.k + j) * row + shifted(at.k + j, at.e)] = held_[turn].at[j];
        }
      } else {
        *reinterpret_cast<Pack<T>*>(tile + at.k * row + shifted(at.k, at.e)) = held_[turn];
      }
    }
  }

  // Sums over k of the columns that a thread loads. These are the same in each stage: the thread
  // has the columns from own_column() on, and shares them with `sharers` - 1 other threads.
  static constexpr int sharers = by_k ? 0 : threads / (extent / Pack<T>::count);
  FASTNN_DEVICE static int own_column(const Thread& t) { return place(t).e; }
  FASTNN_DEVICE static int own_share(const Thread& t) { return t.index() / across; }
  FASTNN_DEVICE void add_to(Pack<T>& sum) const {
    FASTNN_UNROLL
    for (int turn = 0; turn < turns; ++turn) add_pack(sum, held_[turn]);
  }

 private:
  static constexpr int pack = Pack<T>::count;
  static constexpr int across = (by_k ? depth : extent) / pack;
  static constexpr int row_packs = extent > 16 ? (across < 4 ? across : 4) : 2;
  static constexpr int turns = (extent * depth / pack + threads - 1) / threads;
  static constexpr bool whole = turns * threads * pack == extent * depth;
  static_assert(by_k || threads % across == 0);

  struct PackIndex {
    int e, k;
  };
  // Neighbouring lanes take `row_packs` packs of a row, then packs of the next row. Each turn moves
  // the threads some rows or some packs further.
  FASTNN_DEVICE static PackIndex place(const Thread& t) {
    const int u = t.index();
    if constexpr (by_k) {
      return {u / row_packs % extent,
              (u / (row_packs * extent) * row_packs + u % row_packs) * pack};
    } else {
      return {u % across * pack, u / across};
    }
  }
  FASTNN_DEVICE static constexpr int e_step(int turn) {
    return by_k ? turn * threads / row_packs % extent : 0;
  }
  FASTNN_DEVICE static constexpr int k_step(int turn) {
    return by_k ? turn * threads / (row_packs * extent) * row_packs * pack
                : turn * (threads / across);
  }

  const T* at_;
  int left_;  // rows, or elements of a row
  Pack<T> held_[turns];
};

// Tiles of rows x columns, with `depth` terms of k in a stage. The threads form `slices`; each
// slice takes its part of every stage's k, and the results of the slices are added in order.
template <class T, int rows_, int columns_, int depth_, int thread_rows, int thread_columns,
          int slices_ = 1>
class MultiplyAdd {
 public:
  using Type = T;
  static constexpr int rows = rows_, columns = columns_, depth = depth_, slices = slices_;
  static constexpr int grid_columns = columns / thread_columns;
  static constexpr int slice_threads = rows / thread_rows * grid_columns;
  static constexpr int threads = slice_threads * slices;
  static constexpr int resident_blocks = 1;
  static constexpr int result_row = columns;

  template <bool by_k>
  using FetchA = Fetch<T, rows, depth, threads, by_k>;
  template <bool by_k>
  using FetchB = Fetch<T, columns, depth, threads, by_k>;

  struct Stage {
    alignas(16) T a[depth * FetchA<true>::row];
    alignas(16) T b[depth * FetchB<true>::row];
  };
  struct Result {
    alignas(16) T at[slices * rows * result_row];
  };

  template <class A, class B>
  FASTNN_DEVICE static void store(const Thread& t, const A& a, const B& b, Stage& stage) {
    a.store(t, stage.a);
    b.store(t, stage.b);
  }

  FASTNN_DEVICE void multiply(const Thread& t, const Stage& stage, int) {
    constexpr int share = depth / slices;
    const int first = t.index() / slice_threads * share;
    FASTNN_UNROLL
    for (int step = 0; step < share; ++step) {
      const int k = first + step;
      T a[thread_rows];
      T b[thread_columns];
      FASTNN_UNROLL
      for (int g = 0; g < thread_rows; g += group_rows) {
        read<group_rows>(stage.a + k * FetchA<true>::row + FetchA<true>::shifted(k, row_of(t, g)),
                         a + g);
      }
      FASTNN_UNROLL
      for (int g = 0; g < thread_columns; g += group_columns) {
        read<group_columns>(
            stage.b + k * FetchB<true>::row + FetchB<true>::shifted(k, column_of(t, g)), b + g);
      }
      FASTNN_UNROLL
      for (int i = 0; i < thread_rows; ++i) {
        FASTNN_UNROLL
        for (int j = 0; j < thread_columns; ++j) sums_[i][j] = mul_add(a[i], b[j], sums_[i][j]);
      }
    }
  }

  FASTNN_DEVICE void put(const Thread& t, Result& result) const {
    T* const to = result.at + t.index() / slice_threads * (rows * result_row);
    FASTNN_UNROLL
    for (int i = 0; i < thread_rows; ++i) {
      const int row = row_of(t, i / group_rows * group_rows) + i % group_rows;
      FASTNN_UNROLL
      for (int j = 0; j < thread_columns; j += group_columns) {
        Group<group_columns> group;
        FASTNN_UNROLL
        for (int l = 0; l < group_columns; ++l) group.at[l] = sums_[i][j + l];
        *reinterpret_cast<Group<group_columns>*>(to + row * result_row + column_of(t, j)) = group;
      }
    }
  }

 private:
  static constexpr int group_rows = thread_rows < Pack<T>::count ? thread_rows : Pack<T>::count;
  static constexpr int group_columns =
      thread_columns < Pack<T>::count ? thread_columns : Pack<T>::count;
  static_assert(depth % slices == 0 && threads % 32 == 0 && threads <= 1024);

  template <int count>
  struct alignas(count * sizeof(T)) Group {
    T at[count];
  };
  template <int count>
  FASTNN_DEVICE static void read(const T* from, T* to) {
    const auto group = *reinterpret_cast<const Group<count>*>(from);
    FASTNN_UNROLL
    for (int l = 0; l < count; ++l) to[l] = group.at[l];
  }

  // Rows and columns of the tile. A thread's groups of rows are far apart; the groups of
  // neighbouring threads are adjacent.
  FASTNN_DEVICE static int row_of(const Thread& t, int g) {
    const int y = t.index() % slice_threads / grid_columns;
    return g * (rows / thread_rows) + y * group_rows;
  }
  FASTNN_DEVICE static int column_of(const Thread& t, int g) {
    const int x = t.index() % slice_threads % grid_columns;
    return g * grid_columns + x * group_columns;
  }

  T sums_[thread_rows][thread_columns] = {};
};

}  // namespace fastnn::FASTNN_TARGET
