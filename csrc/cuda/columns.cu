// Columns of a matrix, taken out of its rows, put into them, repeated and permuted; and the numbers
// that they name, counted.
#include "core/embedding.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

template <class T>
struct Take {
  static constexpr int threads = threads_of_block;
  TakeColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Cell cell = cell_of(i, a.c);
    a.y[i] = a.x[cell.row * a.columns + a.first + cell.column];
  }
};

template <class T>
struct PutInto {
  static constexpr int threads = threads_of_block;
  PutColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Cell cell = cell_of(i, a.c);
    T& y = a.y[cell.row * a.columns + a.first + cell.column];
    y = a.put == Put::added ? y + a.x[i] : a.x[i];
  }
};

template <class T>
struct PutAmongZeros {
  static constexpr int threads = threads_of_block;
  PutColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.columns) return;
    const Cell cell = cell_of(i, a.columns);
    const Index column = cell.column - a.first;
    const bool own = column >= 0 && column < a.c;
    a.y[i] = own ? a.x[cell.row * a.c + column] : T(0);
  }
};

template <class T>
struct Repeat {
  static constexpr int threads = threads_of_block;
  RepeatColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    const Index columns = a.c * a.times;
    if (i >= a.n * columns) return;
    const Cell cell = cell_of(i, columns);
    a.y[i] = a.x[cell.row * a.c + cell.column % a.c];
  }
};

template <class T>
struct Sum {
  static constexpr int threads = threads_of_block;
  SumRepeated<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Cell cell = cell_of(i, a.c);
    const T* const dy = a.dy + cell.row * a.c * a.times + cell.column;
    T sum = dy[0];
    for (Index k = 1; k < a.times; ++k) sum += dy[k * a.c];
    a.dx[i] = sum;
  }
};

template <class T>
struct Permute {
  static constexpr int threads = threads_of_block;
  PermuteColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Cell cell = cell_of(i, a.c);
    Index rest = cell.column;
    Index at = cell.row * a.c;
    FASTNN_UNROLL
    for (int axis = most_axes - 1; axis >= 0; --axis) {
      at += rest % a.axes.sizes[axis] * a.axes.strides[axis];
      rest /= a.axes.sizes[axis];
    }
    if (a.backward) {
      a.y[at] = a.x[i];
    } else {
      a.y[i] = a.x[at];
    }
  }
};

// Each thread counts one category of a row.
template <class T>
struct CountOne {
  static constexpr int threads = threads_of_block;
  CountCategories<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.vocabulary) return;
    const Cell cell = cell_of(i, a.vocabulary);
    T count = T(0);
    for (Index j = 0; j < a.k; ++j) {
      const Index named = named_row(a.x[cell.row * a.k + j], a.vocabulary);
      if (named < 0) count = static_cast<T>(__builtin_nanf(""));
      if (named == cell.column) count = a.counts ? count + T(1) : count == count ? T(1) : count;
    }
    a.y[i] = count;
  }
};

}  // namespace

template <class T>
Status take_columns(Context& context, const TakeColumns<T>& a) {
  return launch(context, ceil_div(a.n * a.c, threads_of_block), Take<T>{a});
}

template <class T>
Status put_columns(Context& context, const PutColumns<T>& a) {
  if (a.put == Put::among_zeros) {
    return launch(context, ceil_div(a.n * a.columns, threads_of_block), PutAmongZeros<T>{a});
  }
  return launch(context, ceil_div(a.n * a.c, threads_of_block), PutInto<T>{a});
}

template <class T>
Status repeat_columns(Context& context, const RepeatColumns<T>& a) {
  return launch(context, ceil_div(a.n * a.c * a.times, threads_of_block), Repeat<T>{a});
}

template <class T>
Status sum_repeated(Context& context, const SumRepeated<T>& a) {
  return launch(context, ceil_div(a.n * a.c, threads_of_block), Sum<T>{a});
}

template <class T>
Status permute_columns(Context& context, const PermuteColumns<T>& a) {
  return launch(context, ceil_div(a.n * a.c, threads_of_block), Permute<T>{a});
}

template <class T>
Status count_categories(Context& context, const CountCategories<T>& a) {
  return launch(context, ceil_div(a.n * a.vocabulary, threads_of_block), CountOne<T>{a});
}

FASTNN_INSTANTIATE(permute_columns, PermuteColumns)
FASTNN_INSTANTIATE(count_categories, CountCategories)
FASTNN_INSTANTIATE(take_columns, TakeColumns)
FASTNN_INSTANTIATE(put_columns, PutColumns)
FASTNN_INSTANTIATE(repeat_columns, RepeatColumns)
FASTNN_INSTANTIATE(sum_repeated, SumRepeated)

}  // namespace fastnn::FASTNN_TARGET
