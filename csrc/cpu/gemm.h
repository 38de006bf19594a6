// Matrix products.
#pragma once

#include "core/kernels.h"
#include "core/target.h"
#include "cpu/block.h"
#include "cpu/context.h"

namespace fastnn::FASTNN_TARGET {

// C (m, n) = A (m, k) B (k, n). Strides in elements; those of C and one of B's
// and A's may be anything, the other is 1 where not said otherwise.
template <class T>
struct Product {
  Index m, n, k;
  const T* a;
  Index a_row, a_column;  // any
  const T* b;
  Index b_row, b_column;  // one of them 1
  T* c;
  Index c_row;
  // Called for blocks that together cover C, when they have got their last addition and
  // are still in cache, by any thread; may be null.
  void (*finish)(const void* arguments, const Block&);
  const void* arguments;
};

// An element of C is the sum, over blocks of k_block terms, of one chain each of
// fused multiply-adds in ascending k, however the work is shared out.
inline constexpr Index k_block = 256;

template <class T>
Status multiply(Context&, const Product<T>&);

}  // namespace fastnn::FASTNN_TARGET
