// Losses with their gradients, and what they divide by.
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

// -- softmax cross-entropy --------------------------------------------------

// What the rows of a block have in common with their gradient: d = logits - max,
// log of the sum of exp(d).
template <class T>
struct SoftmaxRow {
  const T* logits;
  T top, log_sum;
  Index c;

  // Equal infinities share the mass, which is the limit.
  FASTNN_INLINE T below_top(Index j) const { return logits[j] == top ? T(0) : logits[j] - top; }
  FASTNN_INLINE T minus_log_p(Index j) const { return log_sum - below_top(j); }
};

template <class T>
static T softmax_row_loss(const SoftmaxCrossEntropy<T>& a, const SoftmaxRow<T>& row, Index r) {
  const T rest = a.label_smoothing / static_cast<T>(a.c);
  const T share = T(1) - a.label_smoothing;
  T loss = T(0);
  if (a.labels != nullptr) {
    loss = share * row.minus_log_p(a.labels[r]);
    if (rest != T(0)) {
      for (Index j = 0; j < a.c; ++j) loss = mul_add(rest, row.minus_log_p(j), loss);
    }
  } else {
    const T* const t = a.targets + r * a.c;
    for (Index j = 0; j < a.c; ++j) {
      loss += weigh(mul_add(share, t[j], rest), row.minus_log_p(j));
    }
  }
  return loss;
}

// In: e = exp_nonpositive(d); out: scale * weight * (p * sum of targets - targets).
template <class T>
static void softmax_row_gradient(const SoftmaxCrossEntropy<T>& a, Index r, T weight, T sum, T* e) {
  const T rest = a.label_smoothing / static_cast<T>(a.c);
  const T share = T(1) - a.label_smoothing;
  const T factor = a.scale * weight;
  if (a.labels != nullptr) {
    const T inverse = factor / sum;
    for (Index j = 0; j < a.c; ++j) e[j] = mul_add(e[j], inverse, -factor * rest);
    e[a.labels[r]] -= factor * share;
  } else {
    const T* const t = a.targets + r * a.c;
    T total = T(0);
    for (Index j = 0; j < a.c; ++j) total += t[j];
    const T inverse = factor * mul_add(share, total, a.label_smoothing) / sum;
    for (Index j = 0; j < a.c; ++j) {
      e[j] = mul_add(e[j], inverse, -factor * mul_add(share, t[j], rest));
    }
  }
}

template <class T>
static double softmax_block(const SoftmaxCrossEntropy<T>& a, Index begin, Index end, T* e) {
  T top[block_elements];
  T sum[block_elements];
  for (Index r = begin; r < end; ++r) {
    const T* const z = a.logits + r * a.c;
    T* const d = e + (r - begin) * a.c;
    const T highest = max_of(z, a.c);
    top[r - begin] = highest;
    for (Index j = 0; j < a.c; ++j) d[j] = z[j] == highest ? T(0) : z[j] - highest;
  }
  for (Index i = 0; i < (end - begin) * a.c; ++i) e[i] = exp_nonpositive(e[i]);
  for (Index r = begin; r < end; ++r) sum[r - begin] = sum_of(e + (r - begin) * a.c, a.c);
  double total = 0;
  for (Index r = begin; r < end; ++r) {
    const T weight = a.weights != nullptr ? a.weights[r] : T(1);
    T* const row_e = e + (r - begin) * a.c;
    if (weight == T(0)) {
      for (Index j = 0; j < a.c; ++j) row_e[j] = T(0);
      continue;
    }
    const SoftmaxRow<T> row{a.logits + r * a.c, top[r - begin], log(sum[r - begin]), a.c};
    total += static_cast<double>(weight) * static_cast<double>(softmax_row_loss(a, row, r));
    if (a.dlogits != nullptr) softmax_row_gradient(a, r, weight, sum[r - begin], row_e);
  }
  return total;
}

