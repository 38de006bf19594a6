// Optimizer steps over flat buffers.
#include "core/optimizer.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
static void sgd_step(Context& context, const OptimizerStep<T>& a) {
  const OptimizerSettings& s = a.settings;
  const SgdRates<T> rates{static_cast<T>(s.learning_rate), static_cast<T>(s.momentum),
                          static_cast<T>(s.learning_rate * s.weight_decay)};
  T* const velocity = a.slots[0];
  for_ranges(context, a.n, 2, [&](Index begin, Index end) {
    if (velocity == nullptr) {
      for (Index i = begin; i < end; ++i) {
        T still = T(0);
        sgd(rates, false, a.grad[i], a.param[i], still);
      }
    } else if (s.nesterov) {
      for (Index i = begin; i < end; ++i) sgd(rates, true, a.grad[i], a.param[i], velocity[i]);
    } else {
      for (Index i = begin; i < end; ++i) sgd(rates, false, a.grad[i], a.param[i], velocity[i]);
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
  T* __restrict__ const param = a.param;
  T* __restrict__ const m = a.slots[0];
  T* __restrict__ const v = a.slots[1];
  const T* __restrict__ const grad = a.grad;
  for_ranges(context, a.n, 4, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) adam(rates, grad[i], param[i], m[i], v[i]);
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
