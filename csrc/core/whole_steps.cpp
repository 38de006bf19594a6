#include "core/whole_steps.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace fastnn {

using portable::Muon;

template <class T>
WholeSteps<T>::WholeSteps(const Machine& machine, Memory& memory,
                          std::span<const WholeShape> shapes)
    : machine_(machine), kernels_(kernels<T>(*machine.table)) {
  Index largest = 0;
  Index matrix = 0;
  Index side = 0;
  for (const WholeShape& shape : shapes) {
    largest = std::max(largest, shape.size());
    if (!shape.orthogonal) continue;
    matrix = std::max(matrix, shape.size());
    side = std::max(side, std::min(shape.rows, shape.columns));
  }
  direction_ = memory.take<T>(largest);
  squares_ = memory.take<double>(2 * max_groups);
  factor_ = memory.take<double>(1);
  if (matrix == 0) return;
  product_ = memory.take<T>(matrix);
  gram_ = memory.take<T>(side * side);
  square_ = memory.take<T>(side * side);
}

template <class T>
void WholeSteps<T>::step(OptimizerStep<T> one, const WholeShape& shape) {
  if (one.kind == OptimizerKind::muon && !shape.orthogonal) {
    adam(one);
    return;
  }
  // The average is of the weights after the whole step.
  T* const average = std::exchange(one.slots[average_slot], nullptr);
  one.slots[rule_slots - 1] = direction_;
  machine_.call<OptimizerStep<T>>(kernels_.optimizer_step, one);
  OptimizerStep<T> along{.kind = OptimizerKind::sgd,
                         .n = one.n,
                         .param = one.param,
                         .grad = direction_,
                         .slots = {},
                         .settings = {},
                         .step = one.step};
  along.settings.learning_rate = one.settings.learning_rate;
  along.slots[average_slot] = average;
  along.extras.average_momentum = one.extras.average_momentum;
  if (one.kind == OptimizerKind::muon) {
    orthogonalize(one.settings, shape);
    const double rate = one.settings.own[Muon::rms_rate];
    const auto longer = static_cast<double>(std::max(shape.rows, shape.columns));
    if (rate != 0) along.settings.learning_rate *= rate * std::sqrt(longer);
  } else {
    along.extras.factor = trust(one);
  }
  machine_.call<OptimizerStep<T>>(kernels_.optimizer_step, along);
}

// The step of a parameter that is no matrix, under Muon. Its weights decay at Muon's learning rate,
// as in Keras.
template <class T>
void WholeSteps<T>::adam(OptimizerStep<T> one) {
  const OptimizerSettings& muon = one.settings;
  const double ratio = muon.own[Muon::adam_lr_ratio];
  OptimizerSettings settings;
  settings.learning_rate = muon.learning_rate * ratio;
  settings.weight_decay = muon.weight_decay / ratio;
  settings.own[0] = muon.own[Muon::adam_beta_1];
  settings.own[1] = muon.own[Muon::adam_beta_2];
  settings.own[2] = muon.own[Muon::epsilon];
  one.kind = OptimizerKind::adam;
  one.settings = settings;
  machine_.call<OptimizerStep<T>>(kernels_.optimizer_step, one);
}

template <class T>
void WholeSteps<T>::sum_of_squares(Index n, const T* x, double* sums) {
  machine_.call<SumOfSquares<T>>(kernels_.sum_of_squares, {n, x, x, {}, sums});
}

// Where the norm of the weights over that of the direction stands, without waiting for it.
template <class T>
const double* WholeSteps<T>::trust(const OptimizerStep<T>& one) {
  double* const moves = squares_ + max_groups;
  sum_of_squares(one.n, one.param, squares_);
  sum_of_squares(one.n, direction_, moves);
  machine_.call<TrustRatio>(machine_.table->trust_ratio,
                            {row_groups(one.n).count, squares_, moves, factor_});
  return factor_;
}

// y = keep y + scale x.
template <class T>
void WholeSteps<T>::add(Index n, T keep, T scale, const T* x, T* y) {
  machine_.call<WeightedSum<T>>(kernels_.weighted_sum, {n, keep, scale, nullptr, x, y});
}

// Newton and Schulz's iteration, of fifth order: X / norm(X), then X = a X + (b A + c A A) X with
// A = X X^T, so many times, brings the singular values near 1. Of a tall matrix A is X^T X, and
// stands on the right, which is the same.
template <class T>
void WholeSteps<T>::orthogonalize(const OptimizerSettings& settings, const WholeShape& shape) {
  const Index rows = shape.rows;
  const Index columns = shape.columns;
  const Index n = shape.size();
  const bool tall = rows > columns;
  const Index side = std::min(rows, columns);
  const auto a = static_cast<T>(settings.own[Muon::a]);
  const auto b = static_cast<T>(settings.own[Muon::b]);
  const auto c = static_cast<T>(settings.own[Muon::c]);
  T* x = direction_;
  T* next = product_;
  machine_.call<Constrain<T>>(kernels_.constrain,
                              {ConstraintKind::norm, 1, n, 0, 1, 1.0, 1.0, 1.0, x});
  const auto steps = static_cast<int>(settings.own[Muon::ns_steps]);
  for (int k = 0; k < steps; ++k) {
    DenseBackward<T> gram{.n = rows,
                          .i = tall ? columns : rows,
                          .o = columns,
                          .dy = x,
                          .x = x,
                          .w = x,
                          .y = nullptr,
                          .z = nullptr,
                          .activation = {},
                          .dz = nullptr,
                          .dx = tall ? nullptr : gram_,
                          .dw = tall ? gram_ : nullptr,
                          .db = nullptr};
    machine_.call<DenseBackward<T>>(kernels_.dense_backward, gram);
    const auto multiply = [&](Index p, Index q, Index r, const T* left, const T* right, T* to) {
      machine_.call<DenseForward<T>>(kernels_.dense_forward,
                                     {p, q, r, left, right, nullptr, {}, nullptr, to});
    };
    multiply(side, side, side, gram_, gram_, square_);
    add(side * side, c, b, gram_, square_);
    if (tall) {
      multiply(rows, columns, columns, x, square_, next);
    } else {
      multiply(rows, rows, columns, square_, x, next);
    }
    add(n, T(1), a, x, next);
    std::swap(x, next);
  }
  if (x != direction_) add(n, T(0), T(1), x, direction_);
}

template class WholeSteps<float>;
template class WholeSteps<double>;

}  // namespace fastnn
