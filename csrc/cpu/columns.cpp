// Columns of a matrix, taken out of its rows, put into them, repeated and permuted; and the numbers
// that they name, counted.
#include "core/embedding.h"

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

template <class T>
Status permute_columns(Context& context, const PermuteColumns<T>& a) {
  const Index* const sizes = a.axes.sizes;
  const Index* const strides = a.axes.strides;
  for_ranges(context, a.n, most(a.c * 2, 1), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const x = a.x + row * a.c;
      T* __restrict__ const y = a.y + row * a.c;
      Index j = 0;
      for (Index i = 0; i < sizes[0]; ++i) {
        for (Index k = 0; k < sizes[1]; ++k) {
          for (Index l = 0; l < sizes[2]; ++l) {
            Index at = i * strides[0] + k * strides[1] + l * strides[2];
            for (Index m = 0; m < sizes[3]; ++m, ++j, at += strides[3]) {
              if (a.backward) {
                y[at] = x[j];
              } else {
                y[j] = x[at];
              }
            }
          }
        }
      }
    }
  });
  return Status::ok;
}

template <class T>
Status count_categories(Context& context, const CountCategories<T>& a) {
  for_ranges(context, a.n, most(a.vocabulary + 4 * a.k, 1), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      T* const y = a.y + row * a.vocabulary;
      for (Index v = 0; v < a.vocabulary; ++v) y[v] = T(0);
      for (Index j = 0; j < a.k; ++j) {
        const Index named = named_row(a.x[row * a.k + j], a.vocabulary);
        if (named >= 0) {
          y[named] = a.counts ? y[named] + T(1) : y[named] == y[named] ? T(1) : y[named];
          continue;
        }
        for (Index v = 0; v < a.vocabulary; ++v) y[v] = static_cast<T>(__builtin_nanf(""));
      }
    }
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(permute_columns, PermuteColumns)
FASTNN_INSTANTIATE(count_categories, CountCategories)
FASTNN_INSTANTIATE(take_columns, TakeColumns)
FASTNN_INSTANTIATE(put_columns, PutColumns)
FASTNN_INSTANTIATE(repeat_columns, RepeatColumns)
FASTNN_INSTANTIATE(sum_repeated, SumRepeated)

}  // namespace fastnn::FASTNN_TARGET