// A few classes: the rows of a block lie in the lanes of vectors, class by class,
// so that everything but the way in and out vectorises over rows.
inline constexpr Index few_classes = 16;
inline constexpr Index abreast = 16;  // rows

template <class T>
struct AbreastRows {
  T below[few_classes][abreast];  // logits - the row's greatest, then its exponential
  T top[abreast], sum[abreast], log_sum[abreast], factor[abreast], below_sum[abreast];
};

template <class T>
static void softmax_abreast(Index c, AbreastRows<T>& s) {
  for (Index r = 0; r < abreast; ++r) s.top[r] = s.below[0][r];
  for (Index j = 1; j < c; ++j) {
    for (Index r = 0; r < abreast; ++r) s.top[r] = larger(s.below[j][r], s.top[r]);
  }
  for (Index r = 0; r < abreast; ++r) s.sum[r] = s.below_sum[r] = T(0);
  for (Index j = 0; j < c; ++j) {
    for (Index r = 0; r < abreast; ++r) {
      const T z = s.below[j][r];
      // Equal infinities share the mass, which is the limit.
      const T below = z == s.top[r] ? T(0) : z - s.top[r];
      s.below[j][r] = exp_nonpositive(below);
      s.below_sum[r] += below;
      s.sum[r] += s.below[j][r];
    }
  }
  for (Index r = 0; r < abreast; ++r) s.log_sum[r] = log(s.sum[r]);
}

template <class T>
static double softmax_few(const SoftmaxCrossEntropy<T>& a, Index begin, Index n) {
  AbreastRows<T> s;
  const T* const z = a.logits + begin * a.c;
  for (Index r = 0; r < abreast; ++r) {
    for (Index j = 0; j < a.c; ++j) s.below[j][r] = r < n ? z[r * a.c + j] : T(0);
  }
  softmax_abreast(a.c, s);
  const T rest = a.label_smoothing / static_cast<T>(a.c);
  const T share = T(1) - a.label_smoothing;
  double total = 0;
  for (Index r = 0; r < n; ++r) {
    const T weight = a.weights != nullptr ? a.weights[begin + r] : T(1);
    s.factor[r] = a.scale * weight;
    if (weight == T(0)) continue;
    const SoftmaxRow<T> row{z + r * a.c, s.top[r], s.log_sum[r], a.c};
    T loss = share * row.minus_log_p(a.labels[begin + r]);
    // The sum over classes of -log p.
    if (rest != T(0)) {
      loss = mul_add(rest, static_cast<T>(a.c) * s.log_sum[r] - s.below_sum[r], loss);
    }
    total += static_cast<double>(weight) * static_cast<double>(loss);
  }
  if (a.dlogits == nullptr) return total;
  for (Index r = n; r < abreast; ++r) s.factor[r] = T(0);
  for (Index r = 0; r < abreast; ++r) s.sum[r] = s.factor[r] / s.sum[r];
  for (Index j = 0; j < a.c; ++j) {
    for (Index r = 0; r < abreast; ++r) {
      const T gradient = mul_add(s.below[j][r], s.sum[r], -s.factor[r] * rest);
      s.below[j][r] = s.factor[r] == T(0) ? T(0) : gradient;
    }
  }
  T* const out = a.dlogits + begin * a.c;
  for (Index r = 0; r < n; ++r) {
    for (Index j = 0; j < a.c; ++j) out[r * a.c + j] = s.below[j][r];
    out[r * a.c + a.labels[begin + r]] -= s.factor[r] * share;
  }
  return total;
}

