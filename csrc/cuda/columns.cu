// Columns of a matrix, taken out of its rows, put into them, and repeated.
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

FASTNN_INSTANTIATE(take_columns, TakeColumns)
FASTNN_INSTANTIATE(put_columns, PutColumns)
FASTNN_INSTANTIATE(repeat_columns, RepeatColumns)
FASTNN_INSTANTIATE(sum_repeated, SumRepeated)

}  // namespace fastnn::FASTNN_TARGET
