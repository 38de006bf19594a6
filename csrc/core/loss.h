// The table of losses: one row, one struct, for every target. A row says what its targets are and
// which activation at the end of a network it folds; checks, Python's words and messages are made
// from that.
//
// To add one that compares one output with one target: a struct here with its formula, and its
// line in FASTNN_ELEMENT_LOSSES (loss_table.h). The kernel element_loss loops over the elements. A
// row has
//   targets         what it compares outputs with
//   head            the activation that it folds: `at` is then given the logit
//   by_element      whether each element counts for itself, a missing target (NaN) not at all;
//                   else a row counts once, with the mean over its outputs
//   column_weights  whether each output may have a weight, such as pos_weight
//   options         numbers, in the order of `options` in LossRows; none where there are none
//   Common<T>       what all elements share, made of the options
//   outputs_of_target   how many outputs each target has. With 2, `at` gets the second in place of
//                   the column's weight; these stand behind the first ones of the row
//   at(common, output, target, column_weight) -> loss, d loss / d output
// A loss of whole rows is a line of FASTNN_REDUCED_LOSSES, its row in losses_of_rows.h and its
// kernel row_loss. Softmax cross-entropy has a kernel of its own, of the same name.
#pragma once

#include "core/loss_table.h"
#include "core/losses_of_rows.h"
#include "core/math.h"
#include "core/option.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

// -sum(t log softmax(z)); its algebra is in the kernels of the same name.
struct SoftmaxCrossEntropy {
  static constexpr int outputs_of_target = 1;
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
  static constexpr int outputs_of_target = 1;
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
  static constexpr int outputs_of_target = 1;
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

// Koenker and Bassett, 1978 ("pinball"): quantile * error above the output, and (1 - quantile) *
// -error below it. Of several outputs each has a quantile of its own, its weight times the option.
struct Quantile : NumbersLoss {
  static constexpr bool column_weights = true;
  static constexpr Option options[] = {{"quantile", 0.5, {0, 1, true, true}}};
  template <class T>
  struct Common {
    T quantile;
    FASTNN_INLINE explicit Common(const double* values) : quantile(static_cast<T>(values[0])) {}
  };
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>& s, T output, T target, T column) {
    const T quantile = s.quantile * column;
    const T error = target - output;
    const T slope = error < T(0) ? quantile - T(1) : quantile;
    // At an error of 0 the gradient is 0, as for the absolute error; NaN stays.
    const T gradient = error == T(0) ? T(0) : mul_add(error, T(0), -slope);
    return {slope * error, is_finite(error) ? gradient : (error == error ? -slope : error)};
  }
};

// log(cosh(error)). Up to an error of 1 as log1p of cosh - 1 = m^2 / (2 (1 + m)), with m =
// exp(-|error|) - 1, where the form for large ones, |error| + log1p(exp(-2 |error|)) - log 2,
// cancels.
struct LogCosh : NumbersLoss {
  static constexpr bool has_functions = true;
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T error = output - target;
    const T size = abs(error);
    const T m = expm1_nonpositive(-size);
    const T e = T(1) + m;
    const bool small = size < T(1);
    const T over_one = m * m / (T(2) * e);
    const T l = log1p_unit(small ? over_one : e * e);
    const T rest = size - T(0.69314718055994530942);
    const T twice = m * (T(2) + m);  // exp(-2 |error|) - 1
    return {small ? l : rest + l, copy_sign(-twice / (T(2) + twice), error)};
  }
};

// (log(1 + output) - log(1 + target))^2, where outputs and targets below 1e-7 count as 1e-7, as in
// Keras: such outputs have no gradient.
struct MeanSquaredLogarithmicError : NumbersLoss {
  static constexpr Targets targets = Targets::not_negative;
  static constexpr bool has_functions = true;
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    constexpr T least = T(1e-7);
    const T p = output < least ? least : output;
    const T t = target < least ? least : target;
    const T error = log1p_nonnegative(p) - log1p_nonnegative(t);
    const T slope = T(2) * error / (T(1) + p);
    return {error * error, output < least ? T(0) : slope};
  }
};

// 100 |output - target| / max(|target|, 1e-7), Keras's form.
struct MeanAbsolutePercentageError : NumbersLoss {
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    constexpr T least = T(1e-7);
    const T error = output - target;
    const T size = abs(target);
    const T factor = T(100) / (size < least ? least : size);
    return {factor * abs(error), factor * sign_of(error)};
  }
};

// max(0, 1 - sign output). A target of 0 is a no, as -1 is.
struct Hinge : NumbersLoss {
  static constexpr Targets targets = Targets::signs;
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T sign = target == T(0) ? T(-1) : target;
    const T margin = T(1) - sign * output;
    const bool none = margin <= T(0);
    return {none ? T(0) : margin, none ? T(0) : (margin == margin ? -sign : margin)};
  }
};

struct SquaredHinge : NumbersLoss {
  static constexpr Targets targets = Targets::signs;
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T sign = target == T(0) ? T(-1) : target;
    const T margin = T(1) - sign * output;
    const T kept = margin <= T(0) ? T(0) : margin;
    return {kept * kept, T(-2) * sign * kept};
  }
};

