// Kernels of the update stage besides the steps of optimizers: sums of gradients, penalties and
// constraints.
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_sums.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

template <class T>
struct AddWeighted {
  static constexpr int threads = threads_of_block;
  WeightedSum<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n) return;
    const T scale = a.factor != nullptr ? static_cast<T>(a.scale * *a.factor) : a.scale;
    a.y[i] = a.keep == T(0) ? scale * a.x[i] : mul_add(scale, a.x[i], a.keep * a.y[i]);
  }
};

template <class T>
struct Penalties {
  static constexpr int threads = threads_of_block;
  static constexpr int step = threads;
  Penalty<T> a;
  GroupSums sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Range range = sums.parts.range(t.block());
    Counted counted;
    for (Index i = range.begin + t.index(); i < range.end; i += threads) {
      const auto x = static_cast<double>(a.x[i]);
      counted.value += mul_add(a.l2 * x, x, a.l1 * abs(x));
    }
    sums.add(t, counted, t.shared<Shared>().room);
  }
};

// Whether a recorded step is not made, since an earlier one had a bad loss.
FASTNN_DEVICE bool is_stopped(const StepPlace& step) {
  return step.progress != nullptr && step.progress->stopped >= 0;
}

template <class T>
struct NotNegative {
  static constexpr int threads = threads_of_block;
  Index n;
  T* x;
  StepPlace step;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= n || is_stopped(step)) return;
    if (x[i] < T(0)) x[i] = T(0);
  }
};

// A block takes 32 vectors side by side, whose first elements are neighbours: each warp has every
// eighth element of them, a lane one vector.
template <class T>
struct NormsSideBySide {
  static constexpr int threads = threads_of_block;
  static constexpr int warps = threads / 32;
  Constrain<T> a;
  StepPlace step;
  struct Shared {
    double squares[warps][32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    auto& shared = t.shared<Shared>();
    const Index vector = t.block() * 32 + t.lane();
    T* const x = a.x + vector * a.step;
    const Index end = vector < a.count ? a.length : 0;
    double squares = 0;
    for (Index k = t.warp(); k < end; k += warps) {
      const auto value = static_cast<double>(x[k * a.stride]);
      squares = mul_add(value, value, squares);
    }
    shared.squares[t.warp()][t.lane()] = squares;
    t.barrier();
    double total = 0;
    for (int w = 0; w < warps; ++w) total += shared.squares[w][t.lane()];
    if (is_stopped(step)) return;
    const T factor = static_cast<T>(factor_within(sqrt(total), a.low, a.high, a.rate));
    for (Index k = t.warp(); k < end; k += warps) x[k * a.stride] *= factor;
  }
};

// A block takes one vector.
template <class T>
struct NormsOneByOne {
  static constexpr int threads = threads_of_block;
  Constrain<T> a;
  StepPlace step;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    T* const x = a.x + t.block() * a.step;
    double squares = 0;
    for (Index k = t.index(); k < a.length; k += threads) {
      const auto value = static_cast<double>(x[k * a.stride]);
      squares = mul_add(value, value, squares);
    }
    const double total = sum_of_block(t, squares, t.shared<Shared>().room);
    if (is_stopped(step)) return;
    const T factor = static_cast<T>(factor_within(sqrt(total), a.low, a.high, a.rate));
    for (Index k = t.index(); k < a.length; k += threads) x[k * a.stride] *= factor;
  }
};

struct FindTrustRatio {
  static constexpr int threads = 32;
  TrustRatio a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double weights = 0;
    double moves = 0;
    for (Index i = t.index(); i < a.count; i += threads) {
      weights += a.weights[i];
      moves += a.moves[i];
    }
    weights = sum_of_warp(t, weights);
    moves = sum_of_warp(t, moves);
    if (t.index() == 0) *a.factor = ratio_of_norms(sqrt(weights), sqrt(moves));
  }
};

}  // namespace

template <class T>
Status weighted_sum(Context& context, const WeightedSum<T>& a) {
  return launch(context, ceil_div(a.n, threads_of_block), AddWeighted<T>{a});
}

template <class T>
Status penalty(Context& context, const Penalty<T>& a) {
  GroupSums sums{};
  const Parts parts = parts_of_rows(a.n, Penalties<T>::step);
  const Status status = prepare(context, parts, a.sums, 1, sums);
  if (status != Status::ok) return status;
  return launch(context, parts.blocks(), Penalties<T>{a, sums});
}

template <class T>
Status constrain(Context& context, const Constrain<T>& a) {
  if (a.kind == ConstraintKind::not_negative) {
    const Index n = a.count * a.length;
    return launch(context, ceil_div(n, threads_of_block), NotNegative<T>{n, a.x, context.step});
  }
  if (a.step == 1 && a.count > 1) {
    return launch(context, ceil_div(a.count, 32), NormsSideBySide<T>{a, context.step});
  }
  return launch(context, a.count, NormsOneByOne<T>{a, context.step});
}

Status trust_ratio(Context& context, const TrustRatio& a) {
  return launch(context, 1, FindTrustRatio{a});
}

FASTNN_INSTANTIATE(weighted_sum, WeightedSum)
FASTNN_INSTANTIATE(penalty, Penalty)
FASTNN_INSTANTIATE(constrain, Constrain)

}  // namespace fastnn::FASTNN_TARGET
