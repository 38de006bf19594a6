// Matrix products.
#pragma once

#include "core/kernels.h"
#include "core/target.h"
#include "cpu/block.h"
#include "cpu/context.h"

namespace fastnn::FASTNN_TARGET {

// C (m, n) = A (m, k) B (k, n) + start. Strides in elements; those of C and one of B's
// and A's may be anything, the other is 1 where not said otherwise.
template <class T>
struct Product {
  Index m, n, k;
  const T* a;
  Index a_row, a_column;  // any
  const T* b;
  Index b_row, b_column;  // one of them 1
  T* c;                   // null: only `finish` sees the result
  Index c_row;
  bool add;        // to C, which is then not null; else overwrite it
  const T* start;  // (n), from which each row of C starts; null: zeros; not with `add`
  // Called for pieces that together cover C, by any thread; may be null.
  void (*finish)(const void* arguments, const ResultBlock<T>&);
  const void* arguments;
  // Whether pieces of rows of one row group come in order from one thread, where
  // their columns are the same.
  bool ordered = false;
  // Arrays (m, n) that `finish` reads where C is null, or null: brought nearer a block
  // ahead of it where they are too large to be in the caches already.
  const T* beside[3] = {nullptr, nullptr, nullptr};
};

inline constexpr Index page = 4096;  // bytes

// Whether rows of B lie in pages of their own: what is read of them in turn is to be near.
template <class T>
constexpr bool far_apart(const Product<T>& p) {
  return p.b_row * static_cast<Index>(sizeof(T)) >= 2 * page;
}

// An element of C is the sum, over blocks of so many terms, of one chain each of fused
// multiply-adds in ascending k, however many rows there are and however the work is shared
// out. Where C is small and k long, the blocks are added up in groups, and these in order.
// Rows in place meet in the cache: twice as many would drive each other out.
template <class T>
constexpr Index block_terms(const Product<T>& p) {
  return p.b_column == 1 && !far_apart(p) ? 256 : 512;
}

template <class T>
Status multiply(Context&, const Product<T>&);

}  // namespace fastnn::FASTNN_TARGET
