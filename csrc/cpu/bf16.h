// float32 matrices in bfloat16, in the two forms that products read, and the
// kernels of instruction sets that have a unit for it.
//
// A float32 is the sum of `planes` bfloat16: plane 0 is x rounded to nearest
// even, plane 1 what that left rounded likewise, plane 2 the rest. One plane
// keeps 8 bits, two keep 16, three all 24. A product adds the products of the
// planes (i, j) with i + j < planes in float32.
//
// The units read pairs, two consecutive k in 32 bits, the even one in the low half:
//   A form, of the left operand (m, k): rows of pairs, `stride` elements apart.
//   B form, of the right operand (k, n): panels of 16 columns, `stride` elements
//     apart; in a panel, for each pair of k, the pairs of the 16 columns.
// So 16 rows of 32 k of an A, and 32 k of a panel, which are 1 KB without a gap,
// are a tile of AMX each; and a row of a panel is one AVX-512 register. Both are
// padded with zeros to k a multiple of 32, and a panel to 16 columns.
//
// Denormals count as zeros, on the way in as in the products. NaN stays NaN. An
// infinity stays one in one plane; in several, where inf - inf is a part, it gives
// NaN, as does a finite number that rounds to infinity (from 3.3962e38 on).
#pragma once

#include <cstdint>

#include "core/target.h"
#include "cpu/block.h"
#include "cpu/context.h"

namespace fastnn {

inline constexpr int max_planes = 3;
inline constexpr Index bf16_depth = 32;  // what k is padded to
inline constexpr Index bf16_lanes = 16;  // columns of a panel

// Sums no longer than this are not cut, so that their result may stay in cache.
inline constexpr Index bf16_stretch = 1024;

struct Bf16Matrix {
  uint16_t* data;  // aligned to 64 bytes
  Index plane;     // elements from one plane to the next
  Index stride;    // of rows in A form, of panels in B form
};

constexpr FASTNN_INLINE Index bf16_padded(Index count, Index multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Strides that serve, and the elements of one plane then. Rows of A a multiple
// of 1 KB long would meet in a few sets of the first cache.
constexpr FASTNN_INLINE Index bf16_a_stride(Index k) {
  const Index row = bf16_padded(k, bf16_depth);
  return row % 512 == 0 ? row + bf16_depth : row;
}
constexpr FASTNN_INLINE Index bf16_a_size(Index rows, Index k) {
  return bf16_padded(rows, 16) * bf16_a_stride(k);
}
constexpr FASTNN_INLINE Index bf16_b_stride(Index k) {
  return bf16_padded(k, bf16_depth) * bf16_lanes;
}
constexpr FASTNN_INLINE Index bf16_b_size(Index k, Index n) {
  return bf16_padded(n, bf16_lanes) / bf16_lanes * bf16_b_stride(k);
}

// Writes a block of X (rows, columns) into those of four forms that have data. It
// begins at multiples of 32, and ends at such or where X ends; whoever writes the
// end writes the padding. Blocks that do not overlap may be written at the same time.
struct Bf16Convert {
  Index rows, columns;
  Block block;
  const float* x;  // the block's first element
  Index x_row;
  int planes;
  Bf16Matrix a;             // X in A form:   (rows, columns as k)
  Bf16Matrix b;             // X in B form:   (rows as k, columns)
  Bf16Matrix a_transposed;  // X^T in A form: (columns, rows as k)
  Bf16Matrix b_transposed;  // X^T in B form: (columns as k, rows)
};

// C (m, n) = A (m, k) B (k, n) + start, or C + that. Rows of A up to a multiple of 16 are
// read, whatever they hold. Where C is added to, that is so in blocks of C whose
// order is fixed by shape.
struct Bf16Product {
  Index m, n, k;
  int planes;
  Bf16Matrix a, b;
  float* c;  // null: only `finish` sees the result; for k up to bf16_stretch
  Index c_row;
  bool add = false;
  const float* start = nullptr;  // (n), from which each row of C starts; not with `add`
  // Called for blocks that together cover C, still in cache, by any thread; they
  // begin where a Bf16Convert of C may. May be null.
  void (*finish)(const void* arguments, const ResultBlock<float>&) = nullptr;
  const void* arguments = nullptr;
};

// Null where the instruction set has no unit.
struct Bf16Kernels {
  void (*convert)(const Bf16Convert&);  // on the calling thread
  Kernel<Bf16Product> multiply;
};

}  // namespace fastnn
