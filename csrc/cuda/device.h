// What kernels are written in: a thin layer over blocks, warps and barriers.
//
// A kernel is a struct: its members are its arguments, `threads` says how many make a
// block, and operator()(Thread) is what each of them does. It is compiled twice: by
// nvcc for GPUs, and by a C++ compiler for the emulator, where the threads of a block
// are fibers that run in shuffled order from one barrier to the next.
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
// Memory that a block shares is a nested struct `Shared`, of plain arrays, had by
// t.shared<Shared>(); or as many bytes as the member shared_bytes() says. It holds
// nothing of use at first. Every thread of a block must reach each of its barriers, and
// every lane of a warp what a warp does together.
//
// Thread offers
//   index(), threads()       in its block
//   block(), blocks()
//   place(), all()           among all threads
//   lane(), warp()           of 32
//   barrier(), warp_barrier()
//   exchange(x, mask)        the x of lane ^ mask
//   from_lane(x, k)          the x of lane k
//   shared<S>()
//   last_block(counter)      in the block that comes last, true: then all that the others
//                            wrote before is there, and the counter is 0 again, as it was.
//                            For all threads of each block; has barriers inside.
//   mma(d, a, b)             d += a b of a warp, 16 x 16 by 16 x 8 of bfloat16 with sums in
//                            float32: each lane has the parts of them that the PTX ISA
//                            says for mma.m16n8k16. The order of a sum is the unit's own
// and there is
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

// Where the i-th cell of a matrix is. In 32 bits where they do: a quotient of 64 takes
// several times as long.
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

// So many elements as they lie in memory, that go with one access or, beyond 16 bytes, a few.
template <class T, int width>
struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Group {
  T element[width];
};

// Elements in a group of 16 bytes.
template <class T>
inline constexpr int group_width = static_cast<int>(16 / sizeof(T));

// Whether all are multiples of so many bytes.
template <class... Addresses>
bool aligned(uintptr_t bytes, Addresses... addresses) {
  return ((reinterpret_cast<uintptr_t>(addresses) % bytes == 0) && ...);
}

// Blocks for n pieces of work: a turn for each thread or, beyond what a GPU can hold
// at once, several.
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

// The sum over a block, for all of its threads, in a fixed order; `room` is memory that
// they share, of one T for each warp. Has barriers, the last behind the last read.
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
