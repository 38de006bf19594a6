// float32 matrices as parts in bfloat16, in the two forms that products read, and the kernels of
// instruction sets that have a unit for bfloat16. bf16_dense.h decides which products use them.
//
// A float32 is the sum of `bf16_parts` bfloat16 numbers: part 0 is x rounded to nearest even, part
// 1 is the remainder rounded likewise, part 2 is the remainder after that. One part keeps 8 bits,
// two parts keep 16, three keep all 24. A product adds the products of the parts (i, j) with i + j
// < bf16_parts in float32.
//
// The units read pairs: two consecutive k in 32 bits, the even one in the low half.
//   A form, of the left operand (m, k): rows of pairs, `stride` elements apart.
//   B form, of the right operand (k, n): panels of 16 columns, `stride` elements
//     apart; in a panel, for each pair of k, the pairs of the 16 columns.
// One tile of AMX holds 16 rows of 32 k of an A, or 32 k of a panel, which are 1 KB without a gap.
// One AVX-512 register holds a row of a panel. Both forms are padded with zeros to a multiple of 32
// k, and panels to 16 columns.
//
// Denormals count as zeros, in conversions and in products. NaN stays NaN. With one part, an
// infinity stays an infinity. With several parts it gives NaN, because inf - inf is a part, and so
// does a finite number that rounds to infinity (from 3.3962e38 on).
#pragma once

#include <cstdint>

#include "core/target.h"
#include "cpu/block.h"
#include "cpu/context.h"

namespace fastnn {

inline constexpr int max_bf16_parts = 3;
inline constexpr Index bf16_depth = 32;  // k is padded to a multiple of this
inline constexpr Index bf16_lanes = 16;  // columns of a panel

// Sums no longer than this are not cut with one or two parts, so that their result may stay in
// cache.
inline constexpr Index bf16_stretch = 1024;

struct Bf16Matrix {
  uint16_t* data;     // aligned to 64 bytes
  Index part_stride;  // elements from one part to the next
  Index stride;       // between rows in A form, between panels in B form
};

constexpr FASTNN_INLINE Index bf16_padded(Index count, Index multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

// Strides that avoid cache conflicts, and the elements of one part with these strides. Rows of A
// whose length is a multiple of 1 KB would fall into a few sets of the first-level cache.
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

// Writes a block of X (rows, columns) to every form that has data. The block begins at multiples of
// 32, and ends at multiples of 32 or at the end of X. A block at the end also writes the padding.
// Blocks that do not overlap may be written at the same time.
struct Bf16Convert {
  Index rows, columns;
  Block block;
  const float* x;  // the block's first element
  Index x_row;
  int bf16_parts;
  Bf16Matrix a;             // X in A form:   (rows, columns as k)
  Bf16Matrix b;             // X in B form:   (rows as k, columns)
  Bf16Matrix a_transposed;  // X^T in A form: (columns, rows as k)
  Bf16Matrix b_transposed;  // X^T in B form: (columns as k, rows)
};

// C (m, n) = A (m, k) B (k, n) + start, or C = C + A B. Rows of A up to a multiple of 16 are read,
// whatever they hold. The order of additions to C is fixed by shape.
struct Bf16Product {
  Index m, n, k;
  int bf16_parts;
  Bf16Matrix a, b;
  float* c;  // null: only `finish` sees the result; for k up to bf16_stretch
  Index c_row;
  bool add = false;
  const float* start = nullptr;  // (n), initial value of each row of C; not with `add`
  // Called by any thread for blocks that together cover C and are still in cache; they begin where
  // a block of Bf16Convert may begin. May be null.
  void (*finish)(const void* arguments, const ResultBlock<float>&) = nullptr;
  const void* arguments = nullptr;
};

// Null if the instruction set has no unit for bfloat16.
struct Bf16Kernels {
  void (*convert)(const Bf16Convert&);  // on the calling thread
  Kernel<Bf16Product> multiply;
};

}  // namespace fastnn
