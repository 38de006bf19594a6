// The update stage's kernels over flat buffers: steps of optimizers, and norms of gradients.
#include "cpu/optimizer.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// The loops are functions of their own because __restrict__ is believed for parameters, and not
// for what a lambda captures: without it they stay scalar.

template <class Rule, class Kept, class Root, class T>
static void step_range(const typename Rule::template Rates<T> rates, Index n, T* __restrict__ param,
                       const T* __restrict__ grad, T* __restrict__ slot_0, T* __restrict__ slot_1,
                       T* __restrict__ slot_2) {
  for (Index i = 0; i < n; ++i) {
    T s[rule_slots] = {};
    if constexpr (Kept::has(0)) s[0] = slot_0[i];
    if constexpr (Kept::has(1)) s[1] = slot_1[i];
    if constexpr (Kept::has(2)) s[2] = slot_2[i];
    Rule::step(rates, grad[i], param[i], s, Root{});
    if constexpr (Kept::has(0)) slot_0[i] = s[0];
    if constexpr (Kept::has(1)) slot_1[i] = s[1];
    if constexpr (Kept::has(2)) slot_2[i] = s[2];
  }
}

// The gradients as the step takes them, but for norm_factor. Without penalties parameters do not
// count: the memory between two of them may hold anything.
template <class T>
static void shape_range(const UpdateExtras<T>& extras, Index n, const T* __restrict__ grad,
                        const T* __restrict__ param, T* __restrict__ out) {
  const T factor = extras.factor != nullptr ? static_cast<T>(*extras.factor) : T(1);
  const T scale = extras.penalty_factor != nullptr ? static_cast<T>(*extras.penalty_factor) : T(1);
  const T twice_l2 = T(2) * extras.l2 * scale;
  const T l1 = extras.l1 * scale;
  const bool penalizes = l1 != T(0) || twice_l2 != T(0);
  for (Index i = 0; i < n; ++i) {
    const T penalty = mul_add(twice_l2, param[i], l1 * sign_of(param[i]));
    out[i] = mul_add(factor, grad[i], penalizes ? penalty : T(0));
  }
}

template <class T>
static void scale_range(T factor, T clip, Index n, T* __restrict__ g) {
  for (Index i = 0; i < n; ++i) {
    const T scaled = factor * g[i];
    const T below = scaled > clip ? clip : scaled;
    const T cut = below < -clip ? -clip : below;
    g[i] = clip > T(0) ? cut : scaled;
  }
}

template <class T>
static void average_range(T momentum, Index n, const T* __restrict__ param,
                          T* __restrict__ average) {
  const T rest = T(1) - momentum;
  for (Index i = 0; i < n; ++i) average[i] = mul_add(momentum, average[i], rest * param[i]);
}

template <class T>
PreparedStep<T>::PreparedStep(const OptimizerStep<T>& step)
    : kind_(step.kind),
      kept_(static_cast<unsigned char>(kept_slots(step.kind, step.settings))),
      unit_takes_roots_(unit_takes_roots()),
      shapes_gradients_(step.extras.shape_gradients()),
      param_(step.param),
      slots_{step.slots[0], step.slots[1], step.slots[2], step.slots[3]},
      rates_(rates_of<T>(step.kind, step.settings, step.step)),
      extras_(step.extras) {}

template <class T>
void PreparedStep<T>::fetch(Index begin, Index n) const {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  const T* const arrays[] = {param_, slots_[0], slots_[1], slots_[2], slots_[3]};
  for (const T* const array : arrays) {
    if (array == nullptr) continue;
    for (Index i = 0; i < n; i += line) __builtin_prefetch(array + begin + i, 1);
  }
}

template <class T>
void PreparedStep<T>::step(Index begin, Index n, const T* grad) const {
  const auto at = [&](int slot) {
    return slots_[slot] != nullptr ? slots_[slot] + begin : nullptr;
  };
  with_optimizer(kind_, [&](auto rule) {
    using Rule = decltype(rule);
    const auto rates = rates_from<Rule>(rates_);
    with_kept<Rule>(kept_, [&](auto kept) {
      using Kept = decltype(kept);
      if (unit_takes_roots_) {
        step_range<Rule, Kept, RootByUnit>(rates, n, param_ + begin, grad, at(0), at(1), at(2));
      } else {
        step_range<Rule, Kept, RootByProducts>(rates, n, param_ + begin, grad, at(0), at(1), at(2));
      }
    });
  });
}

template <class T>
void PreparedStep<T>::apply(Index begin, Index n, const T* grad) const {
  T* const average = slots_[average_slot];
  if (!shapes_gradients_ && average == nullptr) {
    step(begin, n, grad);
    return;
  }
  constexpr Index at_once = 512;
  const T norm = extras_.norm_factor != nullptr ? static_cast<T>(*extras_.norm_factor) : T(1);
  for (Index i = 0; i < n; i += at_once) {
    const Index count = least(at_once, n - i);
    T shaped[at_once];
    if (shapes_gradients_) {
      shape_range(extras_, count, grad + i, param_ + begin + i, shaped);
      scale_range(norm, extras_.clip, count, shaped);
    }
    step(begin + i, count, shapes_gradients_ ? shaped : grad + i);
    if (average != nullptr) {
      average_range(extras_.average_momentum, count, param_ + begin + i, average + begin + i);
    }
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

template <class T>
Status sum_of_squares(Context& context, const SumOfSquares<T>& a) {
  for_row_groups(context, a.n, 2, [&](Index group, Index begin, Index end, int) {
    constexpr Index at_once = 512;
    T shaped[at_once];
    double total = 0;
    for (Index i = begin; i < end; i += at_once) {
      const Index n = least(at_once, end - i);
      shape_range(a.extras, n, a.grad + i, a.param + i, shaped);
      for (Index k = 0; k < n; ++k) {
        const auto g = static_cast<double>(shaped[k]);
        total += g * g;
      }
    }
    a.sums[group] = total;
  });
  return Status::ok;
}

Status norm_factor(Context&, const NormFactor& a) {
  double total = 0;
  for (Index i = 0; i < a.count; ++i) total += a.sums[i];
  *a.factor = factor_of_norm(sqrt(total), a.limit);
  return Status::ok;
}

template struct PreparedStep<float>;
template struct PreparedStep<double>;
FASTNN_INSTANTIATE(optimizer_step, OptimizerStep)
FASTNN_INSTANTIATE(sum_of_squares, SumOfSquares)

}  // namespace fastnn::FASTNN_TARGET
