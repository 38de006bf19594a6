// The list of noises that layers add in training, for host and device, and the one switch over it.
//
// To add one: a struct here with its formulas, a line in FASTNN_NOISES, and its reference in
// tests/reference.py.
//
// Each struct is made from the amount that the layer is given, and has
//   draw(word)        what a random word decides: of type Draw
//   forward(drawn, x) a number with its noise
//   slope()           the noise whose forward(drawn, dy) is dy times the slope
#pragma once

#include "core/math.h"
#include "core/random.h"

#define FASTNN_NOISES(use)               \
  use(gaussian_noise, GaussianNoise)     \
  use(gaussian_dropout, GaussianDropout) \
  use(alpha_dropout, AlphaDropout)

namespace fastnn {

enum class NoiseKind : unsigned char {
#define FASTNN_USE(name, type) name,
  FASTNN_NOISES(FASTNN_USE)
#undef FASTNN_USE
};

inline constexpr const char* noise_names[] = {
#define FASTNN_USE(name, type) #name,
    FASTNN_NOISES(FASTNN_USE)
#undef FASTNN_USE
};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

// The slope of noise that is added.
template <class T>
struct Unchanged {
  template <class Draw>
  FASTNN_INLINE T forward(Draw, T x) const {
    return x;
  }
};

// Dropout, which has a kernel of its own, and the slope of other kinds.
template <class T>
struct Drop {
  using Draw = uint32_t;
  Kept<T> kept;

  FASTNN_INLINE T forward(uint32_t word, T x) const { return drop(kept, word, x); }
};

// y = x + deviation z.
template <class T>
struct GaussianNoise {
  using Draw = float;
  T deviation;

  explicit GaussianNoise(double amount) : deviation(static_cast<T>(amount)) {}
  static FASTNN_INLINE float draw(uint32_t word) { return normal_of(word); }
  FASTNN_INLINE T forward(float normal, T x) const {
    return mul_add(deviation, static_cast<T>(normal), x);
  }
  FASTNN_INLINE Unchanged<T> slope() const { return {}; }
};

// y = x (1 + sqrt(rate / (1 - rate)) z): Srivastava et al., JMLR 15, 2014.
template <class T>
struct GaussianDropout {
  using Draw = float;
  T deviation;

  explicit GaussianDropout(double rate)
      : deviation(static_cast<T>(__builtin_sqrt(rate / (1 - rate)))) {}
  static FASTNN_INLINE float draw(uint32_t word) { return normal_of(word); }
  FASTNN_INLINE T forward(float normal, T x) const {
    return x * mul_add(deviation, static_cast<T>(normal), T(1));
  }
  FASTNN_INLINE GaussianDropout slope() const { return *this; }
};

// y = a x + b where kept, a low + b elsewhere, with low the limit of selu below zero, and a and b
// such that numbers of mean 0 and variance 1 keep these: Klambauer et al., arXiv:1706.02515.
template <class T>
struct AlphaDropout {
  using Draw = uint32_t;
  uint32_t last;
  T a, b, dropped;

  explicit AlphaDropout(double rate) {
    constexpr double low = -1.6732632423543772 * 1.0507009873554805;
    const double scale = 1 / __builtin_sqrt((1 - rate) * (1 + rate * low * low));
    const double offset = -scale * low * rate;
    last = kept_of<T>(rate).last;
    a = static_cast<T>(scale);
    b = static_cast<T>(offset);
    dropped = static_cast<T>(scale * low + offset);
  }
  static FASTNN_INLINE uint32_t draw(uint32_t word) { return word; }
  FASTNN_INLINE T forward(uint32_t word, T x) const {
    const T y = mul_add(a, x, b);
    return word <= last ? y : dropped;
  }
  FASTNN_INLINE Drop<T> slope() const { return {{last, a}}; }
};

// Calls f(GaussianNoise<T>{amount}) and so on for the noise at hand.
template <class T, class F>
inline auto with_noise(NoiseKind kind, double amount, F&& f) {
  switch (kind) {
#define FASTNN_USE(name, type) \
  case NoiseKind::name:        \
    return f(type<T>(amount));
    FASTNN_NOISES(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

}  // namespace fastnn::FASTNN_TARGET
