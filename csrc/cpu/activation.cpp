// Activations, softmax, and the plain arithmetic of nodes.
#include "core/activation.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr Index transcendental = 4;  // cost of an element, see for_ranges

template <class T>
Status activation_forward(Context& context, const ActivationForward<T>& a) {
  with_activation(a.activation, [&](auto kind) {
    for_ranges(context, a.n, transcendental, [&](Index begin, Index end) {
      FASTNN_INDEPENDENT
      for (Index i = begin; i < end; ++i) a.y[i] = decltype(kind)::forward(a.x[i]);
    });
  });
  return Status::ok;
}

template <class T>
Status activation_backward(Context& context, const ActivationBackward<T>& a) {
  with_activation(a.activation, [&](auto kind) {
    using Kind = decltype(kind);
    // What the slope does not read need not exist.
    const T* const x = Kind::from_output ? a.y : a.x;
    const T* const y = Kind::from_output ? a.y : a.x;
    for_ranges(context, a.n, transcendental, [&](Index begin, Index end) {
      FASTNN_INDEPENDENT
      for (Index i = begin; i < end; ++i) a.dx[i] = a.dy[i] * Kind::slope(x[i], y[i]);
    });
  });
  return Status::ok;
}

template <class T>
Status softmax_forward(Context& context, const SoftmaxForward<T>& a) {
  const Index rows = most(1024 / most(a.c, 1), 1);
  for_tasks(context, ceil_div(a.n, rows), a.n * a.c * transcendental, [&](Index index, int) {
    const Index begin = index * rows;
    const Index end = least(begin + rows, a.n);
    for (Index r = begin; r < end; ++r) {
      const T* const x = a.x + r * a.c;
      T* const y = a.y + r * a.c;
      const T top = max_of(x, a.c);
      // Equal infinities share the mass, which is the limit.
      FASTNN_INDEPENDENT
      for (Index j = 0; j < a.c; ++j) y[j] = x[j] == top ? T(0) : x[j] - top;
    }
    FASTNN_INDEPENDENT
    for (Index i = begin * a.c; i < end * a.c; ++i) a.y[i] = exp_nonpositive(a.y[i]);
    for (Index r = begin; r < end; ++r) {
      T* const y = a.y + r * a.c;
      const T inverse = T(1) / sum_of(y, a.c);
      FASTNN_INDEPENDENT
      for (Index j = 0; j < a.c; ++j) y[j] *= inverse;
    }
  });
  return Status::ok;
}

template <class T>
Status softmax_backward(Context& context, const SoftmaxBackward<T>& a) {
  for_ranges(context, a.n, most(a.c, 1), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const T* const y = a.y + r * a.c;
      const T* const dy = a.dy + r * a.c;
      T* const dx = a.dx + r * a.c;
      T dot = T(0);
      for (Index j = 0; j < a.c; ++j) dot = mul_add(y[j], dy[j], dot);
      FASTNN_INDEPENDENT
      for (Index j = 0; j < a.c; ++j) dx[j] = y[j] * (dy[j] - dot);
    }
  });
  return Status::ok;
}

template <class T>
Status affine(Context& context, const Affine<T>& a) {
  for_ranges(context, a.n, 1, [&](Index begin, Index end) {
    FASTNN_INDEPENDENT
    for (Index i = begin; i < end; ++i) a.y[i] = mul_add(a.scale, a.x[i], a.offset);
  });
  return Status::ok;
}

template <class T>
Status add(Context& context, const Add<T>& a) {
  for_ranges(context, a.n, 1, [&](Index begin, Index end) {
    FASTNN_INDEPENDENT
    for (Index i = begin; i < end; ++i) a.y[i] = a.a[i] + a.b[i];
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(activation_forward, ActivationForward)
FASTNN_INSTANTIATE(activation_backward, ActivationBackward)
FASTNN_INSTANTIATE(softmax_forward, SoftmaxForward)
FASTNN_INSTANTIATE(softmax_backward, SoftmaxBackward)
FASTNN_INSTANTIATE(affine, Affine)
FASTNN_INSTANTIATE(add, Add)

}  // namespace fastnn::FASTNN_TARGET
