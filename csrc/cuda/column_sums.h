// Sums over the rows of a matrix, in groups of rows that depend on its shape alone.
#pragma once

#include "cuda/context.h"
#include "cuda/device.h"

namespace fastnn::FASTNN_TARGET {

// out[j] = the sum of rows[r][j] over r. With several groups of rows, each group has its own row of
// `out`. A block takes 32 columns of a group, and each of its warps a range of the rows; the
// results of the warps are added in order.
template <class T>
struct RowSums {
  static constexpr int columns_of_block = 32;
  static constexpr Index rows_of_group = 256;

  const T* rows = nullptr;
  Index count = 0, columns = 0;
  Index group_rows = 0;
  T* out = nullptr;          // null: nothing to do
  bool accumulates = false;  // adds to the values in `out`

  Index blocks() const {
    if (out == nullptr) return 0;
    return most(ceil_div(count, most(group_rows, 1)), 1) * ceil_div(columns, columns_of_block);
  }

  // `room` is shared memory of one T for each thread of the block.
  template <int threads>
  FASTNN_DEVICE void run(const Thread& t, Index block, T* room) const {
    const Index across = ceil_div(columns, columns_of_block);
    const Index group = block / across;
    const Index column = block % across * columns_of_block + t.lane();
    const Index first = group * group_rows;
    const Index size = least(group_rows, count - first);
    constexpr int warps = threads / 32;
    const Index stretch = ceil_div(size, warps);
    const Index begin = first + t.warp() * stretch;
    const Index end = least(begin + stretch, first + size);
    T sum = T(0);
    if (column < columns) {
      for (Index r = begin; r < end; ++r) sum += rows[r * columns + column];
    }
    room[t.index()] = sum;
    t.barrier();
    if (t.warp() != 0 || column >= columns) return;
    T* const place = out + group * columns + column;
    T total = accumulates ? *place : T(0);
    for (int w = 0; w < warps; ++w) total += room[w * 32 + t.lane()];
    *place = total;
  }
};

template <class T>
struct SumRows {
  static constexpr int threads = 512;
  struct Shared {
    T room[threads];
  };
  RowSums<T> sums;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    sums.template run<threads>(t, t.block(), t.shared<Shared>().room);
  }
};

template <class T>
Status sum_rows(Context& context, const RowSums<T>& sums) {
  return launch(context, sums.blocks(), SumRows<T>{sums});
}

// Elements of memory that `fold_rows` needs in addition to its rows.
constexpr Index fold_room(Index count, Index columns) {
  Index room = 0;
  while (count > RowSums<float>::rows_of_group) {
    count = ceil_div(count, RowSums<float>::rows_of_group);
    room += count * columns;
  }
  return room;
}

// Reduces many rows to few enough for one block. `sums` then describes the remaining sum, of one
// group.
template <class T>
Status fold_rows(Context& context, RowSums<T>& sums, T* room) {
  constexpr Index size = RowSums<T>::rows_of_group;
  while (sums.count > size) {
    RowSums<T> part = sums;
    part.group_rows = size;
    part.out = room;
    part.accumulates = false;
    const Status status = sum_rows(context, part);
    if (status != Status::ok) return status;
    sums.rows = room;
    sums.count = ceil_div(sums.count, size);
    room += sums.count * sums.columns;
  }
  sums.group_rows = sums.count;
  return Status::ok;
}

}  // namespace fastnn::FASTNN_TARGET
