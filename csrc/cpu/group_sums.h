// Sums over rows, by row group (core/kernels.h): a place for them, and their total.
#pragma once

#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// The sums of the groups, in order, as the result or added to what is there.
template <class T>
inline void join_groups(const T* __restrict__ sums, Index groups, Index columns, bool accumulates,
                        T* __restrict__ out) {
  if (!accumulates) {
    for (Index j = 0; j < columns; ++j) out[j] = groups > 0 ? sums[j] : T(0);
  }
  for (Index group = accumulates ? 0 : 1; group < groups; ++group) {
    for (Index j = 0; j < columns; ++j) out[j] += sums[group * columns + j];
  }
}

// A place for the sums of each group.
template <class T>
inline T* group_sums(Context& context, Index n, Index columns) {
  const Index groups = row_groups(n).count;
  return static_cast<T*>(
      context.scratch(Context::sums, static_cast<size_t>(most(groups, 1) * columns) * sizeof(T)));
}

}  // namespace fastnn::FASTNN_TARGET
