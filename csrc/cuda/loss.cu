// Element losses with their gradients.
#include "core/loss.h"

#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_sums.h"

namespace fastnn::FASTNN_TARGET {
namespace {

template <class T>
struct Term {
  T loss, weight;
};

// The loss of element i, which is column j of row r, and its weight; writes the gradient.
template <class Row, bool by_element, class T>
struct ElementLoss {
  using Element = T;
  static constexpr bool has_functions = Row::has_functions;
  LossRows<T> a;
  struct Common {
    typename Row::template Common<T> row;
    T share;
  };

  FASTNN_DEVICE Common common() const {
    return {typename Row::template Common<T>(a.options),
            by_element ? T(1) : T(1) / static_cast<T>(a.c)};
  }
  FASTNN_DEVICE Term<T> at(const Common& s, Index i, Index r, Index j) const {
    const T target = a.targets[i];
    const T row_weight = a.weights != nullptr ? a.weights[a.weighs_elements ? i : r] : T(1);
    const T known = !by_element || target == target ? row_weight : T(0);
    const T weight = known * s.share;
    const auto one = loss_at(s.row, i, r, j, target);
    if constexpr (Row::outputs_of_target == 2) {
      const Index first = r * 2 * a.c + j;
      if (a.gradient != nullptr) {
        a.gradient[first] = weigh(weight * a.scale, one.gradient);
        a.gradient[first + a.c] = weigh(weight * a.scale, one.second);
      }
    } else {
      if (a.gradient != nullptr) a.gradient[i] = weigh(weight * a.scale, one.gradient);
    }
    // A row counts once, at its first element.
    const T counted = by_element || j == 0 ? known : T(0);
    return {weigh(weight, one.loss), counted};
  }

 private:
  FASTNN_DEVICE auto loss_at(const typename Row::template Common<T>& row, Index i, Index r, Index j,
                             T target) const {
    if constexpr (Row::outputs_of_target == 2) {
      const Index first = r * 2 * a.c + j;
      return Row::at(row, a.outputs[first], target, a.outputs[first + a.c]);
    } else {
      const T column = a.column_weights != nullptr ? a.column_weights[j] : T(1);
      return Row::at(row, a.outputs[i], target, column);
    }
  }
};

// Which element a thread is at, as row and column: a division for the first, then none.
struct ElementIndex {
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
    ElementIndex place{first / c, first % c};
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
    sums.add(t, counted, t.shared<Shared>().room);  // planted: sums of blocks
  }
};

template <class Op, class T>
Status sum_elements(Context& context, const Op& op, const LossRows<T>& a) {
  using Kernel = Elements<Op>;
  GroupSums group_sums{};
  const Parts parts = parts_of_rows(a.n, Kernel::step, a.c);
  const Status status = prepare(context, parts, a.sums, 2, group_sums);
  if (status != Status::ok) return status;
  return launch(context, parts.blocks(), Kernel{op, a.c, group_sums});
}

struct FindWeightFactor {
  static constexpr int threads = 32;
  WeightFactor a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    if (t.index() != 0) return;
    const double weight = sum_of_groups(a.sums, a.n, 2, 1);
    *a.factor = weight > 0 ? a.expected / weight : 0;
  }
};

}  // namespace

template <class T>
Status element_loss(Context& context, const LossRows<T>& a) {
  return with_element_loss(a.kind, [&](auto row) {
    using Row = decltype(row);
    if (a.by_element) return sum_elements(context, ElementLoss<Row, true, T>{a}, a);
    return sum_elements(context, ElementLoss<Row, false, T>{a}, a);
  });
}

Status weight_factor(Context& context, const WeightFactor& a) {
  return launch(context, 1, FindWeightFactor{a});
}

FASTNN_INSTANTIATE(element_loss, LossRows)

}  // namespace fastnn::FASTNN_TARGET
