// Tensors of one shape, combined element by element, and the gradient of each.
#include "core/combine.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

template <class Row, class T>
struct Combine {
  static constexpr int threads = threads_of_block;
  CombineForward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n) return;
    T y = a.x[0][i];
    for (int k = 1; k < a.count; ++k) y = Row::join(y, a.x[k][i]);
    if constexpr (Row::finishes) y = Row::finish(y, a.count);
    a.y[i] = y;
  }
};

template <class Row, class T>
struct CombineSlope {
  static constexpr int threads = threads_of_block;
  CombineBackward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n) return;
    T dx = a.dy[i];
    if constexpr (Row::slope == OperandSlope::scaled) {
      dx = Row::template factor<T>(a.index, a.count) * dx;
    } else if constexpr (Row::slope == OperandSlope::others) {
      for (int k = 0; k < a.count; ++k) {
        if (k != a.index) dx = dx * a.x[k][i];
      }
    } else {
      const T y = a.y[i];
      T ties = T(0);
      for (int k = 0; k < a.count; ++k) ties += a.x[k][i] == y ? T(1) : T(0);
      dx = dx * Row::share(a.x[a.index][i], y, ties);
    }
    a.dx[i] = dx;
  }
};

}  // namespace

template <class T>
Status combine_forward(Context& context, const CombineForward<T>& a) {
  return with_combination(a.combination, [&](auto row) {
    return launch(context, ceil_div(a.n, threads_of_block), Combine<decltype(row), T>{a});
  });
}

template <class T>
Status combine_backward(Context& context, const CombineBackward<T>& a) {
  return with_combination(a.combination, [&](auto row) {
    return launch(context, ceil_div(a.n, threads_of_block), CombineSlope<decltype(row), T>{a});
  });
}

FASTNN_INSTANTIATE(combine_forward, CombineForward)
FASTNN_INSTANTIATE(combine_backward, CombineBackward)

}  // namespace fastnn::FASTNN_TARGET
