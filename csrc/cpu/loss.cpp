// Element losses with their gradients.
//
// Each task works on one group of rows (see row_groups), in blocks small enough to stay in the
// first cache: a pass for what is elementwise, which vectorises, then one for the sums.
#include "core/loss.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr Index block_elements = 512;

// A run of elements of the flattened (n, c), with what belongs to each.
template <class T>
struct Elements {
  T weight[block_elements];   // of the row
  T column[block_elements];   // the weight of the column, or the second output of the target
  T loss[block_elements];     // weighted
  T counted[block_elements];  // 0 where the target is missing, else 1
};

template <class T>
static void spread_weights(const T* weights, bool of_elements, Index c, Index first, Index count,
                           T* out) {
  if (weights == nullptr) {
    for (Index i = 0; i < count; ++i) out[i] = T(1);
    return;
  }
  if (c == 1 || of_elements) {
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

// f(i, at) for elements [first, first + count) of (n, c): `at` is the place of the first output of
// the target, of rows of 2 c outputs.
template <class F>
static FASTNN_INLINE void each_pair(Index c, Index first, Index count, const F& f) {
  Index row = first / c;
  Index column = first % c;
  for (Index i = 0; i < count; ++i) {
    f(i, row * 2 * c + column);
    if (++column == c) {
      column = 0;
      ++row;
    }
  }
}

// The loop is a function of its own because __restrict__ is believed for parameters, and not for
// what a lambda captures: results would be written to the stack first, and copied.
template <class Row, bool by_element, class T>
static void losses_of_block(Index n, const typename Row::template Common<T> common,
                            const T* __restrict__ outputs, const T* __restrict__ targets,
                            const Elements<T>& elements, T share, T scale, T* __restrict__ loss,
                            T* __restrict__ counted, T* __restrict__ gradient,
                            [[maybe_unused]] T* __restrict__ second) {
  for (Index i = 0; i < n; ++i) {
    // All is loaded before it is chosen, or the loop does not vectorise.
    const T target = targets[i];
    const T known = elements.weight[i] * share;
    const T weight = !by_element || target == target ? known : T(0);
    const auto one = Row::at(common, outputs[i], target, elements.column[i]);
    loss[i] = weigh(weight, one.loss);
    gradient[i] = weigh(weight * scale, one.gradient);
    if constexpr (Row::outputs_of_target == 2) second[i] = weigh(weight * scale, one.second);
    if constexpr (by_element) counted[i] = target == target ? T(1) : T(0);
  }
}

// The weight of rows [begin, end).
template <class T>
static double weight_of_rows(const LossRows<T>& a, Index begin, Index end) {
  double total = 0;
  if (a.weighs_elements) {
    for (Index i = begin * a.c; i < end * a.c; ++i) {
      total += static_cast<double>(a.targets[i] == a.targets[i] ? a.weights[i] : T(0));
    }
    return total;
  }
  for (Index r = begin; r < end; ++r) {
    Index present = 1;
    if (a.by_element) {
      const T* const t = a.targets + r * a.c;
      present = 0;
      for (Index j = 0; j < a.c; ++j) present += t[j] == t[j] ? 1 : 0;
    }
    total += static_cast<double>(a.weights[r]) * static_cast<double>(present);
  }
  return total;
}

// The losses and gradients of a block of elements, each with two outputs.
template <class Row, bool by_element, class T>
static void losses_of_pairs(const LossRows<T>& a, Index first, Index count,
                            const typename Row::template Common<T>& common, Elements<T>& elements,
                            T share) {
  T means[block_elements];
  T gradient[block_elements];
  T second[block_elements];
  each_pair(a.c, first, count, [&](Index i, Index at) {
    means[i] = a.outputs[at];
    elements.column[i] = a.outputs[at + a.c];
  });
  losses_of_block<Row, by_element>(count, common, means, a.targets + first, elements, share,
                                   a.scale, elements.loss, elements.counted, gradient, second);
  if (a.gradient == nullptr) return;
  each_pair(a.c, first, count, [&](Index i, Index at) {
    a.gradient[at] = gradient[i];
    a.gradient[at + a.c] = second[i];
  });
}

template <class Row, bool by_element, class T>
static void losses_of_group(const LossRows<T>& a, Index group, Index begin, Index end) {
  const typename Row::template Common<T> common(a.options);
  const T share = by_element ? T(1) : T(1) / static_cast<T>(a.c);
  Elements<T> elements;
  T unread[block_elements];
  double total = 0;
  double present = 0;
  for (Index first = begin * a.c; first < end * a.c; first += block_elements) {
    const Index count = least(block_elements, end * a.c - first);
    spread_weights(a.weights, a.weighs_elements, a.c, first, count, elements.weight);
    if constexpr (Row::outputs_of_target == 2) {
      losses_of_pairs<Row, by_element>(a, first, count, common, elements, share);
    } else {
      spread_columns(a.column_weights, a.c, first, count, elements.column);
      losses_of_block<Row, by_element>(count, common, a.outputs + first, a.targets + first,
                                       elements, share, a.scale, elements.loss, elements.counted,
                                       a.gradient != nullptr ? a.gradient + first : unread, unread);
    }
    total += static_cast<double>(sum_of(elements.loss, count));
    if constexpr (by_element) present += static_cast<double>(sum_of(elements.counted, count));
  }
  a.sums[2 * group] = total;
  a.sums[2 * group + 1] = a.weights != nullptr ? weight_of_rows(a, begin, end)
                          : by_element         ? present
                                               : static_cast<double>(end - begin);
}

template <class T>
Status element_loss(Context& context, const LossRows<T>& a) {
  with_element_loss(a.kind, [&](auto row) {
    using Row = decltype(row);
    constexpr Index cost = Row::has_functions ? 12 : 4;
    for_row_groups(context, a.n, a.c * cost, [&](Index group, Index begin, Index end, int) {
      if (a.by_element) {
        losses_of_group<Row, true>(a, group, begin, end);
      } else {
        losses_of_group<Row, false>(a, group, begin, end);
      }
    });
  });
  return Status::ok;
}

Status weight_factor(Context&, const WeightFactor& a) {
  const double weight = sum_of_groups(a.sums, a.n, 2, 1);
  *a.factor = weight > 0 ? a.expected / weight : 0;
  return Status::ok;
}

FASTNN_INSTANTIATE(element_loss, LossRows)

}  // namespace fastnn::FASTNN_TARGET
