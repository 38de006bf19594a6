// Tensors of one shape, combined element by element, and the gradient of each.
#include "core/combine.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {
namespace {

// Elements that all operands pass before the next: they stay in the first cache.
constexpr Index piece = 1 << 10;

template <class F>
void for_pieces(Context& context, Index n, Index cost, const F& f) {
  for_ranges(context, n, cost, [&](Index begin, Index end) {
    for (Index i = begin; i < end; i += piece) f(i, least(i + piece, end));
  });
}

template <class Row, class T>
void combine(const CombineForward<T>& a, Index begin, Index end) {
  T* __restrict__ const y = a.y;
  const T* const first = a.x[0];
  const T* const second = a.x[1];
  if (a.count == 1) {
    for (Index i = begin; i < end; ++i) y[i] = first[i];
  } else {
    for (Index i = begin; i < end; ++i) y[i] = Row::join(first[i], second[i]);
  }
  for (int k = 2; k < a.count; ++k) {
    const T* const x = a.x[k];
    for (Index i = begin; i < end; ++i) y[i] = Row::join(y[i], x[i]);
  }
  if constexpr (Row::finishes) {
    for (Index i = begin; i < end; ++i) y[i] = Row::finish(y[i], a.count);
  }
}

template <class T>
void multiply_others(const CombineBackward<T>& a, Index begin, Index end) {
  T* __restrict__ const dx = a.dx;
  const T* from = a.dy;
  for (int k = 0; k < a.count; ++k) {
    if (k == a.index) continue;
    const T* const x = a.x[k];
    FASTNN_INDEPENDENT
    for (Index i = begin; i < end; ++i) dx[i] = from[i] * x[i];
    from = dx;
  }
  if (from == a.dy) {
    for (Index i = begin; i < end; ++i) dx[i] = a.dy[i];
  }
}

template <class Row, class T>
void share(const CombineBackward<T>& a, Index begin, Index end) {
  T* __restrict__ const dx = a.dx;
  T ties[piece];
  for (Index i = 0; i < end - begin; ++i) ties[i] = T(0);
  for (int k = 0; k < a.count; ++k) {
    const T* const x = a.x[k];
    for (Index i = begin; i < end; ++i) ties[i - begin] += x[i] == a.y[i] ? T(1) : T(0);
  }
  const T* const x = a.x[a.index];
  for (Index i = begin; i < end; ++i) {
    dx[i] = a.dy[i] * Row::share(x[i], a.y[i], ties[i - begin]);
  }
}

}  // namespace

template <class T>
Status combine_forward(Context& context, const CombineForward<T>& a) {
  with_combination(a.combination, [&](auto row) {
    for_pieces(context, a.n, most(a.count - 1, 1),
               [&](Index begin, Index end) { combine<decltype(row)>(a, begin, end); });
  });
  return Status::ok;
}

template <class T>
Status combine_backward(Context& context, const CombineBackward<T>& a) {
  with_combination(a.combination, [&](auto row) {
    using Row = decltype(row);
    const Index cost = Row::slope == OperandSlope::scaled ? 1 : a.count;
    for_pieces(context, a.n, cost, [&](Index begin, Index end) {
      if constexpr (Row::slope == OperandSlope::scaled) {
        const T factor = Row::template factor<T>(a.index, a.count);
        FASTNN_INDEPENDENT
        for (Index i = begin; i < end; ++i) a.dx[i] = factor * a.dy[i];
      } else if constexpr (Row::slope == OperandSlope::others) {
        multiply_others(a, begin, end);
      } else {
        share<Row>(a, begin, end);
      }
    });
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(combine_forward, CombineForward)
FASTNN_INSTANTIATE(combine_backward, CombineBackward)

}  // namespace fastnn::FASTNN_TARGET
