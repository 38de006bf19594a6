// An optimizer's step on a part of the parameters, for kernels that make the gradient piece by
// piece.
#pragma once

#include "core/kernels.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

// A step with everything worked out that all elements share.
template <class T>
struct PreparedStep {
  explicit PreparedStep(const OptimizerStep<T>& step);

  // Steps over elements [begin, begin + n), with their gradient.
  void apply(Index begin, Index n, const T* grad) const;
  // Prefetches the elements that `apply` is about to change.
  void fetch(Index begin, Index n) const;

 private:
  void step(Index begin, Index n, const T* grad) const;

  OptimizerKind kind_;
  unsigned char kept_;  // slots in use, as bits
  bool unit_takes_roots_;
  bool shapes_gradients_;
  T* param_;
  T* slots_[max_slots];
  AnyRates<T> rates_;
  UpdateExtras<T> extras_;
};

}  // namespace fastnn::FASTNN_TARGET
