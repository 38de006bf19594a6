// The table of optimizers: one row, one struct, for every target. The update stage (updates.h)
// calls rows; clipping, penalties and averages of weights are its business, not theirs.
//
// To add one: a struct here with its formula, and its line in FASTNN_OPTIMIZERS. A row has
//   slots         numbers kept for each parameter, at most three, and slot_names
//   options       besides learning_rate and weight_decay, in the order of `own`
//   kept(own)     which slots are in use, as bits; variants lists every value it may have
//   Rates<T>      what all elements of one step share: at most most_rates numbers of T
//   rates(...)    works these out, in double
//   step(...)     one element: gradient g, parameter p, slots s; unused slots are 0
// Weight decay is decoupled in all of them (Loshchilov and Hutter, arXiv:1711.05101).
#pragma once

#include <stdint.h>

#include "core/math.h"
#include "core/option.h"
#include "core/target.h"

#define FASTNN_OPTIMIZERS(use) \
  use(sgd, Sgd)                \
  use(adam, Adam)              \
  use(rmsprop, RmsProp)        \
  use(lion, Lion)

namespace fastnn {

#define FASTNN_USE(name, type) name,
enum class OptimizerKind : unsigned char { FASTNN_OPTIMIZERS(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name, type) #name,
inline constexpr const char* optimizer_names[] = {FASTNN_OPTIMIZERS(FASTNN_USE)};
#undef FASTNN_USE

inline constexpr int rule_slots = 3;              // of a row, at most
inline constexpr int average_slot = rule_slots;   // the average of weights
inline constexpr int max_slots = rule_slots + 1;  // of both
inline constexpr int max_options = 6;             // of a row
inline constexpr int most_rates = 8;              // of a row
inline constexpr int max_groups_of_parameters = 16;

// May change from one update to the next. `own` are the options of the row, in its order.
struct OptimizerSettings {
  double learning_rate = 1e-3;
  double weight_decay = 0;
  double own[max_options] = {};
};

// The rates of a row without its type, for what only carries them.
template <class T>
struct AnyRates {
  T value[most_rates];
};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

// Which slots a step reads and writes, as bits.
template <unsigned bits>
struct SlotsInUse {
  static constexpr bool has(int slot) { return (bits >> static_cast<unsigned>(slot) & 1U) != 0; }
};

// Keras's form: velocity = momentum velocity - learning_rate g; with nesterov p moves by
// momentum velocity - learning_rate g. Without momentum nothing is kept.
struct Sgd {
  static constexpr int slots = 1;
  static constexpr const char* slot_names[] = {"velocity"};
  static constexpr Option options[] = {{"momentum", 0, below_one}, {"nesterov", 0, unit, true}};
  static constexpr unsigned variants[] = {0, 1};
  static FASTNN_INLINE unsigned kept(const double* own) { return own[0] != 0 ? 1 : 0; }

  template <class T>
  struct Rates {
    T learning_rate, momentum, nesterov;
    T decay;  // learning_rate * weight_decay
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t) {
    return {static_cast<T>(s.learning_rate), static_cast<T>(s.own[0]), static_cast<T>(s.own[1]),
            static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root) {
    T& velocity = s[0];
    const T step = rates.learning_rate * g;
    velocity = mul_add(rates.momentum, velocity, -step);
    const T ahead = mul_add(rates.momentum, velocity, -step);
    p = mul_add(-rates.decay, p, p) + (rates.nesterov != T(0) ? ahead : velocity);
  }
};

// 1 - beta^step; the power by squaring, for the step may be large and the result
// must not depend on a library.
FASTNN_INLINE double correction(double beta, uint64_t step) {
  double power = 1;
  double square = beta;
  for (uint64_t rest = step; rest != 0; rest >>= 1U) {
    // No branch, which would follow the bits of the step: a factor of 1 changes nothing.
    const double factors[] = {1, square};
    power *= factors[rest & 1U];
    square *= square;
  }
  return 1 - power;
}

// The root of the smallest normal number. Below it the root of a moment has no digits, and the
// moment of a small gradient is 0.
template <class T>
FASTNN_INLINE constexpr T least_root() {
  return sizeof(T) == 4 ? T(0x1p-63) : T(0x1p-511);
}

// Kingma and Ba, arXiv:1412.6980, algorithm 1. The rates hold what corrects the bias of the
// moments, as at the end of the paper's section 2: c_1 = 1 - beta_1^step, c_2 = 1 - beta_2^step.
struct Adam {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "v"};
  static constexpr Option options[] = {
      {"beta_1", 0.9, below_one}, {"beta_2", 0.999, below_one}, {"epsilon", 1e-7, above_zero}};
  static constexpr unsigned variants[] = {3};
  static FASTNN_INLINE unsigned kept(const double*) { return 3; }

