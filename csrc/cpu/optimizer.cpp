// Optimizer steps over flat buffers.
#include "cpu/optimizer.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// The loops are functions of their own because __restrict__ is believed for
// parameters, and not for what a lambda captures: without it they stay scalar.

template <class T>
static void sgd_range(const SgdRates<T> rates, bool nesterov, Index n, T* __restrict__ param,
                      const T* __restrict__ grad, T* __restrict__ velocity) {
  if (nesterov) {
    for (Index i = 0; i < n; ++i) sgd(rates, true, grad[i], param[i], velocity[i]);
  } else {
    for (Index i = 0; i < n; ++i) sgd(rates, false, grad[i], param[i], velocity[i]);
  }
}

template <class T>
static void sgd_range(const SgdRates<T> rates, Index n, T* __restrict__ param,
                      const T* __restrict__ grad) {
  for (Index i = 0; i < n; ++i) {
    T still = T(0);
    sgd(rates, false, grad[i], param[i], still);
  }
}

template <class Root, class T>
static void adam_range(const AdamRates<T> rates, Index n, T* __restrict__ param,
                       const T* __restrict__ grad, T* __restrict__ m, T* __restrict__ v) {
  for (Index i = 0; i < n; ++i) adam(rates, grad[i], param[i], m[i], v[i], Root{});
}

template <class T>
PreparedStep<T>::PreparedStep(const OptimizerStep<T>& step)
    : kind_(step.kind),
      nesterov_(step.settings.nesterov),
      unit_takes_roots_(unit_takes_roots()),
      param_(step.param),
      slots_{step.slots[0], step.slots[1]},
      sgd_{},
      adam_{} {
  switch (kind_) {
    case OptimizerKind::sgd:
      sgd_ = sgd_rates<T>(step.settings);
      break;
    case OptimizerKind::adam:
      adam_ = adam_rates<T>(step.settings, step.step);
      break;
  }
}

template <class T>
void PreparedStep<T>::fetch(Index begin, Index n) const {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  const T* const arrays[] = {param_, slots_[0], slots_[1]};
  for (const T* const array : arrays) {
    if (array == nullptr) continue;
    for (Index i = 0; i < n; i += line) __builtin_prefetch(array + begin + i, 1);
  }
}

template <class T>
void PreparedStep<T>::apply(Index begin, Index n, const T* grad) const {
  T* const param = param_ + begin;
  switch (kind_) {
    case OptimizerKind::sgd:
      if (slots_[0] == nullptr) {
        sgd_range(sgd_, n, param, grad);
      } else {
        sgd_range(sgd_, nesterov_, n, param, grad, slots_[0] + begin);
      }
      break;
    case OptimizerKind::adam:
      if (unit_takes_roots_) {
        adam_range<RootByUnit>(adam_, n, param, grad, slots_[0] + begin, slots_[1] + begin);
      } else {
        adam_range<RootByProducts>(adam_, n, param, grad, slots_[0] + begin, slots_[1] + begin);
      }
      break;
  }
}

// The sum of the pieces of a gradient, elements [begin, begin + n).
template <class T>
static void sum_pieces(const OptimizerStep<T>& a, Index begin, Index n, T* __restrict__ sum) {
  const T* __restrict__ piece = a.grad + begin;
  for (Index i = 0; i < n; ++i) sum[i] = piece[i];
  for (Index p = 1; p < a.pieces; ++p) {
    piece += a.piece_stride;
    for (Index i = 0; i < n; ++i) sum[i] += piece[i];
  }
}

template <class T>
Status optimizer_step(Context& context, const OptimizerStep<T>& a) {
  constexpr Index cost = 4;  // of an element, see for_ranges
  const PreparedStep<T> step(a);
  for_ranges(context, a.n, cost + a.pieces - 1, [&](Index begin, Index end) {
    if (a.pieces == 1) {
      step.apply(begin, end - begin, a.grad + begin);
      return;
    }
    constexpr Index at_once = 1024;
    T sum[at_once];
    for (Index i = begin; i < end; i += at_once) {
      const Index n = least(at_once, end - i);
      sum_pieces(a, i, n, sum);
      step.apply(i, n, sum);
    }
  });
  return Status::ok;
}

template struct PreparedStep<float>;
template struct PreparedStep<double>;
FASTNN_INSTANTIATE(optimizer_step, OptimizerStep)

}  // namespace fastnn::FASTNN_TARGET
