// Activations, and the plain arithmetic of nodes.
#include "core/activation_rows.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr Index transcendental = 4;  // cost of an element, see for_ranges

template <class T>
Status activation_forward(Context& context, const ActivationForward<T>& a) {
  with_any_activation(a.activation, [&](auto kind) {
    for_ranges(context, a.n, transcendental, [&](Index begin, Index end) {
      const auto own = kind;  // a copy, so that no store to y may change it
      FASTNN_INDEPENDENT
      for (Index i = begin; i < end; ++i) a.y[i] = own.forward(a.x[i]);
    });
  });
  return Status::ok;
}

template <class T>
Status activation_backward(Context& context, const ActivationBackward<T>& a) {
  with_any_activation(a.activation, [&](auto kind) {
    using Kind = decltype(kind);
    // What the slope does not read need not exist.
    const T* const x = Kind::from_output ? a.y : a.x;
    const T* const y = Kind::from_output ? a.y : a.x;
    for_ranges(context, a.n, transcendental, [&](Index begin, Index end) {
      const auto own = kind;
      FASTNN_INDEPENDENT
      for (Index i = begin; i < end; ++i) a.dx[i] = a.dy[i] * own.slope(x[i], y[i]);
    });
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
FASTNN_INSTANTIATE(affine, Affine)
FASTNN_INSTANTIATE(add, Add)

}  // namespace fastnn::FASTNN_TARGET