// The likelihood of a compound Poisson-gamma distribution with variance mean^power, up to a
// constant: m^(2 - power) / (2 - power) - target m^(1 - power) / (1 - power), m = output + 1e-7.
struct Tweedie : NumbersLoss {
  static constexpr Targets targets = Targets::not_negative;
  static constexpr bool has_functions = true;
  static constexpr Option options[] = {{"power", 1.5, {1, 2, true, true}}};
  template <class T>
  struct Common {
    T one, two;  // power - 1 and 2 - power
    FASTNN_INLINE explicit Common(const double* values)
        : one(static_cast<T>(values[0] - 1)), two(static_cast<T>(2 - values[0])) {}
  };
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>& s, T output, T target, T) {
    const T mean = output + T(1e-7);
    const T logarithm = log(mean);
    const T of_mean = exp(s.two * logarithm);
    const T of_target = exp(-s.one * logarithm);
    const T loss = of_mean / s.two + weigh(target, of_target) / s.one;
    return {loss, of_target - weigh(target, of_target / mean)};
  }
};

// The likelihood of a gamma distribution of any shape, up to constants: log(m) + target / m, m =
// output + 1e-7.
struct Gamma : NumbersLoss {
  static constexpr Targets targets = Targets::positive;
  static constexpr bool has_functions = true;
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>&, T output, T target, T) {
    const T mean = output + T(1e-7);
    const T inverse = T(1) / mean;
    const T ratio = target * inverse;
    return {log(mean) + ratio, inverse * (T(1) - ratio)};
  }
};

// Nix and Weigend, 1994: (log(v) + (mean - target)^2 / v) / 2, with v = max(exp(s), eps) of the
// second output s, and log(2 pi) / 2 more if it is full. As in PyTorch the gradient passes by the
// maximum.
struct GaussianNll : NumbersLoss {
  static constexpr int outputs_of_target = 2;
  static constexpr bool has_functions = true;
  static constexpr Option options[] = {{"full", 0, unit, true}, {"eps", 1e-6, above_zero}};
  template <class T>
  struct Common {
    T least, constant;  // the least log(v)
    FASTNN_INLINE explicit Common(const double* values)
        : least(log(static_cast<T>(values[1]))),
          constant(static_cast<T>(values[0] * 0.91893853320467274178)) {}
  };
  template <class T>
  static FASTNN_INLINE LossAndGradients<T> at(const Common<T>& s, T mean, T target, T logarithm) {
    const T kept = logarithm < s.least ? s.least : logarithm;
    const T inverse = exp(-kept);
    const T error = mean - target;
    const T ratio = error * error * inverse;
    const T share = exp_nonpositive(logarithm - kept);
    return {T(0.5) * (kept + ratio) + s.constant, error * inverse, T(0.5) * (T(1) - ratio) * share};
  }
};

// Lin et al., arXiv:1708.02002, in Keras's form. From the logit z with p = sigmoid(z), a target t
// and u = t (1 - p) + (1 - t) p, the share that is missed:
//   balance u^gamma (t softplus(-z) + (1 - t) softplus(z))
// balance is t alpha + (1 - t) (1 - alpha) where classes are balanced, else 1.
struct BinaryFocalCrossentropy {
  static constexpr Targets targets = Targets::unit_or_missing;
  static constexpr int outputs_of_target = 1;
  static constexpr Head head = Head::sigmoid;
  static constexpr bool by_element = true;
  static constexpr bool column_weights = false;
  static constexpr bool has_functions = true;
  static constexpr Option options[] = {{"apply_class_balancing", 0, unit, true},
                                       {"alpha", 0.25, unit},
                                       {"gamma", 2, at_least_zero},
                                       {"label_smoothing", 0, unit}};
  template <class T>
  struct Common {  // the smoothed target is share * target + rest
    T slope, base, gamma, share, rest;
    FASTNN_INLINE explicit Common(const double* values)
        : slope(static_cast<T>(values[0] != 0 ? 2 * values[1] - 1 : 0)),
          base(static_cast<T>(values[0] != 0 ? 1 - values[1] : 1)),
          gamma(static_cast<T>(values[2])),
          share(T(1) - static_cast<T>(values[3])),
          rest(static_cast<T>(values[3]) / T(2)) {}
  };
  template <class T>
  static FASTNN_INLINE LossAndGradient<T> at(const Common<T>& s, T z, T target, T) {
    const T y = mul_add(s.share, target, s.rest);
    const T off = T(1) - y;
    const T e = exp_minus_abs(z);
    const T l = log1p_unit(e);
    const T above = (z < T(0) ? T(0) : z) + l;   // softplus(z)
    const T below = (z < T(0) ? -z : T(0)) + l;  // softplus(-z)
    const Sides<T> sides = sigmoid_sides(z, e);
    const T cross = weigh(y, below) + weigh(off, above);
    const T missed = mul_add(y, sides.q, off * sides.p);
    // A gamma of 0 leaves out the logarithm of 0.
    const T power = exp_nonpositive(weigh(s.gamma, log(missed)));
    // p q / missed, without a quotient of two numbers that vanish.
    const T share = T(1) / (weigh(y, T(1) / sides.p) + weigh(off, T(1) / sides.q));
    const T of_power = weigh(s.gamma * (off - y) * share, cross);
    const T factor = mul_add(s.slope, y, s.base) * power;
    return {weigh(factor, cross), weigh(factor, of_power + (off * sides.p - y * sides.q))};
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

// Calls f(KlDivergence{}) and so on for a row loss but softmax cross-entropy.
template <class F>
FASTNN_INLINE auto with_reduced_loss(LossKind kind, F&& f) {
  switch (kind) {
#define FASTNN_USE(name, type) \
  case LossKind::name:         \
    return f(type{});
    FASTNN_REDUCED_LOSSES(FASTNN_USE)
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

FASTNN_INLINE int outputs_of_target(LossKind kind) {
  return with_loss(kind, [](auto row) { return decltype(row)::outputs_of_target; });
}

}  // namespace fastnn::FASTNN_TARGET
