// Softmax, its cross-entropy, and their gradients.
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_walk.h"

namespace fastnn::FASTNN_TARGET {
namespace {

// Equal infinities share the mass, which is the limit.
template <class T>
FASTNN_DEVICE T below_top(T z, T top) {
  const T below = z - top;
  return z == top ? T(0) : below;
}

// -- what is done with a row ------------------------------------------------
//
// See row_walk.h for what each function does.

template <class T, bool logarithm>
struct Forward {
  using Element = T;
  static constexpr bool has_top = true, has_second = false, has_loss = false;
  Index n, c;
  const T* first;
  const T* second;
  T* out;

  struct Common {};
  struct Row {};
  struct Sums {
    T e = T(0);
  };
  struct Factors {
    T of_row;  // 1 / sum, or log(sum)
  };

  FASTNN_DEVICE Common common() const { return {}; }
  FASTNN_DEVICE Row row(Index, bool, const T*) const { return {}; }
  FASTNN_DEVICE T keep(const Common&, T x, T, T top, Sums& sums) const {
    const T below = below_top(x, top);
    const T e = exp_nonpositive(below);
    sums.e += e;
    return logarithm ? below : e;
  }
  template <class Team>
  FASTNN_DEVICE Factors finish(const Team& team, const Common&, const Row&, T, const Sums& sums,
                               Counted&) const {
    const T sum = team.sum(sums.e);
    return {logarithm ? log(sum) : T(1) / sum};
  }
  FASTNN_DEVICE T result(const Common&, const Row&, const Factors& factors, T kept, T,
                         Index) const {
    return logarithm ? kept - factors.of_row : kept * factors.of_row;
  }
};

template <class T, bool logarithm>
struct Backward {  // first is dy, second y
  using Element = T;
  static constexpr bool has_top = false, has_second = true, has_loss = false;
  Index n, c;
  const T* first;
  const T* second;
  T* out;

  struct Common {};
  struct Row {};
  struct Sums {
    T dot = T(0);  // of dy and y; with the logarithm the sum of dy
  };
  struct Factors {
    T dot;
  };

  FASTNN_DEVICE Common common() const { return {}; }
  FASTNN_DEVICE Row row(Index, bool, const T*) const { return {}; }
  FASTNN_DEVICE T keep(const Common&, T dy, T y, T, Sums& sums) const {
    sums.dot = logarithm ? sums.dot + dy : mul_add(y, dy, sums.dot);
    return dy;
  }
  template <class Team>
  FASTNN_DEVICE Factors finish(const Team& team, const Common&, const Row&, T, const Sums& sums,
                               Counted&) const {
    return {team.sum(sums.dot)};
  }
  FASTNN_DEVICE T result(const Common&, const Row&, const Factors& factors, T dy, T y,
                         Index) const {
    if constexpr (logarithm) return mul_add(-factors.dot, exp_nonpositive(y), dy);
    return y * (dy - factors.dot);
  }
};

template <class T, bool with_targets>
struct CrossEntropy {
  using Element = T;
  static constexpr bool has_top = true, has_second = with_targets, has_loss = true;
  Index n, c;
  const T* first;   // logits
  const T* second;  // targets
  T* out;           // may be null
  const int32_t* labels;
  const T* weights;
  T scale;
  T label_smoothing;

  // How targets are smoothed: share * target + rest.
  struct Common {
    T scale, share, rest;
  };
  struct Row {
    T weight;
    T own;  // the logit of the label
    Index label;
  };
  struct Sums {
    T e = T(0);       // exp(d), d = logits - top
    T below = T(0);   // d times the smoothed target; with labels d alone
    T target = T(0);  // not smoothed; with labels nothing
  };
  struct Factors {
    T of_e, of_target;
  };

  FASTNN_DEVICE Common common() const {
    return {scale, T(1) - label_smoothing, label_smoothing / static_cast<T>(c)};
  }

  // The label of a row that is left out may be anything.
  FASTNN_DEVICE Row row(Index r, bool there, const T* logits) const {
    Row row{T(0), T(0), -1};
    if (there) row.weight = weights != nullptr ? weights[r] : T(1);
    if constexpr (!with_targets) {
      if (row.weight != T(0)) {
        row.label = labels[r];
        row.own = logits[row.label];
      }
    }
    return row;
  }

  FASTNN_DEVICE T keep(const Common& s, T z, T target, T top, Sums& sums) const {
    const T below = below_top(z, top);
    const T e = exp_nonpositive(below);
    sums.e += e;
    if constexpr (with_targets) {
      sums.below += weigh(mul_add(s.share, target, s.rest), below);
      sums.target += target;
    } else {
      sums.below += below;
    }
    return e;
  }

  template <class Team>
  FASTNN_DEVICE Factors finish(const Team& team, const Common& s, const Row& row, T top,
                               const Sums& sums, Counted& counted) const {
    const T sum = team.sum(sums.e);
    const T log_sum = log(sum);
    const T factor = s.scale * row.weight;
    T of_targets = T(1);
    T loss;
    if constexpr (with_targets) {
      of_targets = mul_add(s.share, team.sum(sums.target), label_smoothing);
      loss = mul_add(of_targets, log_sum, -team.sum(sums.below));
    } else {
      loss = weigh(s.share, log_sum - below_top(row.own, top));
      if (s.rest != T(0)) {
        const T others = static_cast<T>(c) * log_sum - team.sum(sums.below);
        loss = mul_add(s.rest, others, loss);
      }
    }
    counted.value += static_cast<double>(weigh(row.weight, loss));
    counted.weight += static_cast<double>(row.weight);
    return {factor * of_targets / sum, factor};
  }

  FASTNN_DEVICE T result(const Common& s, const Row& row, const Factors& factors, T e, T target,
                         Index j) const {
    const T t = with_targets ? target : (j == row.label ? T(1) : T(0));
    const T gradient = mul_add(e, factors.of_e, -factors.of_target * mul_add(s.share, t, s.rest));
    return row.weight == T(0) ? T(0) : gradient;
  }
};

}  // namespace

template <class T>
Status softmax_forward(Context& context, const SoftmaxForward<T>& a) {
  if (a.logarithm) return walk_rows(context, Forward<T, true>{a.n, a.c, a.x, nullptr, a.y});
  return walk_rows(context, Forward<T, false>{a.n, a.c, a.x, nullptr, a.y});
}

template <class T>
Status softmax_backward(Context& context, const SoftmaxBackward<T>& a) {
  if (a.logarithm) return walk_rows(context, Backward<T, true>{a.n, a.c, a.dy, a.y, a.dx});
  return walk_rows(context, Backward<T, false>{a.n, a.c, a.dy, a.y, a.dx});
}

template <class T>
Status softmax_cross_entropy(Context& context, const LossRows<T>& a) {
  const auto run = [&](auto op) { return walk_rows(context, op, a.sums, 2); };
  const T smoothing = static_cast<T>(a.options[0]);
  if (a.labels != nullptr) {
    return run(CrossEntropy<T, false>{a.n, a.c, a.outputs, nullptr, a.gradient, a.labels, a.weights,
                                      a.scale, smoothing});
  }
  return run(CrossEntropy<T, true>{a.n, a.c, a.outputs, a.targets, a.gradient, nullptr, a.weights,
                                   a.scale, smoothing});
}

FASTNN_INSTANTIATE(softmax_forward, SoftmaxForward)
FASTNN_INSTANTIATE(softmax_backward, SoftmaxBackward)
FASTNN_INSTANTIATE(softmax_cross_entropy, LossRows)

}  // namespace fastnn::FASTNN_TARGET
