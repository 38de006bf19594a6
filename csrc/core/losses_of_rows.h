// Losses of whole rows, in which the outputs of a row belong together. Their kernel is row_loss,
// which walks over the columns of a row several times. A row of the table has, beside what an
// element loss has,
//   Common<T>(options, c)   what all rows share; c is the number of outputs
//   key(common, z, t)       of this the largest in the row is found first, the top
//   sums                    how many numbers are then added up over the columns:
//   terms(common, top, z, t, column_weight, terms)          what a column adds to them
//   Numbers<T>(common, top, sums)                           what is known of the row from these
//   seconds, second_terms(common, numbers, z, t, column_weight, terms)
//                           sums that need Numbers, if there are any
//   loss(common, numbers, seconds)
//   gradient(common, numbers, seconds, z, t, column_weight)
// z is an output and t its target, which is 0 or 1 where a row has a label.
#pragma once

#include "core/loss_table.h"
#include "core/math.h"
#include "core/option.h"

namespace fastnn::FASTNN_TARGET {

struct RowLoss {
  static constexpr bool by_element = false;
  static constexpr bool column_weights = false;
  static constexpr int outputs_of_target = 1;
  static constexpr int seconds = 0;

  template <class T>
  struct Common {
    FASTNN_INLINE Common(const double*, T) {}
  };
};

// Softmax of a row, as far as its sums tell. Equal infinities share the mass, which is the limit.
template <class T>
struct Softmax {
  T top, over;  // the sum of exp(z - top), less 1
  T inverse, log_sum;

  static FASTNN_INLINE T below(T z, T top) { return z == top ? T(0) : z - top; }

  // Terms of `over`: what the largest logits contribute is counted apart, so that 1 - p of a p
  // close to 1 has all its digits.
  static FASTNN_INLINE void terms(T z, T top, T (&out)[2]) {
    out[0] = z == top ? T(0) : exp_nonpositive(z - top);
    out[1] = z == top ? T(1) : T(0);
  }

  FASTNN_INLINE Softmax(T largest, T others, T tops)
      : top(largest),
        over(others + (tops - T(1))),
        inverse(T(1) / (T(1) + over)),
        log_sum(log1p_nonnegative(over)) {}

  FASTNN_INLINE T probability(T z) const { return exp_nonpositive(below(z, top)) * inverse; }
  FASTNN_INLINE T log_probability(T z) const { return below(z, top) - log_sum; }
  FASTNN_INLINE T missed(T z, T p) const { return z == top ? over * inverse : T(1) - p; }
};

// Lin et al., arXiv:1708.02002, for classes that exclude each other, in Keras's form. With p =
// softmax(z) and the smoothed target y: sum(alpha (1 - p)^gamma (-y log p)). alpha may be another
// one for each class, the option times the weight of the output.
struct CategoricalFocalCrossentropy : RowLoss {
  static constexpr Targets targets = Targets::classes;
  static constexpr Head head = Head::softmax;
  static constexpr bool column_weights = true;
  static constexpr Option options[] = {
      {"alpha", 0.25, at_least_zero}, {"gamma", 2, at_least_zero}, {"label_smoothing", 0, unit}};
  static constexpr int sums = 2;
  static constexpr int seconds = 2;

  template <class T>
  struct Common {  // the smoothed target is share * target + rest
    T alpha, gamma, share, rest;
    FASTNN_INLINE Common(const double* values, T c)
        : alpha(static_cast<T>(values[0])),
          gamma(static_cast<T>(values[1])),
          share(T(1) - static_cast<T>(values[2])),
          rest(static_cast<T>(values[2]) / c) {}
  };
  template <class T>
  struct Numbers : Softmax<T> {
    FASTNN_INLINE Numbers(const Common<T>&, T largest, const T (&added)[2])
        : Softmax<T>(largest, added[0], added[1]) {}
  };

  // What a column contributes to the loss, and p times the derivative of that by p.
  template <class T>
  struct Column {
    T loss, slope;
    FASTNN_INLINE Column(const Common<T>& s, const Numbers<T>& row, T z, T t, T column_weight) {
      const T p = row.probability(z);
      const T missed = row.missed(z, p);
      const T log_p = row.log_probability(z);
      const T y = s.alpha * column_weight * mul_add(s.share, t, s.rest);
      // A gamma of 0 leaves out the logarithm of 0.
      const T factor = y * exp_nonpositive(weigh(s.gamma, log(missed)));
      // p log(p) / (1 - p), which goes to -1 as p goes to 1.
      const T ratio = missed == T(0) ? T(-1) : weigh(p, log_p) / missed;
      loss = weigh(-factor, log_p);
      slope = weigh(factor, weigh(s.gamma, ratio) - T(1));
    }
  };

  template <class T>
  static FASTNN_INLINE T key(const Common<T>&, T z, T) {
    return z;
  }
  template <class T>
  static FASTNN_INLINE void terms(const Common<T>&, T top, T z, T, T, T (&out)[2]) {
    Softmax<T>::terms(z, top, out);
  }
  template <class T>
  static FASTNN_INLINE void second_terms(const Common<T>& s, const Numbers<T>& row, T z, T t, T w,
                                         T (&out)[2]) {
    const Column<T> column(s, row, z, t, w);
    out[0] = column.loss;
    out[1] = column.slope;
  }
  template <class T>
  static FASTNN_INLINE T loss(const Common<T>&, const Numbers<T>&, const T (&second)[2]) {
    return second[0];
  }
  template <class T>
  static FASTNN_INLINE T gradient(const Common<T>& s, const Numbers<T>& row, const T (&second)[2],
                                  T z, T t, T w) {
    return Column<T>(s, row, z, t, w).slope - weigh(row.probability(z), second[1]);
  }
};

// Kullback and Leibler, 1951: sum(t log(t / p)) with p = softmax(z). A target of 0 contributes
// nothing.
struct KlDivergence : RowLoss {
  static constexpr Targets targets = Targets::classes;
  static constexpr Head head = Head::softmax;
  static constexpr int sums = 4;

