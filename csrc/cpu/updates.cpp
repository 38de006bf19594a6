// Kernels of the update stage besides the steps of optimizers: sums of gradients, penalties and
// constraints.
#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
Status weighted_sum(Context& context, const WeightedSum<T>& a) {
  const T scale = a.factor != nullptr ? static_cast<T>(a.scale * *a.factor) : a.scale;
  for_ranges(context, a.n, 2, [&](Index begin, Index end) {
    const T* const x = a.x;
    T* const y = a.y;
    if (a.keep == T(0)) {
      FASTNN_INDEPENDENT
      for (Index i = begin; i < end; ++i) y[i] = scale * x[i];
      return;
    }
    FASTNN_INDEPENDENT
    for (Index i = begin; i < end; ++i) y[i] = mul_add(scale, x[i], a.keep * y[i]);
  });
  return Status::ok;
}

template <class T>
Status penalty(Context& context, const Penalty<T>& a) {
  for_row_groups(context, a.n, 2, [&](Index group, Index begin, Index end, int) {
    constexpr Index at_once = 512;
    double terms[at_once];
    double total = 0;
    for (Index first = begin; first < end; first += at_once) {
      const Index n = least(at_once, end - first);
      for (Index i = 0; i < n; ++i) {
        const auto x = static_cast<double>(a.x[first + i]);
        terms[i] = mul_add(a.l2 * x, x, a.l1 * abs(x));
      }
      total += sum_of(terms, n);
    }
    a.sums[group] = total;
  });
  return Status::ok;
}

// Norms of vectors [begin, end), and the vectors scaled, some side by side.
template <class T>
static void constrain_norms(const Constrain<T>& a, Index begin, Index end) {
  constexpr Index at_once = 64;
  double squares[at_once];
  T factors[at_once];
  for (Index first = begin; first < end; first += at_once) {
    const Index n = least(at_once, end - first);
    T* const x = a.x + first * a.step;
    for (Index j = 0; j < n; ++j) squares[j] = 0;
    for (Index k = 0; k < a.length; ++k) {
      for (Index j = 0; j < n; ++j) {
        const auto value = static_cast<double>(x[k * a.stride + j * a.step]);
        squares[j] = mul_add(value, value, squares[j]);
      }
    }
    for (Index j = 0; j < n; ++j) {
      factors[j] = static_cast<T>(factor_within(sqrt(squares[j]), a.low, a.high, a.rate));
    }
    for (Index k = 0; k < a.length; ++k) {
      for (Index j = 0; j < n; ++j) x[k * a.stride + j * a.step] *= factors[j];
    }
  }
}

template <class T>
Status constrain(Context& context, const Constrain<T>& a) {
  if (a.kind == ConstraintKind::norm) {
    for_ranges(context, a.count, 2 * a.length,
               [&](Index begin, Index end) { constrain_norms(a, begin, end); });
    return Status::ok;
  }
  for_ranges(context, a.count * a.length, 1, [&](Index begin, Index end) {
    T* const x = a.x;
    FASTNN_INDEPENDENT
    for (Index i = begin; i < end; ++i) x[i] = x[i] < T(0) ? T(0) : x[i];
  });
  return Status::ok;
}

Status trust_ratio(Context&, const TrustRatio& a) {
  double weights = 0;
  double moves = 0;
  for (Index i = 0; i < a.count; ++i) {
    weights += a.weights[i];
    moves += a.moves[i];
  }
  *a.factor = ratio_of_norms(sqrt(weights), sqrt(moves));
  return Status::ok;
}

FASTNN_INSTANTIATE(weighted_sum, WeightedSum)
FASTNN_INSTANTIATE(penalty, Penalty)
FASTNN_INSTANTIATE(constrain, Constrain)

}  // namespace fastnn::FASTNN_TARGET
