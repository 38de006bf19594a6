// The language of kernels: a thin layer over blocks, warps and barriers.
//
// A kernel is a struct: its members are its arguments, `threads` is the number of threads in a
// block, and operator()(Thread) is the work of one thread. It is compiled twice: by nvcc for GPUs,
// and by a C++ compiler for the emulator, where the threads of a block are fibers that run in
// shuffled order from one barrier to the next.
//
//   struct Double {
//     static constexpr int threads = 256;
//     const float* x; float* y; Index n;
//     FASTNN_DEVICE void operator()(const Thread& t) const {
//       for (Index i = t.place(); i < n; i += t.all()) y[i] = 2 * x[i];
//     }
//   };
//   return launch(context, blocks_for(n, Double::threads), Double{x, y, n});
//
// Shared memory is a nested struct `Shared` of plain arrays, returned by t.shared<Shared>(). It has
// the size of that struct, or the number of bytes that the member shared_bytes() returns, and is
// not initialised. Every thread of a block must reach each of the block's barriers, and every lane
// of a warp each operation of the warp.
//
// Thread offers
//   index(), threads()       in its block
//   block(), blocks()
//   place(), all()           among all threads
//   lane(), warp()           in warps of 32
//   barrier(), warp_barrier()
//   exchange(x, mask)        the x of lane ^ mask
//   from_lane(x, k)          the x of lane k
//   shared<S>()
//   last_block(counter)      whether this block is the last to call it. The last block sees all
//                            earlier writes of the other blocks, and the counter is 0 again.
//                            Called by all threads of each block; contains barriers
//   mma(d, a, b)             d += a b by a warp, 16 x 16 by 16 x 8 in bfloat16 with float32 sums.
//                            Each lane has the parts that the PTX ISA describes for mma.m16n8k16.
//                            The hardware chooses the order of a sum
// In addition:
//   bf16_pair(low, high)     two floats as bfloat16, rounded to nearest even, in one word
#pragma once

#include "core/kernels.h"
#include "core/target.h"

#ifdef __CUDACC__
#include "cuda/hardware/device.h"
#else
#include "cuda/emulated/device.h"
#endif

namespace fastnn::FASTNN_TARGET {

FASTNN_INLINE constexpr Index least(Index a, Index b) { return a < b ? a : b; }
FASTNN_INLINE constexpr Index most(Index a, Index b) { return a > b ? a : b; }
FASTNN_INLINE constexpr Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }

// The row and column of element i of a matrix. Uses 32-bit division if the numbers fit: a 64-bit
// one takes several times as long.
struct Cell {
  Index row, column;
};

FASTNN_INLINE constexpr Cell cell_of(Index i, Index columns) {
  const auto place = static_cast<uint64_t>(i);
  const auto width = static_cast<uint64_t>(columns);
  if ((place | width) >> 32U == 0) {
    const auto row = static_cast<uint32_t>(place) / static_cast<uint32_t>(width);
    return {row, static_cast<uint32_t>(place) - row * static_cast<uint32_t>(width)};
  }
  return {i / columns, i % columns};
}

// Consecutive elements that are moved by one access or, beyond 16 bytes, by several.
template <class T, int width>
struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Group {
  T element[width];
};

// Elements in a group of 16 bytes.
template <class T>
inline constexpr int group_width = static_cast<int>(16 / sizeof(T));

// Whether all addresses are multiples of `bytes`.
template <class... Addresses>
bool aligned(uintptr_t bytes, Addresses... addresses) {
  return ((reinterpret_cast<uintptr_t>(addresses) % bytes == 0) && ...);
}

// Blocks for n pieces of work: one piece for each thread, or several if there are more pieces than
// threads that a GPU can hold at once.
inline Index blocks_for(Index n, int threads) {
  constexpr Index enough = 132 * 16;
  return least(ceil_div(n, threads), enough);
}

// The sum of x over a warp, for all lanes, in a fixed order.
template <class T>
FASTNN_DEVICE T sum_of_warp(const Thread& t, T x) {
  FASTNN_UNROLL
  for (int mask = 16; mask > 0; mask /= 2) x += t.exchange(x, mask);
  return x;
}

// The sum of x over a block, for all of its threads, in a fixed order. `room` is shared memory of
// one T for each warp. Contains barriers; the last one follows the last read.
template <class T>
FASTNN_DEVICE T sum_of_block(const Thread& t, T x, T* room) {
  x = sum_of_warp(t, x);
  if (t.lane() == 0) room[t.warp()] = x;
  t.barrier();
  T sum = T(0);
  for (int w = 0; w < t.threads() / 32; ++w) sum += room[w];
  t.barrier();
  return sum;
}

}  // namespace fastnn::FASTNN_TARGET
