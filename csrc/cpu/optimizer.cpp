// Optimizer steps over flat buffers.
#include "core/optimizer.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// The loops are functions of their own because __restrict__ is believed for
// parameters, and not for what a lambda captures: without it they stay scalar.

template <class T>
static void sgd_range(const SgdRates<T> rates, bool nesterov, Index n, T* __restrict__ param,
                      const T* __restrict__ grad, T* __restrict__ velocity) {
  for (Index i = 0; i < n; ++i) sgd(rates, nesterov, grad[i], param[i], velocity[i]);
}

template <class T>
static void sgd_range(const SgdRates<T> rates, Index n, T* __restrict__ param,
                      const T* __restrict__ grad) {
  for (Index i = 0; i < n; ++i) {
    T still = T(0);
    sgd(rates, false, grad[i], param[i], still);
  }
}

template <class T>
static void adam_range(const AdamRates<T> rates, Index n, T* __restrict__ param,
                       const T* __restrict__ grad, T* __restrict__ m, T* __restrict__ v) {
  for (Index i = 0; i < n; ++i) adam(rates, grad[i], param[i], m[i], v[i]);
}

template <class T>
static void sgd_step(Context& context, const OptimizerStep<T>& a) {
  const OptimizerSettings& s = a.settings;
  const SgdRates<T> rates{static_cast<T>(s.learning_rate), static_cast<T>(s.momentum),
                          static_cast<T>(s.learning_rate * s.weight_decay)};
  T* const velocity = a.slots[0];
  for_ranges(context, a.n, 2, [&](Index begin, Index end) {
    if (velocity == nullptr) {
      sgd_range(rates, end - begin, a.param + begin, a.grad + begin);
    } else if (s.nesterov) {
      sgd_range(rates, true, end - begin, a.param + begin, a.grad + begin, velocity + begin);
    } else {
      sgd_range(rates, false, end - begin, a.param + begin, a.grad + begin, velocity + begin);
    }
  });
}

// 1 / (1 - beta^step); the power by squaring, for the step may be large and
// the result must not depend on a library.
static double correction(double beta, uint64_t step) {
  double power = 1;
  double square = beta;
  for (uint64_t rest = step; rest != 0; rest >>= 1U) {
    if ((rest & 1U) != 0) power *= square;
    square *= square;
  }
  return 1 / (1 - power);
}

template <class T>
static void adam_step(Context& context, const OptimizerStep<T>& a) {
  const OptimizerSettings& s = a.settings;
  const AdamRates<T> rates{
      .learning_rate = static_cast<T>(s.learning_rate),
      .beta_1 = static_cast<T>(s.beta_1),
      .beta_2 = static_cast<T>(s.beta_2),
      .rest_1 = static_cast<T>(1 - s.beta_1),
      .rest_2 = static_cast<T>(1 - s.beta_2),
      .correction_1 = static_cast<T>(correction(s.beta_1, a.step)),
      .correction_2 = static_cast<T>(correction(s.beta_2, a.step)),
      .epsilon = static_cast<T>(s.epsilon),
      .decay = static_cast<T>(s.learning_rate * s.weight_decay),
  };
  for_ranges(context, a.n, 4, [&](Index begin, Index end) {
    adam_range(rates, end - begin, a.param + begin, a.grad + begin, a.slots[0] + begin,
               a.slots[1] + begin);
  });
}

template <class T>
Status optimizer_step(Context& context, const OptimizerStep<T>& a) {
  switch (a.kind) {
    case OptimizerKind::sgd:
      sgd_step(context, a);
      break;
    case OptimizerKind::adam:
      adam_step(context, a);
      break;
  }
  return Status::ok;
}

FASTNN_INSTANTIATE(optimizer_step, OptimizerStep)

}  // namespace fastnn::FASTNN_TARGET
