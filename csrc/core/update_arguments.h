// Arguments of the kernels of the update stage (updates.h): steps of optimizers, norms of
// gradients, what gradients of several batches add up to, penalties and constraints.
#pragma once

#include <stdint.h>

#include "core/arrays.h"
#include "core/optimizer.h"
#include "core/target.h"

namespace fastnn {

// What the update stage does to an element besides the row's step, in this order:
//   g = factor g + penalty_factor (2 l2 p + l1 sign(p));  g = norm_factor g;
//   g cut to [-clip, clip];
//   the step;  average = average_momentum average + (1 - average_momentum) p
template <class T>
struct UpdateExtras {
  const double* factor = nullptr;          // null: 1
  const double* penalty_factor = nullptr;  // null: 1
  const double* norm_factor = nullptr;     // null: 1
  T l1 = T(0), l2 = T(0);
  T clip = T(0);  // 0: none
  T average_momentum = T(0);

  // Whether gradients change before the step. Averages have a slot of their own.
  constexpr FASTNN_INLINE bool shape_gradients() const {
    return factor != nullptr || norm_factor != nullptr || l1 != T(0) || l2 != T(0) || clip != T(0);
  }
};

template <class T>
struct OptimizerStep {
  OptimizerKind kind;
  Index n;
  T* param;
  const T* grad;
  T* slots[max_slots];  // of the row, null where it keeps nothing; then the average, or null
  OptimizerSettings settings;
  uint64_t step;  // from 1
  // The gradient is the sum of so many arrays in order, `piece_stride` apart.
  Index pieces = 1;
  Index piece_stride = 0;
  int group = 0;  // whose rates a recorded step takes
  UpdateExtras<T> extras = {};
};

// Squares of the gradients that an update would take, before norm_factor, summed by row group with
// elements as rows; sums of groups beyond the last stay as they are.
template <class T>
struct SumOfSquares {
  Index n;
  const T* grad;
  const T* param;
  UpdateExtras<T> extras;
  double* sums;  // (max_groups)
};

struct NormFactor {    // factor = limit / norm where the norm is above the limit, else 1
  Index count;         // of sums of squares
  const double* sums;  // (count)
  double limit;
  double* factor;
};

struct TrustRatio {  // factor = norm of weights / norm of moves; 1 where one of them is 0
  Index count;       // of sums of squares
  const double* weights;
  const double* moves;
  double* factor;
};

// y = keep y + scale factor x; with keep 0 whatever y was.
template <class T>
struct WeightedSum {
  Index n;
  T keep, scale;
  const double* factor;  // null: 1
  const T* x;
  T* y;
};

// What penalties add to a loss, l1 sum(abs(x)) + l2 sum(x^2), summed by row group with elements as
// rows; sums of groups beyond the last stay as they are.
template <class T>
struct Penalty {
  Index n;
  double l1, l2;
  const T* x;
  double* sums;  // (max_groups)
};

// What the weights of a parameter have to fulfil after each update.
enum class ConstraintKind : unsigned char { none, not_negative, norm };

// not_negative: x becomes 0 where it is below. norm: each of `count` vectors, of `length` elements
// that are `stride` apart and the first of which are `step` apart, is multiplied by
// (rate clip(norm, low, high) + (1 - rate) norm) / (norm + 1e-7), as in Keras.
template <class T>
struct Constrain {
  ConstraintKind kind;
  Index count, length, step, stride;
  double low, high, rate;
  T* x;
};

}  // namespace fastnn
