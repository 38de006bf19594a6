// Loops of kernels over elements, rows and threads. Only files that are compiled for each
// instruction set include this; no standard-library templates here (see core/target.h).
#pragma once

#include "core/kernels.h"
#include "core/target.h"
#include "cpu/context.h"

namespace fastnn::FASTNN_TARGET {

// For a loop whose iterations do not touch each other's memory, although an output may be an input.
// Otherwise the compiler compares the pointers at run time, and does not vectorise equal ones.
#if defined(__clang__)
#define FASTNN_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define FASTNN_INDEPENDENT _Pragma("GCC ivdep")
#endif

// For a loop over lanes, with few iterations whose number is known: the compiler is to vectorise
// it, not to unroll it into scalars first.
#if defined(__clang__)
#define FASTNN_LANES _Pragma("clang loop vectorize(assume_safety)")
#else
#define FASTNN_LANES _Pragma("GCC unroll 1") _Pragma("GCC ivdep")
#endif

FASTNN_INLINE Index least(Index a, Index b) { return a < b ? a : b; }
FASTNN_INLINE Index most(Index a, Index b) { return a > b ? a : b; }
FASTNN_INLINE Index ceil_div(Index a, Index b) { return (a + b - 1) / b; }
FASTNN_INLINE Index round_up(Index a, Index b) { return ceil_div(a, b) * b; }

// The row of the data set that is row r of a batch.
FASTNN_INLINE Index row_at(const Rows& rows, Index r) {
  return rows.order != nullptr ? rows.order[r] : rows.first + r;
}

// Work is counted in units of about 0.2 ns: one element is read, a few additions or multiplications
// are done, and the result is written.

// f(index, worker) for each index in [0, count), on `threads` threads.
template <class F>
inline void share_out(Context& context, Index count, int threads, const F& f) {
  if (threads == 1) {
    for (Index i = 0; i < count; ++i) f(i, 0);
    return;
  }
  context.run(
      count, threads,
      [](const void* arguments, Index index, int worker) {
        (*static_cast<const F*>(arguments))(index, worker);
      },
      &f);
}

// The same on as many threads as are worthwhile for `work`, the work of all tasks together.
template <class F>
inline void for_tasks(Context& context, Index count, Index work, const F& f) {
  share_out(context, count, context.threads(work), f);
}

// f(begin, end) over ranges that cover [0, n); `cost` is the work for one element.
template <class F>
inline void for_ranges(Context& context, Index n, Index cost, const F& f) {
  constexpr Index piece = 1 << 13;
  const int threads = context.threads(n * cost);
  if (threads == 1) {
    if (n > 0) f(Index{0}, n);
    return;
  }
  const Index length = most(piece / cost, 1);
  share_out(context, ceil_div(n, length), threads,
            [&](Index index, int) { f(index * length, least((index + 1) * length, n)); });
}

// f(group, begin, end, worker) for each group of rows; `cost` is the work for one row.
template <class F>
inline void for_row_groups(Context& context, Index n, Index cost, const F& f) {
  const RowGroups groups = row_groups(n);
  for_tasks(context, groups.count, n * cost, [&](Index group, int worker) {
    f(group, group * groups.rows, least((group + 1) * groups.rows, n), worker);
  });
}

// Sums and maxima in a fixed order that vectorises: 16 running results, combined at the end.
inline constexpr int lanes = 16;

template <class T>
using Lanes = T[lanes];

template <class T>
FASTNN_INLINE void set(Lanes<T>& x, T value) {
  FASTNN_LANES
  for (int k = 0; k < lanes; ++k) x[k] = value;
}

// Pairwise, in a fixed order.
template <class T>
FASTNN_INLINE T joined(Lanes<T>& x) {
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int k = 0; k < width; ++k) x[k] += x[k + width];
  }
  return x[0];
}

// f(k, j) for each j in [0, n), of lane k = j % lanes, whole lanes at a time.
template <class F>
FASTNN_INLINE void for_lanes(Index n, const F& f) {
  Index j = 0;
  for (; j + lanes <= n; j += lanes) {
    FASTNN_LANES
    for (int k = 0; k < lanes; ++k) f(k, j + k);
  }
  for (int k = 0; j + k < n; ++k) f(k, j + k);
}

template <class T>
inline T sum_of(const T* x, Index n) {
  if (n < lanes) {
    T sum = T(0);
    // NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign): the caller has filled it
    for (Index i = 0; i < n; ++i) sum += x[i];
    return sum;
  }
  T partial[lanes] = {};
  Index i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (int j = 0; j < lanes; ++j) partial[j] += x[i + j];
  }
  for (int j = 0; i + j < n; ++j) partial[j] += x[i + j];
  for (int width = lanes / 2; width > 0; width /= 2) {
    for (int j = 0; j < width; ++j) partial[j] += partial[j + width];
  }
  return partial[0];
}

template <class T>
FASTNN_INLINE T larger(T a, T b) {
  return a > b ? a : b;
}

// NaN is skipped, unless it comes first.
template <class T>
inline T max_of(const T* x, Index n) {
  T best = x[0];
  Index i = 0;
  if (n >= lanes) {
    T partial[lanes];
    for (int j = 0; j < lanes; ++j) partial[j] = x[j];
    for (i = lanes; i + lanes <= n; i += lanes) {
      for (int j = 0; j < lanes; ++j) partial[j] = larger(x[i + j], partial[j]);
    }
    for (int j = 0; j < lanes; ++j) best = larger(partial[j], best);
  }
  for (; i < n; ++i) best = larger(x[i], best);
  return best;
}

}  // namespace fastnn::FASTNN_TARGET
