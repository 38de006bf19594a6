// Activations, and the plain elementwise arithmetic of nodes.
#include "core/activation_rows.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// y[i] = of(i) for all elements, one thread for each.
template <class T, class Of>
struct EachElement {
  static constexpr int threads = threads_of_block;
  Index n;
  T* y;
  Of of;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i < n) y[i] = of(i);  // planted: element past the end
  }
};

template <class T, class Of>
Status each_element(Context& context, Index n, T* y, const Of& of) {
  return launch(context, ceil_div(n, threads_of_block), EachElement<T, Of>{n, y, of});
}

template <class Kind, class T>
struct Forward {
  Kind kind;
  const T* x;
  FASTNN_DEVICE T operator()(Index i) const { return kind.forward(x[i]); }
};

template <class Kind, class T>
struct Backward {
  Kind kind;
  const T* dy;
  const T* given;  // x or y, whichever the slope is computed from
  FASTNN_DEVICE T operator()(Index i) const { return dy[i] * kind.slope(given[i], given[i]); }
};

template <class T>
struct Scaled {
  const T* x;
  T scale, offset;
  FASTNN_DEVICE T operator()(Index i) const { return mul_add(scale, x[i], offset); }
};

template <class T>
struct Sum {
  const T* a;
  const T* b;
  FASTNN_DEVICE T operator()(Index i) const { return a[i] + b[i]; }
};

}  // namespace

template <class T>
Status activation_forward(Context& context, const ActivationForward<T>& a) {
  return with_any_activation(a.activation, [&](auto kind) {
    return each_element(context, a.n, a.y, Forward<decltype(kind), T>{kind, a.x});
  });
}

template <class T>
Status activation_backward(Context& context, const ActivationBackward<T>& a) {
  return with_any_activation(a.activation, [&](auto kind) {
    using Kind = decltype(kind);
    return each_element(context, a.n, a.dx,
                        Backward<Kind, T>{kind, a.dy, Kind::from_output ? a.y : a.x});
  });
}

template <class T>
Status affine(Context& context, const Affine<T>& a) {
  return each_element(context, a.n, a.y, Scaled<T>{a.x, a.scale, a.offset});
}

template <class T>
Status add(Context& context, const Add<T>& a) {
  return each_element(context, a.n, a.y, Sum<T>{a.a, a.b});
}

FASTNN_INSTANTIATE(activation_forward, ActivationForward)
FASTNN_INSTANTIATE(activation_backward, ActivationBackward)
FASTNN_INSTANTIATE(affine, Affine)
FASTNN_INSTANTIATE(add, Add)

const void* any_kernel() { return address_of<EachElement<float, Sum<float>>>(); }

}  // namespace fastnn::FASTNN_TARGET
