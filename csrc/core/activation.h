// The list of elementwise activations, and the formulas of those that products apply to their
// results. The others are in activation_rows.h.
//
// To add one: a struct with its formulas in activation_rows.h, a line in FASTNN_OTHER_ACTIVATIONS,
// and its reference in tests/reference.py. Nothing else knows them by name.
//
// Each struct has
//   forward(z) -> y
//   slope(z, y) -> dy/dz
//   from_output: slope uses y alone, so that z need not be kept.
// A struct with parameters holds them as its members, and declares `parameters`: for each the
// name, the default and the range. Python reads these, and values are checked against
// the ranges before they come here.
#pragma once

#include "core/math.h"
#include "core/target.h"

// Those that ride in the epilogues of products, on every device: each is compiled into every one
// of these, and the registers of a GPU's product are those of its most expensive activation.
#define FASTNN_FUSED_ACTIVATIONS(use) \
  use(linear, Linear)                 \
  use(relu, Relu)                     \
  use(leaky_relu, LeakyRelu)          \
  use(elu, Elu)                       \
  use(gelu, Gelu)                     \
  use(silu, Silu)                     \
  use(softplus, Softplus)             \
  use(sigmoid, Sigmoid)               \
  use(tanh, Tanh)

// Those that are a pass of their own after a product.
#define FASTNN_OTHER_ACTIVATIONS(use) \
  use(rectifier, Rectifier)           \
  use(relu6, Relu6)                   \
  use(selu, Selu)                     \
  use(celu, Celu)                     \
  use(gelu_tanh, GeluTanh)            \
  use(hard_silu, HardSilu)            \
  use(hard_sigmoid, HardSigmoid)      \
  use(hard_tanh, HardTanh)            \
  use(mish, Mish)                     \
  use(softsign, Softsign)             \
  use(soft_shrink, SoftShrink)        \
  use(hard_shrink, HardShrink)        \
  use(tanh_shrink, TanhShrink)        \
  use(threshold, Threshold)           \
  use(squareplus, Squareplus)         \
  use(sparse_plus, SparsePlus)        \
  use(sparse_sigmoid, SparseSigmoid)  \
  use(exponential, Exponential)       \
  use(log_sigmoid, LogSigmoid)        \
  use(sine, Sine)

#define FASTNN_ACTIVATIONS(use) FASTNN_FUSED_ACTIVATIONS(use) FASTNN_OTHER_ACTIVATIONS(use)

namespace fastnn {

enum class ActivationKind : unsigned char {
#define FASTNN_USE(name, type) name,
  FASTNN_ACTIVATIONS(FASTNN_USE)
#undef FASTNN_USE
};

inline constexpr const char* activation_names[] = {
#define FASTNN_USE(name, type) #name,
    FASTNN_ACTIVATIONS(FASTNN_USE)
#undef FASTNN_USE
};

inline constexpr int most_activation_parameters = 3;

// The activation of a node or a kernel. activation_named (names.h) makes one by name, and
// fills in the defaults where no parameters are given.
struct Activation {
  ActivationKind kind = ActivationKind::linear;
  double first = 0, second = 0, third = 0;  // parameters; as many as the kind has are read

  FASTNN_INLINE constexpr bool is(ActivationKind other) const { return kind == other; }

  // Whether a product applies it to its results.
  FASTNN_INLINE constexpr bool is_fused() const { return kind <= ActivationKind::tanh; }
};

struct ActivationParameter {
  const char* name = nullptr;
  double initial = 0;
  double low = 0, high = 0;  // both included
};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

// The upper end of ranges: the largest number in float32.
inline constexpr double largest_parameter = 0x1.fffffep127;

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

// Maas et al. 2013. The default is that of keras.activations.leaky_relu. Negative slopes
// are refused: y would be above zero on both sides, and not tell the sign of z.
struct LeakyRelu {
  static constexpr ActivationParameter parameters[] = {
      {"negative_slope", 0.2, 0, largest_parameter}};
  static constexpr bool from_output = true;
  double negative_slope;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    return z < T(0) ? weigh(T(negative_slope), z) : z;
  }
  template <class T>
  FASTNN_INLINE T slope(T, T y) const {
    return y > T(0) ? T(1) : (y == y ? T(negative_slope) : y);
  }
};

// Clevert et al., arXiv:1511.07289. Negative alphas are refused, as negative slopes are.
struct Elu {
  static constexpr ActivationParameter parameters[] = {{"alpha", 1, 0, largest_parameter}};
  static constexpr bool from_output = true;
  double alpha;
  template <class T>
  FASTNN_INLINE T forward(T z) const {
    return z > T(0) ? z : T(alpha) * expm1_nonpositive(z);
  }
  template <class T>
  FASTNN_INLINE T slope(T, T y) const {
    return y > T(0) ? T(1) : y + T(alpha);
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

template <class Row>
FASTNN_INLINE constexpr int parameter_count() {
  if constexpr (requires { Row::parameters; }) {
    return static_cast<int>(sizeof(Row::parameters) / sizeof(ActivationParameter));
  } else {
    return 0;
  }
}

template <class Row>
FASTNN_INLINE Row make_row(const Activation& a) {
  constexpr int count = parameter_count<Row>();
  static_assert(count <= most_activation_parameters);
  if constexpr (count == 1) {
    return Row{a.first};
  } else if constexpr (count == 2) {
    return Row{a.first, a.second};
  } else if constexpr (count == 3) {
    return Row{a.first, a.second, a.third};
  } else {
    return Row{};
  }
}

#define FASTNN_CASE(name, type) \
  case ActivationKind::name:    \
    return f(make_row<type>(activation));

// Calls f(Relu{}), f(LeakyRelu{0.2}) and so on for the activation at hand, which is_fused.
template <class F>
FASTNN_INLINE auto with_activation(const Activation& activation, F&& f) {
  switch (activation.kind) {
    FASTNN_FUSED_ACTIVATIONS(FASTNN_CASE)
    default:
      __builtin_unreachable();
  }
}

// Whether the derivative of an activation that is_fused needs the pre-activation z besides y.
FASTNN_INLINE bool needs_preactivation(const Activation& activation) {
  return with_activation(activation, [](auto kind) { return !decltype(kind)::from_output; });
}

}  // namespace fastnn::FASTNN_TARGET
