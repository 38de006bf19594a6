// An optimizer's step on a part of the parameters, for kernels that make the
// gradient piece by piece.
#pragma once

#include "core/kernels.h"
#include "core/math.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

// A step with everything worked out that all elements share.
template <class T>
struct PreparedStep {
  explicit PreparedStep(const OptimizerStep<T>& step);

  // Elements [begin, begin + n), with their gradient.
  void apply(Index begin, Index n, const T* grad) const;
  // Brings near what `apply` is about to change.
  void fetch(Index begin, Index n) const;

 private:
  OptimizerKind kind_;
  bool nesterov_;
  bool unit_takes_roots_;
  T* param_;
  T* slots_[2];
  SgdRates<T> sgd_;
  AdamRates<T> adam_;
};

}  // namespace fastnn::FASTNN_TARGET
