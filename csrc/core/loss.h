// The table of losses: one row, one struct, for every target. A row says what its targets are and
// which activation at the end of a network it folds; checks, Python's words and messages are made
// from that.
//
// To add one that compares one output with one target: a struct here with its formula, and its
// line in FASTNN_ELEMENT_LOSSES. The kernel element_loss loops over the elements. A row has
//   targets         what it compares outputs with
//   head            the activation that it folds: `at` is then given the logit
//   by_element      whether each element counts for itself, a missing target (NaN) not at all;
//                   else a row counts once, with the mean over its outputs
//   column_weights  whether each output may have a weight, such as pos_weight
//   options         numbers, in the order of `options` in LossRows; none where there are none
//   Common<T>       what all elements share, made of the options
//   at(common, output, target, column_weight) -> loss, d loss / d output
// A loss of whole rows is a line of FASTNN_ROW_LOSSES; its kernel is row_loss.
#pragma once

#include <stdint.h>

#include "core/math.h"
#include "core/option.h"
#include "core/target.h"

#define FASTNN_ROW_LOSSES(use) use(softmax_cross_entropy, SoftmaxCrossEntropy)

#define FASTNN_ELEMENT_LOSSES(use)                \
  use(sigmoid_cross_entropy, SigmoidCrossEntropy) \
  use(mean_squared_error, MeanSquaredError)       \
  use(mean_absolute_error, MeanAbsoluteError)     \
  use(huber, Huber)                               \
  use(poisson, Poisson)

#define FASTNN_LOSSES(use) FASTNN_ROW_LOSSES(use) FASTNN_ELEMENT_LOSSES(use)

namespace fastnn {

#define FASTNN_USE(name, type) name,
enum class LossKind : unsigned char { FASTNN_LOSSES(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name, type) #name,
inline constexpr const char* loss_names[] = {FASTNN_LOSSES(FASTNN_USE)};
#undef FASTNN_USE

inline constexpr int max_loss_options = 4;

// What a loss compares outputs with: a class (an integer, or probabilities that add up to 1);
// numbers in [0, 1], or NaN for a missing one; numbers; numbers of at least 0.
enum class Targets : unsigned char { classes, unit_or_missing, numbers, not_negative };
inline constexpr const char* targets_names[] = {"classes", "unit_or_missing", "numbers",
                                                "not_negative"};

// The activation at the end of a network that a loss folds into itself.
enum class Head : unsigned char { none, sigmoid, softmax };
inline constexpr const char* head_names[] = {"none", "sigmoid", "softmax"};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

template <class T>
struct LossAndGradient {
  T loss;
  T gradient;
};

// -sum(t log softmax(z)); its algebra is in the kernels named row_loss.
struct SoftmaxCrossEntropy {
  static constexpr Targets targets = Targets::classes;
  static constexpr Head head = Head::softmax;
  static constexpr bool by_element = false;
  static constexpr bool column_weights = false;
  static constexpr Option options[] = {{"label_smoothing", 0, unit}};
};

// From the logit z, with the positive term multiplied by `positive`:
//   positive y softplus(-z) + (1 - y) softplus(z)
// Both terms are sums of positive numbers, so that nothing cancels.
struct SigmoidCrossEntropy {
  static constexpr Targets targets = Targets::unit_or_missing;
  static constexpr Head head = Head::sigmoid;
  static constexpr bool by_element = true;
  static constexpr bool column_weights = true;
  static constexpr Option options[] = {{"label_smoothing", 0, unit}};
  static constexpr bool has_functions = true;

  template <class T>
  struct Common {  // the smoothed target is share * target + rest
    T share, rest;
    FASTNN_INLINE explicit Common(const double* values)
        : share(T(1) - static_cast<T>(values[0])), rest(static_cast<T>(values[0]) / T(2)) {}
  };
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>& s, T z, T target, T positive) {
    const T y = mul_add(s.share, target, s.rest);
    const T e = exp_minus_abs(z);
    const T l = log1p_unit(e);
    const T above = (z < T(0) ? T(0) : z) + l;   // softplus(z)
    const T below = (z < T(0) ? -z : T(0)) + l;  // softplus(-z)
    const Sides<T> sides = sigmoid_sides(z, e);
    const T on = positive * y;
    const T off = T(1) - y;
    return {weigh(on, below) + weigh(off, above), off * sides.p - on * sides.q};
  }
};

struct NumbersLoss {
  static constexpr Targets targets = Targets::numbers;
  static constexpr Head head = Head::none;
  static constexpr bool by_element = false;
  static constexpr bool column_weights = false;
  static constexpr bool has_functions = false;  // whether `at` takes logarithms and such

  template <class T>
  struct Common {
    FASTNN_INLINE explicit Common(const double*) {}
  };
};

struct MeanSquaredError : NumbersLoss {
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T error = output - target;
    return {error * error, T(2) * error};
  }
};

struct MeanAbsoluteError : NumbersLoss {
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T error = output - target;
    return {abs(error), sign_of(error)};
  }
};

// Huber, 1964: error^2 / 2 up to delta, and a line with the same slope beyond it.
struct Huber : NumbersLoss {
  static constexpr Option options[] = {{"delta", 1, above_zero}};
  template <class T>
  struct Common {
    T delta;
    FASTNN_INLINE explicit Common(const double* values) : delta(static_cast<T>(values[0])) {}
  };
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>& s, T output, T target, T) {
    const T error = output - target;
    const T size = abs(error);
    const T inside = T(0.5) * error * error;
    const T outside = s.delta * (size - T(0.5) * s.delta);
    return {size > s.delta ? outside : inside, size > s.delta ? copy_sign(s.delta, error) : error};
  }
};

// output - target log(output + epsilon), Keras's form, epsilon 1e-7. The output is a rate: end the
// network so that it is not negative (softplus, relu, exponential).
struct Poisson : NumbersLoss {
  static constexpr Targets targets = Targets::not_negative;
  static constexpr bool has_functions = true;
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T rate = output + T(1e-7);
    return {output - weigh(target, log(rate)), T(1) - target / rate};
  }
};

// Calls f(Huber{}) and so on for an element loss; other kinds must not be asked for.
template <class F>
FASTNN_INLINE auto with_element_loss(LossKind kind, F&& f) {
  switch (kind) {
#define FASTNN_USE(name, type) \
  case LossKind::name:         \
    return f(type{});
    FASTNN_ELEMENT_LOSSES(FASTNN_USE)
#undef FASTNN_USE
    default:
      __builtin_unreachable();
  }
}

// The same for every loss.
template <class F>
FASTNN_INLINE auto with_loss(LossKind kind, F&& f) {
  switch (kind) {
#define FASTNN_USE(name, type) \
  case LossKind::name:         \
    return f(type{});
    FASTNN_LOSSES(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// Properties of rows, by kind.
FASTNN_INLINE Targets targets_of(LossKind kind) {
  return with_loss(kind, [](auto row) { return decltype(row)::targets; });
}
FASTNN_INLINE Head head_of(LossKind kind) {
  return with_loss(kind, [](auto row) { return decltype(row)::head; });
}
FASTNN_INLINE bool counts_elements(LossKind kind) {
  return with_loss(kind, [](auto row) { return decltype(row)::by_element; });
}

FASTNN_INLINE constexpr bool is_of_rows(LossKind kind) {
  switch (kind) {
#define FASTNN_USE(name, type) case LossKind::name:
    FASTNN_ROW_LOSSES(FASTNN_USE)
#undef FASTNN_USE
    return true;
    default:
      return false;
  }
}

}  // namespace fastnn::FASTNN_TARGET
