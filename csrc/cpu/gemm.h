// Matrix products, as dense layers ask for them. gemm.cpp decides how a product is computed.
#pragma once

#include "core/kernels.h"
#include "core/target.h"
#include "cpu/block.h"
#include "cpu/context.h"

namespace fastnn::FASTNN_TARGET {

// C (m, n) = A (m, k) B (k, n) + start. Strides are in elements. A may have any strides, one of B's
// strides is 1, and a row of C is contiguous.
template <class T>
struct Product {
  Index m, n, k;
  const T* a;
  Index a_row, a_column;  // any
  const T* b;
  Index b_row, b_column;  // one of them 1
  T* c;                   // null: only `finish` sees the result
  Index c_row;
  bool add;        // add to C, which is then not null; otherwise overwrite it
  const T* start;  // (n), initial value of each row of C; null: zeros; not with `add`
  // Called by any thread for blocks that together cover C; may be null.
  void (*finish)(const void* arguments, const ResultBlock<T>&);
  const void* arguments;
  // Whether one thread finishes the blocks of a row group in order of their rows, if the blocks
  // have the same columns.
  bool ordered = false;
  // Arrays (m, n) that `finish` uses if C is null; null where unused. Arrays too large for the
  // caches are prefetched one block ahead.
  const T* beside[3] = {nullptr, nullptr, nullptr};
};

inline constexpr Index page = 4096;  // bytes

// Whether each row of B lies in pages of its own, so that reading down B must be prefetched or
// avoided by packing.
template <class T>
constexpr bool far_apart(const Product<T>& p) {
  return p.b_row * static_cast<Index>(sizeof(T)) >= 2 * page;
}

// Number of terms in a block of k. Each block is one chain of fused multiply-adds in ascending k,
// and an element of C is the sum of its blocks, for any number of rows and any division of the
// work. If C is small and k is long, the blocks are summed in groups, and the groups are added in
// order. Rows of B read in place share the cache: twice as many would evict each other.
template <class T>
constexpr Index block_terms(const Product<T>& p) {
  return p.b_column == 1 && !far_apart(p) ? 256 : 512;
}

template <class T>
Status multiply(Context&, const Product<T>&);

}  // namespace fastnn::FASTNN_TARGET
