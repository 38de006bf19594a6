// Elementwise losses with their gradients, and what losses divide by.
//
// Each works on one group of rows at a time (see row_groups), in blocks small
// enough to stay in the first cache: a pass for what is elementwise, which
// vectorises, then one for the sums.
#include "core/loss.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr Index block_elements = 512;

// A run of elements of the flattened (n, c), with what belongs to each.
template <class T>
struct Elements {
  T weight[block_elements];    // 0 where left out
  T positive[block_elements];  // of the positive term
  T loss[block_elements];
};

template <class T>
static void spread_weights(const T* weights, Index c, Index first, Index count, T* out) {
  if (weights == nullptr) {
    for (Index i = 0; i < count; ++i) out[i] = T(1);
    return;
  }
  if (c == 1) {
    for (Index i = 0; i < count; ++i) out[i] = weights[first + i];
    return;
  }
  Index row = first / c;
  for (Index i = 0; i < count; ++row) {
    const T weight = weights[row];
    const Index end = least((row + 1) * c - first, count);
    for (; i < end; ++i) out[i] = weight;
  }
}

template <class T>
static void spread_columns(const T* columns, Index c, Index first, Index count, T* out) {
  if (columns == nullptr) {
    for (Index i = 0; i < count; ++i) out[i] = T(1);
    return;
  }
  Index column = first % c;
  for (Index i = 0; i < count; ++i) {
    out[i] = columns[column];
    if (++column == c) column = 0;
  }
}

// f(elements, first, count) for each block of the group's elements; it fills
// elements.loss with weighted losses, which go into sums[group].
template <class T, class F>
static void for_elements(Context& context, Index n, Index c, Index cost, double* sums, const F& f) {
  for_row_groups(context, n, c * cost, [&](Index group, Index begin, Index end, int) {
    Elements<T> elements;
    double total = 0;
    for (Index first = begin * c; first < end * c; first += block_elements) {
      const Index count = least(block_elements, end * c - first);
      f(elements, first, count);
      total += static_cast<double>(sum_of(elements.loss, count));
    }
    sums[group] = total;
  });
}

// The loops are functions of their own because __restrict__ is believed for
// parameters, and not for what a lambda captures: their results would be written to
// the stack first, and copied.

template <class T>
static void sigmoid_cross_entropies(Index n, const T* __restrict__ logits,
                                    const T* __restrict__ targets, const Elements<T>& elements,
                                    T label_smoothing, T scale, T* __restrict__ loss,
                                    T* __restrict__ gradient) {
  const T share = T(1) - label_smoothing;
  const T rest = label_smoothing / T(2);
  for (Index i = 0; i < n; ++i) {
    // All is loaded before it is chosen, or the loop does not vectorise.
    const T t = targets[i];
    const T known = elements.weight[i];
    const T smooth = mul_add(share, t, rest);
    const T weight = t == t ? known : T(0);
    const T y = t == t ? smooth : T(0);
    const auto one = sigmoid_cross_entropy(logits[i], y, elements.positive[i]);
    loss[i] = weigh(weight, one.loss);
    gradient[i] = weigh(weight * scale, one.gradient);
  }
}

template <class T>
Status sigmoid_cross_entropy(Context& context, const SigmoidCrossEntropy<T>& a) {
  const T scale = loss_scale(a.weight_sums, a.n, a.scale);
  for_elements<T>(context, a.n, a.c, 12, a.sums,
                  [&](Elements<T>& elements, Index first, Index count) {
                    spread_weights(a.weights, a.c, first, count, elements.weight);
                    spread_columns(a.pos_weight, a.c, first, count, elements.positive);
                    T unread[block_elements];
                    sigmoid_cross_entropies(count, a.logits + first, a.targets + first, elements,
                                            a.label_smoothing, scale, elements.loss,
                                            a.dlogits != nullptr ? a.dlogits + first : unread);
                  });
  return Status::ok;
}

template <class T>
static void squared_errors(Index n, const T* __restrict__ pred, const T* __restrict__ targets,
                           const T* __restrict__ weights, T share, T scale, T* __restrict__ loss,
                           T* __restrict__ gradient) {
  for (Index i = 0; i < n; ++i) {
    const T difference = pred[i] - targets[i];
    const T weight = weights[i] * share;
    loss[i] = weigh(weight, difference * difference);
    gradient[i] = weigh(T(2) * scale * weight, difference);
  }
}

template <class T>
Status mean_squared_error(Context& context, const MeanSquaredError<T>& a) {
  const T share = T(1) / static_cast<T>(a.c);
  const T scale = loss_scale(a.weight_sums, a.n, a.scale);
  for_elements<T>(
      context, a.n, a.c, 4, a.sums, [&](Elements<T>& elements, Index first, Index count) {
        spread_weights(a.weights, a.c, first, count, elements.weight);
        T unread[block_elements];
        squared_errors(count, a.pred + first, a.targets + first, elements.weight, share, scale,
                       elements.loss, a.dpred != nullptr ? a.dpred + first : unread);
      });
  return Status::ok;
}

template <class T>
Status weight_sum(Context& context, const WeightSum<T>& a) {
  for_row_groups(context, a.n, a.targets != nullptr ? a.c : 1,
                 [&](Index group, Index begin, Index end, int) {
                   double total = 0;
                   for (Index r = begin; r < end; ++r) {
                     Index present = 1;
                     if (a.targets != nullptr) {
                       const T* const t = a.targets + r * a.c;
                       present = 0;
                       for (Index j = 0; j < a.c; ++j) present += t[j] == t[j] ? 1 : 0;
                     }
                     const T weight = a.weights != nullptr ? a.weights[r] : T(1);
                     total += static_cast<double>(weight) * static_cast<double>(present);
                   }
                   a.sums[group] = total;
                 });
  return Status::ok;
}

FASTNN_INSTANTIATE(sigmoid_cross_entropy, SigmoidCrossEntropy)
FASTNN_INSTANTIATE(mean_squared_error, MeanSquaredError)
FASTNN_INSTANTIATE(weight_sum, WeightSum)

}  // namespace fastnn::FASTNN_TARGET
