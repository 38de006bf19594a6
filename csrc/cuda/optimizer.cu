// The update stage's kernels over flat buffers: steps of optimizers, in float at the rate of memory
// (each thread does 16 bytes of every array), and norms of gradients.
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_sums.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// A recorded step takes its rates from the device's memory; one in double those that it is given.
template <class Rates>
FASTNN_DEVICE void take_rates(const StepValues::Group& group, Rates& rates, float& average) {
  if constexpr (sizeof(Rates) <= sizeof(AnyRates<float>)) {
    __builtin_memcpy(&rates, &group.rates, sizeof rates);
    average = group.average_momentum;
  }
}
template <class Rates>
FASTNN_DEVICE void take_rates(const StepValues::Group&, Rates&, double&) {}

// A gradient as the step takes it; all of what it needs, read once.
template <class T>
struct Shape {
  T factor = T(1), norm_factor = T(1), l1 = T(0), twice_l2 = T(0), clip = T(0);

  FASTNN_DEVICE explicit Shape(const UpdateExtras<T>& extras)
      : l1(extras.l1), twice_l2(T(2) * extras.l2), clip(extras.clip) {
    if (extras.factor != nullptr) factor = static_cast<T>(*extras.factor);
    if (extras.penalty_factor != nullptr) {
      const T scale = static_cast<T>(*extras.penalty_factor);
      l1 *= scale;
      twice_l2 *= scale;
    }
    if (extras.norm_factor != nullptr) norm_factor = static_cast<T>(*extras.norm_factor);
  }
  FASTNN_DEVICE T before_norm(T g, T p) const {
    // Without penalties p does not count: what lies between two parameters may be anything.
    const bool penalizes = l1 != T(0) || twice_l2 != T(0);
    return mul_add(factor, g, penalizes ? mul_add(twice_l2, p, l1 * sign_of(p)) : T(0));
  }
  FASTNN_DEVICE T operator()(T g, T p) const {
    const T scaled = norm_factor * before_norm(g, p);
    const T below = scaled > clip ? clip : scaled;
    const T cut = below < -clip ? -clip : below;
    return clip > T(0) ? cut : scaled;
  }
};

// `shaped`: gradients change before the step, or an average is kept.
template <class T, class Rule, class Kept, bool shaped, int width>
struct StepGroups {
  static constexpr int threads = threads_of_block;
  // Four of Adam at once spill where the compiler makes room for more blocks.
  static constexpr int resident_blocks = (Kept::has(1) || shaped) && width > 1 ? 4 : 0;
  using RuleRates = typename Rule::template Rates<T>;
  Index n;
  T* param;
  const T* grad;
  Index pieces, piece_stride;
  T* slots[max_slots];
  RuleRates rates;
  UpdateExtras<T> extras;
  int group;
  StepPlace step;

  static constexpr bool reads(int slot) { return slot < rule_slots && Kept::has(slot); }

  // `count` elements from `start` on. All is asked of memory before anything is waited for,
  // whether the run goes on included.
  template <int count>
  FASTNN_DEVICE void go(Index start) const {
    using Some = Group<T, count>;
    Some p = *reinterpret_cast<const Some*>(param + start);
    Some s[rule_slots];
    FASTNN_UNROLL
    for (int slot = 0; slot < rule_slots; ++slot) {
      if (reads(slot)) s[slot] = *reinterpret_cast<const Some*>(slots[slot] + start);
    }
    Some g = *reinterpret_cast<const Some*>(grad + start);
    for (Index piece = 1; piece < pieces; ++piece) {
      const Some more = *reinterpret_cast<const Some*>(grad + start + piece * piece_stride);
      FASTNN_UNROLL
      for (int k = 0; k < count; ++k) g.element[k] += more.element[k];
    }
    const bool stopped = step.progress != nullptr && step.progress->stopped >= 0;
    RuleRates now = rates;
    T average_momentum = extras.average_momentum;
    if (step.values != nullptr) take_rates(step.values->group[group], now, average_momentum);
    if constexpr (shaped) {
      const Shape<T> shape(extras);
      FASTNN_UNROLL
      for (int k = 0; k < count; ++k) g.element[k] = shape(g.element[k], p.element[k]);
    }
    FASTNN_UNROLL
    for (int k = 0; k < count; ++k) {
      T state[rule_slots] = {};
      FASTNN_UNROLL
      for (int slot = 0; slot < rule_slots; ++slot) {
        if (reads(slot)) state[slot] = s[slot].element[k];
      }
      Rule::step(now, g.element[k], p.element[k], state, RootByProducts{});
      FASTNN_UNROLL
      for (int slot = 0; slot < rule_slots; ++slot) {
        if (reads(slot)) s[slot].element[k] = state[slot];
      }
    }
    if (stopped) return;
    *reinterpret_cast<Some*>(param + start) = p;
    FASTNN_UNROLL
    for (int slot = 0; slot < rule_slots; ++slot) {
      if (reads(slot)) *reinterpret_cast<Some*>(slots[slot] + start) = s[slot];
    }
    if constexpr (shaped) {
      if (slots[average_slot] == nullptr) return;
      const T rest = T(1) - average_momentum;
      Some average = *reinterpret_cast<const Some*>(slots[average_slot] + start);
      FASTNN_UNROLL
      for (int k = 0; k < count; ++k) {
        average.element[k] = mul_add(average_momentum, average.element[k], rest * p.element[k]);
      }
      *reinterpret_cast<Some*>(slots[average_slot] + start) = average;
    }
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index start = t.place() * width;
    if (start + width <= n) {
      go<width>(start);
    } else if constexpr (width > 1) {
      for (Index i = start; i < n; ++i) go<1>(i);
    }
  }
};

