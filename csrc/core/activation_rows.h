// The activations that are a pass of their own, and the switch over all of them. The list, and what
// a struct has, are in activation.h.
//
// At a kink the slope is PyTorch's: the one of the flat side, or of the side below.
#pragma once

#include "core/activation.h"
#include "core/elementary.h"

namespace fastnn::FASTNN_TARGET {

// -- made of straight lines -------------------------------------------------------------------

// x above the threshold, up to max_value, and negative_slope (x - threshold) below: relu with all
// that Keras's has. The slope at the threshold is negative_slope, at max_value 0.
struct Rectifier {
  static constexpr ActivationParameter parameters[] = {
      {"max_value", __builtin_inf(), 0, __builtin_inf()},
      {"negative_slope", 0, 0, largest_parameter},
      {"threshold", 0, 0, largest_parameter}};
  static constexpr bool from_output = true;
  double max_value, negative_slope, threshold;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    const T above = z > T(max_value) ? T(max_value) : z;
    const T below = z <= T(threshold) ? weigh(T(negative_slope), z - T(threshold)) : z;
    return z > T(threshold) ? above : below;
  }
  template <class T>
  FASTNN_INLINE T slope(T, T y) const {
    const T below = y == y ? T(negative_slope) : y;
    const T inside = y > T(0) ? T(1) : below;
    return y >= T(max_value) && is_finite(T(max_value)) ? T(0) : inside;
  }
};

struct Relu6 {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    const T above = z > T(6) ? T(6) : z;
    return z < T(0) ? T(0) : above;
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) && y < T(6) ? T(1) : y * T(0);
  }
};

struct HardTanh {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    const T above = z > T(1) ? T(1) : z;
    return z < T(-1) ? T(-1) : above;
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return abs(y) < T(1) ? T(1) : y * T(0);
  }
};

template <class T>
FASTNN_INLINE T unit_clip(T x) {
  const T above = x > T(1) ? T(1) : x;
  return x < T(0) ? T(0) : above;
}

// relu6(z + 3) / 6
template <class T>
FASTNN_INLINE T hard_sigmoid(T z) {
  return unit_clip((z + T(3)) * T(1.0 / 6));
}

struct HardSigmoid {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return hard_sigmoid(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) && y < T(1) ? T(1.0 / 6) : y * T(0);
  }
};

// z hard_sigmoid(z): Howard et al., arXiv:1905.02244 ("hard swish").
struct HardSilu {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return (z < T(-3) ? T(-3) : z) * hard_sigmoid(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    const T inside = mul_add(z, T(1.0 / 3), T(0.5));
    const T above = z >= T(3) ? T(1) : inside;
    return z <= T(-3) ? T(0) : above;
  }
};

// z moved by the threshold towards 0, which it does not pass.
struct SoftShrink {
  static constexpr ActivationParameter parameters[] = {{"threshold", 0.5, 0, largest_parameter}};
  static constexpr bool from_output = true;
  double threshold;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    const T rest = abs(z) - T(threshold);
    return rest > T(0) || z != z ? copy_sign(rest, z) : T(0);
  }
  template <class T>
  FASTNN_INLINE T slope(T, T y) const {
    const T outside = y == y ? T(1) : y;
    return y == T(0) ? T(0) : outside;
  }
};

// z outside of [-threshold, threshold], and 0 inside.
struct HardShrink {
  static constexpr ActivationParameter parameters[] = {{"threshold", 0.5, 0, largest_parameter}};
  static constexpr bool from_output = true;
  double threshold;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    return abs(z) <= T(threshold) ? T(0) : z;
  }
  template <class T>
  FASTNN_INLINE T slope(T, T y) const {
    const T outside = y == y ? T(1) : y;
    return y == T(0) ? T(0) : outside;
  }
};

