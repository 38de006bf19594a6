// Columns of a matrix, taken out of its rows, put into them, and repeated.
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
Status take_columns(Context& context, const TakeColumns<T>& a) {
  for_ranges(context, a.n, a.c, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const x = a.x + row * a.columns + a.first;
      T* __restrict__ const y = a.y + row * a.c;
      for (Index j = 0; j < a.c; ++j) y[j] = x[j];
    }
  });
  return Status::ok;
}

template <class T>
Status put_columns(Context& context, const PutColumns<T>& a) {
  const bool clears = a.put == Put::among_zeros;
  for_ranges(context, a.n, clears ? a.columns : a.c, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const x = a.x + row * a.c;
      T* __restrict__ const y = a.y + row * a.columns;
      T* __restrict__ const to = y + a.first;
      if (a.put == Put::added) {
        for (Index j = 0; j < a.c; ++j) to[j] += x[j];
        continue;
      }
      for (Index j = 0; clears && j < a.first; ++j) y[j] = T(0);
      for (Index j = 0; j < a.c; ++j) to[j] = x[j];
      for (Index j = a.first + a.c; clears && j < a.columns; ++j) y[j] = T(0);
    }
  });
  return Status::ok;
}

template <class T>
Status repeat_columns(Context& context, const RepeatColumns<T>& a) {
  for_ranges(context, a.n, a.c * a.times, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const x = a.x + row * a.c;
      T* __restrict__ const y = a.y + row * a.c * a.times;
      if (a.c == 1) {
        for (Index k = 0; k < a.times; ++k) y[k] = *x;
        continue;
      }
      for (Index k = 0; k < a.times; ++k) {
        for (Index j = 0; j < a.c; ++j) y[k * a.c + j] = x[j];
      }
    }
  });
  return Status::ok;
}

template <class T>
Status sum_repeated(Context& context, const SumRepeated<T>& a) {
  for_ranges(context, a.n, a.c * a.times, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const dy = a.dy + row * a.c * a.times;
      T* __restrict__ const dx = a.dx + row * a.c;
      for (Index j = 0; j < a.c; ++j) dx[j] = dy[j];
      for (Index k = 1; k < a.times; ++k) {
        for (Index j = 0; j < a.c; ++j) dx[j] += dy[k * a.c + j];
      }
    }
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(take_columns, TakeColumns)
FASTNN_INSTANTIATE(put_columns, PutColumns)
FASTNN_INSTANTIATE(repeat_columns, RepeatColumns)
FASTNN_INSTANTIATE(sum_repeated, SumRepeated)

}  // namespace fastnn::FASTNN_TARGET