  template <class T>
  struct Numbers : Softmax<T> {
    T target, rest;  // the sums of t and of t (log(t) - (z - top))
    FASTNN_INLINE Numbers(const Common<T>&, T largest, const T (&added)[4])
        : Softmax<T>(largest, added[0], added[1]), target(added[2]), rest(added[3]) {}
  };

  template <class T>
  static FASTNN_INLINE T key(const Common<T>&, T z, T) {
    return z;
  }
  template <class T>
  static FASTNN_INLINE void terms(const Common<T>&, T top, T z, T t, T, T (&out)[4]) {
    T of_softmax[2];
    Softmax<T>::terms(z, top, of_softmax);
    out[0] = of_softmax[0];
    out[1] = of_softmax[1];
    out[2] = t;
    out[3] = weigh(t, log(t) - Softmax<T>::below(z, top));
  }
  template <class T>
  static FASTNN_INLINE T loss(const Common<T>&, const Numbers<T>& row, const T (&)[1]) {
    return mul_add(row.target, row.log_sum, row.rest);
  }
  template <class T>
  static FASTNN_INLINE T gradient(const Common<T>&, const Numbers<T>& row, const T (&)[1], T z, T t,
                                  T) {
    return mul_add(row.target, row.probability(z), -t);
  }
};

// max(0, 1 + max((1 - t) z) - sum(t z)), Keras's form. Outputs that are equally the largest share
// the gradient.
struct CategoricalHinge : RowLoss {
  static constexpr Targets targets = Targets::classes;
  static constexpr Head head = Head::none;
  static constexpr int sums = 3;

  template <class T>
  struct Numbers {
    T top, margin, share;
    FASTNN_INLINE Numbers(const Common<T>&, T largest, const T (&added)[3])
        : top(largest), margin(T(1) + largest - added[0] + added[2]), share(T(1) / added[1]) {}
  };

  template <class T>
  static FASTNN_INLINE T key(const Common<T>&, T z, T t) {
    return weigh(T(1) - t, z);
  }
  template <class T>
  static FASTNN_INLINE void terms(const Common<T>& s, T top, T z, T t, T, T (&out)[3]) {
    out[0] = weigh(t, z);
    out[1] = key(s, z, t) == top ? T(1) : T(0);
    out[2] = z == z ? T(0) : z;
  }
  template <class T>
  static FASTNN_INLINE T loss(const Common<T>&, const Numbers<T>& row, const T (&)[1]) {
    return row.margin <= T(0) ? T(0) : row.margin;
  }
  template <class T>
  static FASTNN_INLINE T gradient(const Common<T>& s, const Numbers<T>& row, const T (&)[1], T z,
                                  T t, T) {
    const T of_top = key(s, z, t) == row.top ? row.share * (T(1) - t) : T(0);
    const T inside = row.margin == row.margin ? of_top - t : row.margin;
    return row.margin <= T(0) ? T(0) : inside;
  }
};

// -sum(t z) / (|t| |z|), Keras's sign: -1 where both point the same way. Norms below 1e-7 count as
// 1e-7. Outputs are divided by the largest, lest their squares overflow or vanish.
struct CosineSimilarity : RowLoss {
  static constexpr Targets targets = Targets::numbers;
  static constexpr Head head = Head::none;
  static constexpr int sums = 3;

  template <class T>
  struct Numbers {
    T of_target, of_output, cosine;  // inverses of the norms
    bool fixed;                      // the norm of the outputs counts as 1e-7
    FASTNN_INLINE Numbers(const Common<T>&, T top, const T (&added)[3]) {
      constexpr T least = T(1e-7);
      const T scale = scale_of(top);
      const T norm = sqrt(added[1]) * scale;
      const T norm_of_target = sqrt(added[0]);
      fixed = norm < least;
      of_output = T(1) / (fixed ? least : norm);
      of_target = T(1) / (norm_of_target < least ? least : norm_of_target);
      cosine = added[2] * of_target * (scale * of_output);
    }
  };

  template <class T>
  static FASTNN_INLINE T scale_of(T top) {
    return top > T(0) ? top : T(1);
  }
  template <class T>
  static FASTNN_INLINE T key(const Common<T>&, T z, T) {
    return abs(z);
  }
  template <class T>
  static FASTNN_INLINE void terms(const Common<T>&, T top, T z, T t, T, T (&out)[3]) {
    const T scaled = z / scale_of(top);
    out[0] = t * t;
    out[1] = scaled * scaled;
    out[2] = t * scaled;
  }
  template <class T>
  static FASTNN_INLINE T loss(const Common<T>&, const Numbers<T>& row, const T (&)[1]) {
    return -row.cosine;
  }
  template <class T>
  static FASTNN_INLINE T gradient(const Common<T>&, const Numbers<T>& row, const T (&)[1], T z, T t,
                                  T) {
    const T along = row.fixed ? T(0) : row.cosine * (z * row.of_output);
    return (along - t * row.of_target) * row.of_output;
  }
};

}  // namespace fastnn::FASTNN_TARGET