// z above the threshold, and default_value up to it.
struct Threshold {
  static constexpr ActivationParameter parameters[] = {
      {"threshold", 0, -largest_parameter, largest_parameter},
      {"default_value", 0, -largest_parameter, largest_parameter}};
  static constexpr bool from_output = false;
  double threshold, default_value;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    return z <= T(threshold) ? T(default_value) : z;
  }
  template <class T>
  FASTNN_INLINE T slope(T z, T) const {
    const T above = z == z ? T(1) : z;
    return z <= T(threshold) ? T(0) : above;
  }
};

// -- bent -------------------------------------------------------------------------------------

// Klambauer et al., arXiv:1706.02515.
struct Selu {
  static constexpr bool from_output = true;
  static constexpr double scale = 1.0507009873554804934;
  static constexpr double alpha = 1.6732632423543772848;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return T(scale) * (z > T(0) ? z : T(alpha) * expm1_nonpositive(z));
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) ? T(scale) : y + T(scale * alpha);
  }
};

// Barron, arXiv:1704.07483: elu with a slope of 1 on both sides of 0, whatever alpha is.
struct Celu {
  static constexpr ActivationParameter parameters[] = {{"alpha", 1, 0x1p-100, largest_parameter}};
  static constexpr bool from_output = true;
  double alpha;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    return z > T(0) ? z : T(alpha) * expm1_nonpositive(z / T(alpha));
  }
  template <class T>
  FASTNN_INLINE T slope(T, T y) const {
    return y > T(0) ? T(1) : y / T(alpha) + T(1);
  }
};

// z (1 + tanh(u)) / 2 = z sigmoid(2 u) with u = sqrt(2 / pi) (z + 0.044715 z^3): Hendrycks and
// Gimpel, arXiv:1606.08415, approximate.
struct GeluTanh {
  static constexpr bool from_output = false;
  static constexpr double scale = 1.5957691216057307118;  // 2 sqrt(2 / pi)
  static constexpr double cubic = 0.044715;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    const T twice = T(scale) * z * mul_add(T(cubic) * z, z, T(1));
    return (z < T(-1e4) ? T(-1e4) : z) * sigmoid(twice);
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    const T x = finite(z);
    const T square = x * x;
    const T twice = T(scale) * x * mul_add(T(cubic), square, T(1));
    const Sides<T> sides = sigmoid_sides(twice, exp_minus_abs(twice));
    const T growth = T(scale) * mul_add(T(3 * cubic), square, T(1));
    return mul_add(x * growth, sides.p * sides.q, sides.p);
  }
};

// tanh(softplus(z)) = n / d, from e = exp(-|z|) without cancellation.
template <class T>
struct MishGate {
  T n, d;
};

template <class T>
FASTNN_INLINE MishGate<T> mish_gate(T z, T e) {
  const T below = e * (e + T(2));
  const T n = z < T(0) ? below : T(1) + e + e;
  return {n, n + (z < T(0) ? T(2) : T(2) * e * e)};
}

// z tanh(softplus(z)): Misra, arXiv:1908.08681.
struct Mish {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    const MishGate<T> gate = mish_gate(z, exp_minus_abs(z));
    return (z < T(-1e4) ? T(-1e4) : z) * (gate.n / gate.d);
  }
  // The slope of the gate, (1 - gate^2) sigmoid(z), is 4 e (1 + e) / d^2 below 0, and e times that
  // above.
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    const T x = finite(z);
    const T e = exp_minus_abs(x);
    const MishGate<T> gate = mish_gate(x, e);
    const T inverse = T(1) / gate.d;
    const T below = T(4) * e * (T(1) + e) * inverse * inverse;
    return mul_add(x, x < T(0) ? below : below * e, gate.n * inverse);
  }
};

// z / (1 + |z|)
struct Softsign {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    const T size = abs(z);
    return size > T(1e30) ? copy_sign(T(1), z) : z / (T(1) + size);
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    const T inverse = T(1) / (T(1) + abs(z));
    return inverse * inverse;
  }
};

// z - tanh(z)
struct TanhShrink {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return z - tanh(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    const T t = tanh(z);
    return t * t;
  }
};

