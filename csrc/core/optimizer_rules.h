// The formulas of optimizers: one row of the table (optimizer.h), one struct. The moments of Adam
// and what is made from them stand together, then sums and averages of squares.
//
// A row has
//   slots         numbers kept for each parameter, at most three, and slot_names
//   options       besides learning_rate and weight_decay, in the order of `own`
//   kept(own)     which slots are in use, as bits; variants lists every value it may have
//   Rates<T>      what all elements of one step share: at most most_rates numbers of T
//   rates(...)    works these out, in double
//   step(...)     one element: gradient g, parameter p, slots s; unused slots are 0
//   whole         only where a step needs all of a parameter's gradient (optimizer_whole.h)
// Weight decay is decoupled in all of them (Loshchilov and Hutter, arXiv:1711.05101).
#pragma once

#include <stdint.h>

#include "core/math.h"
#include "core/option.h"
#include "core/target.h"

namespace fastnn {

inline constexpr int rule_slots = 3;                       // of a row, at most
inline constexpr int average_slot = rule_slots;            // the average of weights
inline constexpr int max_slots = rule_slots + 1;           // of both
inline constexpr int accumulator_slot = max_slots;         // gradients of several batches
inline constexpr int buffer_slots = accumulator_slot + 1;  // of all three
inline constexpr int max_options = 12;                     // of a row
inline constexpr int most_rates = 8;                       // of a row
inline constexpr int max_groups_of_parameters = 16;

// May change from one update to the next. `own` are the options of the row, in its order.
struct OptimizerSettings {
  double learning_rate = 1e-3;
  double weight_decay = 0;
  double own[max_options] = {};
  // What penalties of the weights are multiplied by, in a step and in the loss; and whether they
  // are also divided by the weight of a batch, where its gradient is (updates.h).
  double penalties = 1;
  bool weighs_penalties = false;
  // Where it is not 0, a run sets `penalties` for each batch: they are those of so many rows that
  // weigh 1, and are divided by the rows of the batch and their mean weight instead.
  double penalty_rows = 0;
  // Whether Adam adds epsilon to the root of v as it is, without the correction of its bias: the
  // "epsilon hat" of the paper's section 2, and the form of scikit-learn and TensorFlow.
  bool plain_epsilon = false;
};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

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
    T epsilon;         // times sqrt(c_2), unless plain: added to the root of the corrected moment
    T decay;           // learning_rate * weight_decay
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t step) {
    const double beta_1 = s.own[0];
    const double beta_2 = s.own[1];
    const double root_2 = sqrt(correction(beta_2, step));
    const double epsilon = s.own[2] * (s.plain_epsilon ? 1 : root_2);
    return {
        .beta_1 = static_cast<T>(beta_1),
        .beta_2 = static_cast<T>(beta_2),
        .rest_1 = static_cast<T>(1 - beta_1),
        .rest_2 = static_cast<T>(1 - beta_2),
        .scale = static_cast<T>(s.learning_rate * root_2 / correction(beta_1, step)),
        .epsilon = positive_as<T>(epsilon, least_root<T>()),
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

// Adam with the largest v so far under the root (Reddi et al., arXiv:1904.09237, algorithm 2), as
// PyTorch and Keras have it: v is compared before its bias is corrected.
struct AmsGrad : Adam {
  static constexpr int slots = 3;
  static constexpr const char* slot_names[] = {"m", "v", "v_max"};
  static constexpr unsigned variants[] = {7};
  static FASTNN_INLINE unsigned kept(const double*) { return 7; }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root root_of) {
    T& m = s[0];
    T& v = s[1];
    T& v_max = s[2];
    m = mul_add(rates.beta_1, m, rates.rest_1 * g);
    v = mul_add(rates.beta_2, v, rates.rest_2 * g * g);
    v_max = v_max > v ? v_max : v;  // v where it is NaN
    const T move = rates.scale * m / (root_of(v_max) + rates.epsilon);
    p -= mul_add(rates.decay, p, move);
  }
};

// Kingma and Ba, arXiv:1412.6980, algorithm 2, in Keras's form: epsilon is added to u.
struct Adamax {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "u"};
  static constexpr Option options[] = {
      {"beta_1", 0.9, below_one}, {"beta_2", 0.999, below_one}, {"epsilon", 1e-7, above_zero}};
  static constexpr unsigned variants[] = {3};
  static FASTNN_INLINE unsigned kept(const double*) { return 3; }

  template <class T>
  struct Rates {
    T beta_1, rest_1, beta_2;
    T scale;  // learning_rate / (1 - beta_1^step)
    T epsilon, decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t step) {
    return {.beta_1 = static_cast<T>(s.own[0]),
            .rest_1 = static_cast<T>(1 - s.own[0]),
            .beta_2 = static_cast<T>(s.own[1]),
            .scale = static_cast<T>(s.learning_rate / correction(s.own[0], step)),
            .epsilon = positive_as<T>(s.own[2], least_normal<T>()),
            .decay = static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root) {
    T& m = s[0];
    T& u = s[1];
    m = mul_add(rates.beta_1, m, rates.rest_1 * g);
    const T faded = rates.beta_2 * u;
    const T size = abs(g);
    u = faded > size ? faded : size;  // the size of g where that is NaN
    p -= mul_add(rates.decay, p, rates.scale * m / (u + rates.epsilon));
  }
};

// What the momentum of Nadam is at a step, over beta_1: 1 - 0.96^step / 2, and the product of these
// from the first step on. The product to infinity is a constant; it is divided by what follows the
// step, 1 / prod(1 - x q^i, i >= 0) = sum(x^n / ((1 - q) ... (1 - q^n)), n >= 0), x = q^(step + 1)
// / 2 (Euler), whose terms are positive: no digits are lost, and no library is asked.
struct Warming {
  double here, next, product;

  static FASTNN_INLINE Warming at(uint64_t step) {
    constexpr double q = 0.96;
    constexpr double to_infinity = 9.0101859199973151463e-7;
    const double faded = 1 - correction(q, step);
    const double x = 0.5 * q * faded;
    double sum = 1;
    double term = 1;
    double power = q;
    while (term > 0x1p-60 * sum) {
      term *= x / (1 - power);
      sum += term;
      power *= q;
    }
    return {1 - 0.5 * faded, 1 - x, to_infinity * sum};
  }
};

// Dozat, "Incorporating Nesterov momentum into Adam", 2016, with Keras's schedule of the momentum:
// mu_t = beta_1 (1 - 0.96^t / 2), M_t = mu_1 ... mu_t, and p moves by -learning_rate times
// (mu_(t+1) m / (1 - M_(t+1)) + (1 - mu_t) g / (1 - M_t)) / (sqrt(v / c_2) + epsilon).
struct Nadam {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"m", "v"};
  static constexpr Option options[] = {
      {"beta_1", 0.9, below_one}, {"beta_2", 0.999, below_one}, {"epsilon", 1e-7, above_zero}};
  static constexpr unsigned variants[] = {3};
  static FASTNN_INLINE unsigned kept(const double*) { return 3; }

  template <class T>
  struct Rates {
    T beta_1, beta_2;
    T rest_1, rest_2;          // 1 - beta, rounded once
    T of_moment, of_gradient;  // times learning_rate sqrt(c_2)
    T epsilon;                 // times sqrt(c_2)
    T decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t step) {
    const double beta_1 = s.own[0];
    const double root_2 = sqrt(correction(s.own[1], step));
    const Warming warming = Warming::at(step);
    const double product = (1 - correction(beta_1, step)) * warming.product;
    const double next = beta_1 * warming.next;
    const double rate = s.learning_rate * root_2;
    return {
        .beta_1 = static_cast<T>(beta_1),
        .beta_2 = static_cast<T>(s.own[1]),
        .rest_1 = static_cast<T>(1 - beta_1),
        .rest_2 = static_cast<T>(1 - s.own[1]),
        .of_moment = static_cast<T>(rate * next / (1 - product * next)),
        .of_gradient = static_cast<T>(rate * (1 - beta_1 * warming.here) / (1 - product)),
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
    const T ahead = mul_add(rates.of_moment, m, rates.of_gradient * g);
    p -= mul_add(rates.decay, p, ahead / (root_of(v) + rates.epsilon));
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

// Duchi, Hazan and Singer, 2011, in Keras's form: epsilon stands under the root. The sum of squares
// begins with a value of the update stage's.
struct Adagrad {
  static constexpr int slots = 1;
  static constexpr const char* slot_names[] = {"accumulator"};
  static constexpr Option options[] = {{"epsilon", 1e-7, above_zero}};
  static constexpr unsigned variants[] = {1};
  static FASTNN_INLINE unsigned kept(const double*) { return 1; }

  template <class T>
  struct Rates {
    T learning_rate, epsilon, decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t) {
    return {static_cast<T>(s.learning_rate), positive_as<T>(s.own[0], least_normal<T>()),
            static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root root_of) {
    T& sum = s[0];
    sum = mul_add(g, g, sum);
    p -= mul_add(rates.decay, p, rates.learning_rate * g / root_of(sum + rates.epsilon));
  }
};

// Zeiler, arXiv:1212.5701, algorithm 1, with a learning rate. Both averages are of
// squares, as in Keras and PyTorch.
struct Adadelta {
  static constexpr int slots = 2;
  static constexpr const char* slot_names[] = {"gradients", "moves"};
  static constexpr Option options[] = {{"rho", 0.95, below_one}, {"epsilon", 1e-7, above_zero}};
  static constexpr unsigned variants[] = {3};
  static FASTNN_INLINE unsigned kept(const double*) { return 3; }

  template <class T>
  struct Rates {
    T learning_rate, rho, rest, epsilon, decay;
  };
  template <class T>
  static FASTNN_INLINE Rates<T> rates(const OptimizerSettings& s, uint64_t) {
    return {static_cast<T>(s.learning_rate), static_cast<T>(s.own[0]), static_cast<T>(1 - s.own[0]),
            positive_as<T>(s.own[1], least_normal<T>()),
            static_cast<T>(s.learning_rate * s.weight_decay)};
  }

  template <class T, class Root>
  static FASTNN_INLINE void step(const Rates<T>& rates, T g, T& p, T* s, Root root_of) {
    T& gradients = s[0];
    T& moves = s[1];
    gradients = mul_add(rates.rho, gradients, rates.rest * g * g);
    const T move = root_of(moves + rates.epsilon) * g / root_of(gradients + rates.epsilon);
    moves = mul_add(rates.rho, moves, rates.rest * move * move);
    p -= mul_add(rates.decay, p, rates.learning_rate * move);
  }
};

}  // namespace fastnn::FASTNN_TARGET