template <class T>
Status softmax_cross_entropy(Context& context, const SoftmaxCrossEntropy<T>& a) {
  const Index rows = most(block_elements / most(a.c, 1), 1);
  bool out_of_memory = false;
  for_row_groups(context, a.n, a.c * 8, [&](Index group, Index begin, Index end, int worker) {
    T* work = nullptr;
    if (a.labels != nullptr && a.c <= few_classes) {
      double total = 0;
      for (Index r = begin; r < end; r += abreast) {
        total += softmax_few(a, r, least(abreast, end - r));
      }
      a.sums[group] = total;
      return;
    }
    if (a.dlogits == nullptr) {
      const Index elements = most(rows * a.c, block_elements);
      work = static_cast<T*>(context.scratch(worker, static_cast<size_t>(elements) * sizeof(T)));
      if (work == nullptr) {
        __atomic_store_n(&out_of_memory, true, __ATOMIC_RELAXED);
        return;
      }
    }
    double total = 0;
    for (Index r = begin; r < end; r += rows) {
      total += softmax_block(a, r, least(r + rows, end),
                             a.dlogits != nullptr ? a.dlogits + r * a.c : work);
    }
    a.sums[group] = total;
  });
  return out_of_memory ? Status::out_of_memory : Status::ok;
}

// -- elementwise losses -----------------------------------------------------

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
  Index row = first / c;
  Index column = first % c;
  for (Index i = 0; i < count; ++i) {
    out[i] = weights[row];
    if (++column == c) {
      column = 0;
      ++row;
    }
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

template <class T>
Status sigmoid_cross_entropy(Context& context, const SigmoidCrossEntropy<T>& a) {
  const T share = T(1) - a.label_smoothing;
  const T rest = a.label_smoothing / T(2);
  for_elements<T>(context, a.n, a.c, 12, a.sums,
                  [&](Elements<T>& elements, Index first, Index count) {
                    spread_weights(a.weights, a.c, first, count, elements.weight);
                    spread_columns(a.pos_weight, a.c, first, count, elements.positive);
                    const T* __restrict__ const logits = a.logits + first;
                    const T* __restrict__ const targets = a.targets + first;
                    T gradient[block_elements];
                    for (Index i = 0; i < count; ++i) {
                      // All is loaded before it is chosen, or the loop does not vectorise.
                      const T t = targets[i];
                      const T known = elements.weight[i];
                      const T smooth = mul_add(share, t, rest);
                      const T weight = t == t ? known : T(0);
                      const T y = t == t ? smooth : T(0);
                      const auto one = sigmoid_cross_entropy(logits[i], y, elements.positive[i]);
                      elements.loss[i] = weigh(weight, one.loss);
                      gradient[i] = weigh(weight * a.scale, one.gradient);
                    }
                    if (a.dlogits != nullptr) {
                      for (Index i = 0; i < count; ++i) a.dlogits[first + i] = gradient[i];
                    }
                  });
  return Status::ok;
}

template <class T>
Status mean_squared_error(Context& context, const MeanSquaredError<T>& a) {
  const T share = T(1) / static_cast<T>(a.c);
  for_elements<T>(context, a.n, a.c, 4, a.sums,
                  [&](Elements<T>& elements, Index first, Index count) {
                    spread_weights(a.weights, a.c, first, count, elements.weight);
                    const T* const pred = a.pred + first;
                    const T* const targets = a.targets + first;
                    T gradient[block_elements];
                    for (Index i = 0; i < count; ++i) {
                      const T difference = pred[i] - targets[i];
                      const T weight = elements.weight[i] * share;
                      elements.loss[i] = weigh(weight, difference * difference);
                      gradient[i] = weigh(T(2) * a.scale * weight, difference);
                    }
                    if (a.dpred != nullptr) {
                      for (Index i = 0; i < count; ++i) a.dpred[first + i] = gradient[i];
                    }
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

FASTNN_INSTANTIATE(softmax_cross_entropy, SoftmaxCrossEntropy)
FASTNN_INSTANTIATE(sigmoid_cross_entropy, SigmoidCrossEntropy)
FASTNN_INSTANTIATE(mean_squared_error, MeanSquaredError)
FASTNN_INSTANTIATE(weight_sum, WeightSum)

}  // namespace fastnn::FASTNN_TARGET