  template <class T>
  struct Rates {
    T beta_1, beta_2;
    T rest_1, rest_2;  // 1 - beta, rounded once
    T scale;           // learning_rate sqrt(c_2) / c_1
    T epsilon;         // times sqrt(c_2): it is added to the root of the corrected moment
    T decay;           // learning_rate * weight_decay
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t step) {
    const double beta_1 = s.own[0];
    const double beta_2 = s.own[1];
    const double root_2 = sqrt(correction(beta_2, step));
    return {
        .beta_1 = static_cast<T>(beta_1),
        .beta_2 = static_cast<T>(beta_2),
        .rest_1 = static_cast<T>(1 - beta_1),
        .rest_2 = static_cast<T>(1 - beta_2),
        .scale = static_cast<T>(s.learning_rate * root_2 / correction(beta_1, step)),
        .epsilon = positive_as<T>(s.own[2] * root_2, least_root<T>()),
        .decay = static_cast<T>(s.learning_rate * s.weight_decay),
    };
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root root_of) {
    T& m = s[0];
    T& v = s[1];
    m = mul_add(rates.beta_1, m, rates.rest_1 * g);
    v = mul_add(rates.beta_2, v, rates.rest_2 * g * g);
    const T move = rates.scale * m / (root_of(v) + rates.epsilon);
    p -= mul_add(rates.decay, p, move);
  }
};

// Tieleman and Hinton, 2012, lecture 6.5, in Keras's form: epsilon stands under the root; with
// momentum p moves by the momentum's sum of steps; centered divides by the standard deviation
// (Graves, arXiv:1308.0850, equation 40).
struct RmsProp {
  static constexpr int slots = 3;
  static constexpr const char* slot_names[] = {"velocity", "momentum_sum", "average_gradient"};
  static constexpr Option options[] = {{"rho", 0.9, below_one},
                                       {"momentum", 0, below_one},
                                       {"epsilon", 1e-7, above_zero},
                                       {"centered", 0, unit, true}};
  static constexpr unsigned variants[] = {1, 3, 5, 7};
  static FASTNN_INLINE unsigned kept(const double* own) {
    return 1U | (own[1] != 0 ? 2U : 0U) | (own[3] != 0 ? 4U : 0U);
  }

  template <class T>
  struct Rates {
    T learning_rate, rho, rest, momentum, epsilon, centered, decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t) {
    return {static_cast<T>(s.learning_rate),
            static_cast<T>(s.own[0]),
            static_cast<T>(1 - s.own[0]),
            static_cast<T>(s.own[1]),
            positive_as<T>(s.own[2], least_normal<T>()),
            static_cast<T>(s.own[3]),
            static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root root_of) {
    T& velocity = s[0];
    T& sum = s[1];
    T& average = s[2];
    velocity = mul_add(rates.rho, velocity, rates.rest * g * g);
    average = mul_add(rates.rho, average, rates.rest * g);
    // The variance of a constant gradient may come out below 0 by rounding.
    const T variance = mul_add(-rates.centered * average, average, velocity);
    const T under = (variance < T(0) ? T(0) : variance) + rates.epsilon;
    sum = mul_add(rates.momentum, sum, rates.learning_rate * g / root_of(under));
    p -= mul_add(rates.decay, p, sum);
  }
};

// Chen et al., arXiv:2302.06675, algorithm 2.
struct Lion {
  static constexpr int slots = 1;
  static constexpr const char* slot_names[] = {"m"};
  static constexpr Option options[] = {{"beta_1", 0.9, below_one}, {"beta_2", 0.99, below_one}};
  static constexpr unsigned variants[] = {1};
  static FASTNN_INLINE unsigned kept(const double*) { return 1; }

  template <class T>
  struct Rates {
    T learning_rate, beta_1, rest_1, beta_2, rest_2, decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t) {
    return {static_cast<T>(s.learning_rate), static_cast<T>(s.own[0]),
            static_cast<T>(1 - s.own[0]),    static_cast<T>(s.own[1]),
            static_cast<T>(1 - s.own[1]),    static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root) {
    T& m = s[0];
    const T direction = mul_add(rates.beta_1, m, rates.rest_1 * g);
    m = mul_add(rates.beta_2, m, rates.rest_2 * g);
    p -= mul_add(rates.decay, p, rates.learning_rate * sign_of(direction));
  }
};

// Calls f(Sgd{}) and so on for the optimizer at hand.
template <class F>
FASTNN_INLINE auto with_optimizer(OptimizerKind kind, F&& f) {
  switch (kind) {
#define FASTNN_USE(name, type) \
  case OptimizerKind::name:    \
    return f(type{});
    FASTNN_OPTIMIZERS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// Calls f(SlotsInUse<bits>{}) for the slots that a row has in use, from its list of variants.
template <class Rule, unsigned index = 0, class F>
FASTNN_INLINE auto with_kept(unsigned bits, F&& f) {
  constexpr unsigned count = sizeof(Rule::variants) / sizeof(unsigned);
  constexpr unsigned variant = Rule::variants[index];
  if constexpr (index + 1 == count) {
    return f(SlotsInUse<variant>{});
  } else {
    if (bits == variant) return f(SlotsInUse<variant>{});
    return with_kept<Rule, index + 1>(bits, f);
  }
}

// The rates of one step of a row, as what carries them holds them.
template <class T>
FASTNN_INLINE AnyRates<T> rates_of(OptimizerKind kind, const OptimizerSettings& settings,
                                   uint64_t step) {
  return with_optimizer(kind, [&](auto rule) {
    using Rates = typename decltype(rule)::template Rates<T>;
    static_assert(sizeof(Rates) <= sizeof(AnyRates<T>));
    const Rates rates = decltype(rule)::template rates<T>(settings, step);
    AnyRates<T> any{};
    __builtin_memcpy(&any, &rates, sizeof rates);
    return any;
  });
}

template <class Rule, class T>
FASTNN_INLINE typename Rule::template Rates<T> rates_from(const AnyRates<T>& any) {
  typename Rule::template Rates<T> rates;
  __builtin_memcpy(&rates, &any, sizeof rates);
  return rates;
}

// Slots that an optimizer has in use, as bits, and how many it may have.
FASTNN_INLINE unsigned kept_slots(OptimizerKind kind, const OptimizerSettings& settings) {
  return with_optimizer(kind, [&](auto rule) { return decltype(rule)::kept(settings.own); });
}
FASTNN_INLINE int slot_count(OptimizerKind kind) {
  return with_optimizer(kind, [](auto rule) { return decltype(rule)::slots; });
}

}  // namespace fastnn::FASTNN_TARGET