// sqrt(x^2 + b) without overflow, by the larger of |x| and sqrt(b).
template <class T>
FASTNN_INLINE T root_of_square_plus(T x, T root_of_b) {
  const T size = abs(x);
  const T large = size < root_of_b ? root_of_b : size;
  const T small = size < root_of_b ? size : root_of_b;
  const T ratio = large > T(0) ? small / large : T(0) * large;
  return large * sqrt(mul_add(ratio, ratio, T(1)));
}

// (z + sqrt(z^2 + b)) / 2: Barron, arXiv:2112.11687. Half of the two numbers' product is b / 4, so
// the smaller, which cancels, comes from the larger. With b = 0 it is relu.
struct Squareplus {
  static constexpr ActivationParameter parameters[] = {{"b", 4, 0, largest_parameter}};
  static constexpr bool from_output = false;
  double b;
  template <class T>
  static FASTNN_INLINE T value(T z, T root_of_b, T root) {
    const T half = T(0.5) * root_of_b;
    const T large = T(0.5) * abs(z) + T(0.5) * root;
    const T small = large > T(0) ? half / large * half : large;
    return z < T(0) ? small : large;
  }
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    const T root_of_b = sqrt(T(b));
    return value(z, root_of_b, root_of_square_plus(z, root_of_b));
  }
  // y / sqrt(z^2 + b)
  template <class T>
  FASTNN_INLINE T slope(T z, T) const {
    const T root_of_b = sqrt(T(b));
    const T root = root_of_square_plus(z, root_of_b);
    const T inside = root > T(0) ? value(z, root_of_b, root) / root : root;
    const T limit = z > T(0) ? T(1) : T(0);
    return abs(z) == T(__builtin_inf()) ? limit : inside;
  }
};

// 0 below -1, z above 1, and (z + 1)^2 / 4 in between; its slope is sparse_sigmoid.
struct SparsePlus {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    const T from_end = z + T(1);
    const T inside = T(0.25) * from_end * from_end;
    const T above = z >= T(1) ? z : inside;
    return z <= T(-1) ? T(0) : above;
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    return unit_clip(T(0.5) * (z + T(1)));
  }
};

// (z + 1) / 2 cut to [0, 1]
struct SparseSigmoid {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return unit_clip(T(0.5) * (z + T(1)));
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) && y < T(1) ? T(0.5) : y * T(0);
  }
};

struct Exponential {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return exponential(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y;
  }
};

// log(sigmoid(z)) = -softplus(-z)
struct LogSigmoid {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return -softplus(-z);
  }
  // sigmoid(-z) = 1 - exp(y)
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return -expm1_nonpositive(y);
  }
};

// sin(z): Sitzmann et al., arXiv:2006.09661. For its accuracy see elementary.h.
struct Sine {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return sine(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    return cosine(z);
  }
};

// -- all --------------------------------------------------------------------------------------

// Calls f(Relu{}), f(Celu{1}) and so on for the activation at hand.
template <class F>
FASTNN_INLINE auto with_any_activation(const Activation& activation, F&& f) {
  switch (activation.kind) { FASTNN_ACTIVATIONS(FASTNN_CASE) }
  __builtin_unreachable();
}

// An activation as tables of all of them tell it.
struct ActivationTraits {
  bool from_output = true;
  int count = 0;
  ActivationParameter parameters[most_activation_parameters] = {};
};

template <class Row>
FASTNN_INLINE constexpr ActivationTraits make_traits() {
  ActivationTraits made{Row::from_output, parameter_count<Row>(), {}};
  if constexpr (parameter_count<Row>() > 0) {
    for (int i = 0; i < made.count; ++i) made.parameters[i] = Row::parameters[i];
  }
  return made;
}

// In the order of the kinds.
inline constexpr ActivationTraits activation_traits[] = {
#define FASTNN_USE(name, type) make_traits<type>(),
    FASTNN_ACTIVATIONS(FASTNN_USE)
#undef FASTNN_USE
};

FASTNN_INLINE const ActivationTraits& traits_of(const Activation& activation) {
  return activation_traits[static_cast<int>(activation.kind)];
}

}  // namespace fastnn::FASTNN_TARGET
