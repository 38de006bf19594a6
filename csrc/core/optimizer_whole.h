// Rows of optimizers whose steps need all of a parameter's gradient. `step` leaves a direction in
// the last slot, which has no buffer of its own; whole_steps.h goes on with it.
#pragma once

#include "core/optimizer_rules.h"

namespace fastnn::FASTNN_TARGET {

// You et al., arXiv:1904.00962, algorithm 2, in Keras's form: the weights decay for themselves, and
// their norm is taken then. The direction is that of Adam.
struct Lamb {
  static constexpr bool whole = true;
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "v"};
  static constexpr Option options[] = {
      {"beta_1", 0.9, below_one}, {"beta_2", 0.999, below_one}, {"epsilon", 1e-7, above_zero}};
  static constexpr unsigned variants[] = {7};
  static FASTNN_INLINE unsigned kept(const double*) { return 7; }

  template <class T>
  using Rates = Adam::Rates<T>;
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t step) {
    OptimizerSettings unit = s;
    unit.learning_rate = 1;
    Rates<T> rates = Adam::rates<T>(unit, step);
    rates.decay = static_cast<T>(s.learning_rate * s.weight_decay);
    return rates;
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root root_of) {
    T& m = s[0];
    T& v = s[1];
    m = mul_add(rates.beta_1, m, rates.rest_1 * g);
    v = mul_add(rates.beta_2, v, rates.rest_2 * g * g);
    s[2] = rates.scale * m / (root_of(v) + rates.epsilon);
    p = mul_add(-rates.decay, p, p);
  }
};

// Jordan et al., 2024, with the rates of Liu et al., arXiv:2502.16982, as Keras has it: the step of
// a matrix. Its direction is made orthogonal; all other parameters take the step of Adam, whose
// options begin with adam.
struct Muon {
  static constexpr bool whole = true;
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "v"};
  enum Own : unsigned char {
    momentum,
    nesterov,
    adam_beta_1,
    adam_beta_2,
    epsilon,
    adam_lr_ratio,
    adam_weight_decay,
    a,
    b,
    c,
    ns_steps,
    rms_rate
  };
  static constexpr Option options[] = {{"momentum", 0.95, below_one},
                                       {"nesterov", 1, unit, true},
                                       {"adam_beta_1", 0.9, below_one},
                                       {"adam_beta_2", 0.999, below_one},
                                       {"epsilon", 1e-7, above_zero},
                                       {"adam_lr_ratio", 1, above_zero},
                                       {"adam_weight_decay", 0.004, at_least_zero},
                                       {"muon_a", 3.4445, any_number},
                                       {"muon_b", -4.7750, any_number},
                                       {"muon_c", 2.0315, any_number},
                                       {"ns_steps", 5, at_least_zero},
                                       {"rms_rate", 0.2, at_least_zero}};
  static constexpr unsigned variants[] = {5};
  static FASTNN_INLINE unsigned kept(const double*) { return 5; }

  template <class T>
  struct Rates {
    T momentum, nesterov, decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t) {
    return {static_cast<T>(s.own[momentum]), static_cast<T>(s.own[nesterov]),
            static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root) {
    T& m = s[0];
    m = mul_add(rates.momentum, m, g);
    s[2] = rates.nesterov != T(0) ? mul_add(rates.momentum, m, g) : m;
    p = mul_add(-rates.decay, p, p);
  }
};

}  // namespace fastnn::FASTNN_TARGET
