// The list of elementwise activations, and the one switch over it.
//
// To add one: a struct here with its formulas, a line in FASTNN_ACTIVATIONS,
// and its reference in tests/reference.py. Nothing else knows them by name.
//
// Each struct has
//   forward(z) -> y
//   slope(z, y) -> dy/dz
//   from_output: slope uses y alone, so that z need not be kept.
#pragma once

#include "core/math.h"
#include "core/target.h"

#define FASTNN_ACTIVATIONS(use) \
  use(linear, Linear)           \
  use(relu, Relu)               \
  use(leaky_relu, LeakyRelu)    \
  use(elu, Elu)                 \
  use(gelu, Gelu)               \
  use(silu, Silu)               \
  use(softplus, Softplus)       \
  use(sigmoid, Sigmoid)         \
  use(tanh, Tanh)

namespace fastnn {

enum class Activation : unsigned char {
#define FASTNN_USE(name, type) name,
  FASTNN_ACTIVATIONS(FASTNN_USE)
#undef FASTNN_USE
};

inline constexpr const char* activation_names[] = {
#define FASTNN_USE(name, type) #name,
    FASTNN_ACTIVATIONS(FASTNN_USE)
#undef FASTNN_USE
};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

struct Linear {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return z;
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T) {
    return T(1);
  }
};

struct Relu {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return z < T(0) ? T(0) : z;
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) ? T(1) : y * T(0);
  }
};

// Slope 0.2 below zero, as keras.activations.leaky_relu has it.
struct LeakyRelu {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return z < T(0) ? T(0.2) * z : z;
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) ? T(1) : (y == y ? T(0.2) : y);
  }
};

// Clevert et al., arXiv:1511.07289, with alpha = 1.
struct Elu {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return z > T(0) ? z : expm1_nonpositive(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y > T(0) ? T(1) : y + T(1);
  }
};

// z Phi(z): Hendrycks and Gimpel, arXiv:1606.08415, exact.
struct Gelu {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return (z < T(-1e4) ? T(-1e4) : z) * normal(z).cdf;
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    constexpr T inverse_sqrt_two_pi = T(0.39894228040143267794);
    const T x = finite(z);
    const Normal<T> at = normal(x);
    return mul_add(x * inverse_sqrt_two_pi, at.density, at.cdf);
  }
};

// z sigmoid(z): Ramachandran et al., arXiv:1710.05941 ("swish").
struct Silu {
  static constexpr bool from_output = false;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return (z < T(-1e4) ? T(-1e4) : z) * sigmoid(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T z, T) {
    const T x = finite(z);
    const Sides<T> sides = sigmoid_sides(x, exp_minus_abs(x));
    return mul_add(x * sides.p, sides.q, sides.p);
  }
};

struct Softplus {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return softplus(z);
  }
  // sigmoid(z) = 1 - exp(-softplus(z))
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return -expm1_nonpositive(-y);
  }
};

struct Sigmoid {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return sigmoid(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return y * (T(1) - y);
  }
};

struct Tanh {
  static constexpr bool from_output = true;
  template <class T>
  static FASTNN_INLINE T forward(T z) {
    return tanh(z);
  }
  template <class T>
  static FASTNN_INLINE T slope(T, T y) {
    return (T(1) - y) * (T(1) + y);
  }
};

// Calls f(Relu{}) and so on for the activation at hand.
template <class F>
FASTNN_INLINE auto with_activation(Activation activation, F&& f) {
  switch (activation) {
#define FASTNN_USE(name, type) \
  case Activation::name:       \
    return f(type{});
    FASTNN_ACTIVATIONS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// Whether the derivative needs the pre-activation z besides y.
FASTNN_INLINE bool needs_preactivation(Activation activation) {
  return with_activation(activation, [](auto kind) { return !decltype(kind)::from_output; });
}

}  // namespace fastnn::FASTNN_TARGET