template <class Rule, class Kept, bool shaped, int width, class T>
Status step_groups(Context& context, const OptimizerStep<T>& a) {
  return launch(
      context, ceil_div(ceil_div(a.n, width), threads_of_block),
      StepGroups<T, Rule, Kept, shaped, width>{a.n,
                                               a.param,
                                               a.grad,
                                               a.pieces,
                                               a.piece_stride,
                                               {a.slots[0], a.slots[1], a.slots[2], a.slots[3]},
                                               Rule::template rates<T>(a.settings, a.step),
                                               a.extras,
                                               a.group,
                                               context.step});
}

template <class Rule, class Kept, bool shaped>
Status step_all(Context& context, const OptimizerStep<float>& a) {
  constexpr int width = group_width<float>;
  bool in_groups = aligned(16, a.param, a.grad) && (a.pieces == 1 || a.piece_stride % width == 0);
  for (const float* const slot : a.slots) in_groups = in_groups && aligned(16, slot);
  return in_groups ? step_groups<Rule, Kept, shaped, width>(context, a)
                   : step_groups<Rule, Kept, shaped, 1>(context, a);
}

// Two numbers in double at once would not fit a thread's registers.
template <class Rule, class Kept, bool shaped>
Status step_all(Context& context, const OptimizerStep<double>& a) {
  return step_groups<Rule, Kept, shaped, 1>(context, a);
}

// Squares of the elements of a gradient.
template <class T>
struct Squares {
  static constexpr int threads = threads_of_block;
  static constexpr int step = threads;
  SumOfSquares<T> a;
  GroupSums sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Range range = sums.parts.range(t.block());
    const Shape<T> shape(a.extras);
    Counted counted;
    for (Index i = range.begin + t.index(); i < range.end; i += threads) {
      const auto g = static_cast<double>(shape.before_norm(a.grad[i], a.param[i]));
      counted.value += g * g;
    }
    sums.add(t, counted, t.shared<Shared>().room);
  }
};

struct FindNormFactor {
  static constexpr int threads = 32;
  NormFactor a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double total = 0;
    for (Index i = t.index(); i < a.count; i += threads) total += a.sums[i];
    total = sum_of_warp(t, total);
    if (t.index() == 0) *a.factor = factor_of_norm(sqrt(total), a.limit);
  }
};

}  // namespace

template <class T>
Status optimizer_step(Context& context, const OptimizerStep<T>& a) {
  const bool shaped = a.extras.shape_gradients() || a.slots[average_slot] != nullptr;
  return with_optimizer(a.kind, [&](auto rule) {
    using Rule = decltype(rule);
    return with_kept<Rule>(Rule::kept(a.settings.own), [&](auto kept) {
      using Kept = decltype(kept);
      return shaped ? step_all<Rule, Kept, true>(context, a)
                    : step_all<Rule, Kept, false>(context, a);
    });
  });
}

template <class T>
Status sum_of_squares(Context& context, const SumOfSquares<T>& a) {
  GroupSums sums{};
  const Parts parts = parts_of_rows(a.n, Squares<T>::step);
  const Status status = prepare(context, parts, a.sums, 1, sums);
  if (status != Status::ok) return status;
  return launch(context, parts.blocks(), Squares<T>{a, sums});
}

Status norm_factor(Context& context, const NormFactor& a) {
  return launch(context, 1, FindNormFactor{a});
}

FASTNN_INSTANTIATE(optimizer_step, OptimizerStep)
FASTNN_INSTANTIATE(sum_of_squares, SumOfSquares)

}  // namespace fastnn::FASTNN_TARGET
