// Elementwise losses with their gradients, and what losses divide by.
#include "core/loss.h"

#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_sums.h"

namespace fastnn::FASTNN_TARGET {
namespace {

// What is done with an element has Element, its type, n and c, and
//   has_functions             whether that takes logarithms and such
//   common()                  what all elements share
//   at(common, i, r, j, ..)   the loss of element i, which is column j of row r, and its
//                             weight; writes the gradient

template <class T>
struct Term {
  T loss, weight;
};

template <class T>
struct OfSigmoid {
  using Element = T;
  static constexpr bool has_functions = true;
  SigmoidCrossEntropy<T> a;
  struct Common {
    T scale, share, rest;
  };

  FASTNN_DEVICE Common common() const {
    return {loss_scale(a.weight_sums, a.n, a.scale), T(1) - a.label_smoothing,
            a.label_smoothing / T(2)};
  }
  FASTNN_DEVICE Term<T> at(const Common& s, Index i, Index r, Index j) const {
    const T t = a.targets[i];
    const T known = a.weights != nullptr ? a.weights[r] : T(1);
    const T positive = a.pos_weight != nullptr ? a.pos_weight[j] : T(1);
    const T smooth = mul_add(s.share, t, s.rest);
    const T weight = t == t ? known : T(0);
    const T y = t == t ? smooth : T(0);
    const auto one = sigmoid_cross_entropy(a.logits[i], y, positive);
    if (a.dlogits != nullptr) a.dlogits[i] = weigh(weight * s.scale, one.gradient);
    return {weigh(weight, one.loss), weight};
  }
};

template <class T>
struct OfSquares {
  using Element = T;
  static constexpr bool has_functions = false;
  MeanSquaredError<T> a;
  struct Common {
    T twice_scale, share;
  };

  FASTNN_DEVICE Common common() const {
    return {T(2) * loss_scale(a.weight_sums, a.n, a.scale), T(1) / static_cast<T>(a.c)};
  }
  FASTNN_DEVICE Term<T> at(const Common& s, Index i, Index r, Index) const {
    const T difference = a.pred[i] - a.targets[i];
    const T weight = (a.weights != nullptr ? a.weights[r] : T(1)) * s.share;
    if (a.dpred != nullptr) a.dpred[i] = weigh(s.twice_scale * weight, difference);
    return {weigh(weight, difference * difference), weight};
  }
};

template <class T>
struct OfWeights {
  using Element = T;
  static constexpr bool has_functions = false;
  WeightSum<T> a;
  struct Common {};

  FASTNN_DEVICE Common common() const { return {}; }
  FASTNN_DEVICE Term<T> at(const Common&, Index i, Index r, Index) const {
    const T known = a.weights != nullptr ? a.weights[r] : T(1);
    const bool there = a.targets == nullptr || a.targets[i] == a.targets[i];
    const T weight = there ? known : T(0);
    return {T(0), weight};
  }
};

// Which element a thread is at, as row and column: a division for the first, then none.
struct Place {
  Index r, j;
  FASTNN_DEVICE void move(Index rows, Index columns, Index c) {
    r += rows;
    j += columns;
    const bool past = j >= c;
    r += past ? 1 : 0;
    j -= past ? c : 0;
  }
};

// All elements of (n, c), each by one thread: the sums of a group are of its elements,
// wherever rows end.
template <class Op>
struct Elements {
  using T = typename Op::Element;
  static constexpr int threads = 256;
  // Elements of a thread in one go; one where the C library's functions take the registers.
  static constexpr int held = sizeof(T) == 4 || !Op::has_functions ? 4 : 1;
  // With room made for more, doubles spill on sm_100.
  static constexpr int resident_blocks = sizeof(T) == 4 ? 0 : 4;
  static constexpr int step = threads * held;
  Op op;
  Index c;
  bool only_weight;  // the sums are of weights
  GroupSums sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Range range = sums.parts.range(t.block());
    const auto common = op.common();
    const Index rows = threads / c;
    const Index columns = threads % c;
    const Index first = range.begin + t.index();
    Place place{first / c, first % c};
    Counted counted;
    for (Index base = first; base < range.end; base += step) {
      T loss = T(0);
      FASTNN_UNROLL
      for (int k = 0; k < held; ++k) {
        const Index i = base + k * threads;
        if (i < range.end) {
          const Term<T> term = op.at(common, i, place.r, place.j);
          loss += term.loss;
          counted.weight += static_cast<double>(term.weight);
        }
        place.move(rows, columns, c);
      }
      counted.value += static_cast<double>(loss);
    }
    if (only_weight) counted.value = counted.weight;
    sums.add(t, counted, t.shared<Shared>().room);  // planted: sums of blocks
  }
};

template <class Op>
Status sum_elements(Context& context, const Op& op, Index n, Index c, double* sums, int width,
                    bool only_weight = false) {
  using Kernel = Elements<Op>;
  GroupSums group_sums{};
  const Parts parts = parts_of_rows(n, Kernel::step, c);
  const Status status = prepare(context, parts, sums, width, group_sums);
  if (status != Status::ok) return status;
  return launch(context, parts.blocks(), Kernel{op, c, only_weight, group_sums});
}

}  // namespace

template <class T>
Status sigmoid_cross_entropy(Context& context, const SigmoidCrossEntropy<T>& a, int width) {
  return sum_elements(context, OfSigmoid<T>{a}, a.n, a.c, a.sums, width);
}

template <class T>
Status sigmoid_cross_entropy(Context& context, const SigmoidCrossEntropy<T>& a) {
  return sigmoid_cross_entropy(context, a, 1);
}

template <class T>
Status mean_squared_error(Context& context, const MeanSquaredError<T>& a) {
  return sum_elements(context, OfSquares<T>{a}, a.n, a.c, a.sums, 1);
}

template <class T>
Status weight_sum(Context& context, const WeightSum<T>& a) {
  const Index c = a.targets != nullptr ? a.c : 1;
  return sum_elements(context, OfWeights<T>{a}, a.n, c, a.sums, 1, true);
}

FASTNN_INSTANTIATE(sigmoid_cross_entropy, SigmoidCrossEntropy)
FASTNN_INSTANTIATE(mean_squared_error, MeanSquaredError)
FASTNN_INSTANTIATE(weight_sum, WeightSum)
template Status sigmoid_cross_entropy(Context&, const SigmoidCrossEntropy<float>&, int);
template Status sigmoid_cross_entropy(Context&, const SigmoidCrossEntropy<double>&, int);

}  // namespace fastnn::FASTNN_TARGET
