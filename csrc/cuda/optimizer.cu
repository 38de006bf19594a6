// Optimizer steps over flat buffers, in float at the rate of memory: each thread does 16
// bytes of every array.
#include "core/math.h"
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// The rates of a recorded step; those in double stay as they are given.
FASTNN_DEVICE void take_rates(const StepValues& values, SgdRates<float>& rates) {
  rates = values.sgd;
}
FASTNN_DEVICE void take_rates(const StepValues& values, AdamRates<float>& rates) {
  rates = values.adam;
}
template <class Rates>
FASTNN_DEVICE void take_rates(const StepValues&, Rates&) {}

// What an element's step is: of param with its gradient and what the optimizer keeps.
template <class T>
struct PlainStep {
  static constexpr int slots = 0;
  SgdRates<T> rates;
  FASTNN_DEVICE void operator()(T g, T& p, T*) const {
    T still = T(0);
    sgd(rates, false, g, p, still);
  }
};

template <class T>
struct VelocityStep {
  static constexpr int slots = 1;
  SgdRates<T> rates;
  bool nesterov;
  FASTNN_DEVICE void operator()(T g, T& p, T* kept) const { sgd(rates, nesterov, g, p, kept[0]); }
};

template <class T>
struct AdamStep {
  static constexpr int slots = 2;
  AdamRates<T> rates;
  FASTNN_DEVICE void operator()(T g, T& p, T* kept) const { adam(rates, g, p, kept[0], kept[1]); }
};

template <class T, class Rule, int width>
struct StepGroups {
  static constexpr int threads = threads_of_block;
  // Four of Adam at once spill where the compiler makes room for more blocks.
  static constexpr int resident_blocks = Rule::slots == 2 && width > 1 ? 4 : 0;
  Index n;
  T* param;
  const T* grad;
  Index pieces, piece_stride;
  T* slots[2];
  Rule rule;
  StepPlace step;

  // `count` elements from `start` on. All is asked of memory before anything is waited for,
  // whether the run goes on included.
  template <int count>
  FASTNN_DEVICE void go(Index start) const {
    using Some = Group<T, count>;
    constexpr int kept = Rule::slots;
    Some p = *reinterpret_cast<const Some*>(param + start);
    Some s[kept + 1];
    FASTNN_UNROLL
    for (int slot = 0; slot < kept; ++slot) {
      s[slot] = *reinterpret_cast<const Some*>(slots[slot] + start);
    }
    Some g = *reinterpret_cast<const Some*>(grad + start);
    for (Index piece = 1; piece < pieces; ++piece) {
      const Some more = *reinterpret_cast<const Some*>(grad + start + piece * piece_stride);
      FASTNN_UNROLL
      for (int k = 0; k < count; ++k) g.element[k] += more.element[k];
    }
    const bool stopped = step.progress != nullptr && step.progress->stopped >= 0;
    Rule now = rule;
    if (step.values != nullptr) take_rates(*step.values, now.rates);
    FASTNN_UNROLL
    for (int k = 0; k < count; ++k) {
      T state[kept + 1];
      FASTNN_UNROLL
      for (int slot = 0; slot < kept; ++slot) state[slot] = s[slot].element[k];
      now(g.element[k], p.element[k], state);
      FASTNN_UNROLL
      for (int slot = 0; slot < kept; ++slot) s[slot].element[k] = state[slot];
    }
    if (stopped) return;
    *reinterpret_cast<Some*>(param + start) = p;
    FASTNN_UNROLL
    for (int slot = 0; slot < kept; ++slot) {
      *reinterpret_cast<Some*>(slots[slot] + start) = s[slot];
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

template <int width, class T, class Rule>
Status step_groups(Context& context, const OptimizerStep<T>& a, const Rule& rule) {
  return launch(context, ceil_div(ceil_div(a.n, width), threads_of_block),
                StepGroups<T, Rule, width>{a.n,
                                           a.param,
                                           a.grad,
                                           a.pieces,
                                           a.piece_stride,
                                           {a.slots[0], a.slots[1]},
                                           rule,
                                           context.step});
}

template <class Rule>
Status step_all(Context& context, const OptimizerStep<float>& a, const Rule& rule) {
  constexpr int width = group_width<float>;
  bool in_groups = aligned(16, a.param, a.grad) && (a.pieces == 1 || a.piece_stride % width == 0);
  for (int slot = 0; slot < Rule::slots; ++slot) {
    in_groups = in_groups && aligned(16, a.slots[slot]);
  }
  return in_groups ? step_groups<width>(context, a, rule) : step_groups<1>(context, a, rule);
}

// Two numbers in double at once would not fit a thread's registers.
template <class Rule>
Status step_all(Context& context, const OptimizerStep<double>& a, const Rule& rule) {
  return step_groups<1>(context, a, rule);
}

}  // namespace

template <class T>
Status optimizer_step(Context& context, const OptimizerStep<T>& a) {
  switch (a.kind) {
    case OptimizerKind::sgd: {
      const auto rates = sgd_rates<T>(a.settings);
      if (a.slots[0] == nullptr) return step_all(context, a, PlainStep<T>{rates});
      return step_all(context, a, VelocityStep<T>{rates, a.settings.nesterov});
    }
    case OptimizerKind::adam:
      return step_all(context, a, AdamStep<T>{adam_rates<T>(a.settings, a.step)});
  }
  return Status::failed;
}

FASTNN_INSTANTIATE(optimizer_step, OptimizerStep)

}  // namespace fastnn::FASTNN_TARGET
