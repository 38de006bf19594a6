// Threads that share a row: a part of a warp, a warp, or a block.
#pragma once

#include "cuda/device.h"

namespace fastnn::FASTNN_TARGET {

// All threads of a block call a team's functions together, each for its own team. A team of more
// than a warp is the whole block.
template <int size>
class Team {
 public:
  // `room` is shared memory of one number for each warp.
  FASTNN_DEVICE Team(const Thread& t, double* room) : t_(&t), room_(room) {}

  FASTNN_DEVICE int lane() const { return t_->index() % size; }
  FASTNN_DEVICE int number() const { return t_->index() / size; }

  // The sum of x over the team, for all of its threads, in a fixed order.
  template <class T>
  FASTNN_DEVICE T sum(T x) const {
    return joined(x, [](T a, T b) { return a + b; });
  }

  // The largest x. NaN is skipped, unless all are NaN.
  template <class T>
  FASTNN_DEVICE T largest(T x) const {
    return joined(x, [](T a, T b) { return a > b || b != b ? a : b; });
  }

  // Reduces numbers that a double holds exactly; join(a, b) must equal join(b, a).
  template <class T, class Join>
  FASTNN_DEVICE T joined(T x, const Join& join) const {
    FASTNN_UNROLL
    for (int mask = (size < 32 ? size : 32) / 2; mask > 0; mask /= 2) {
      x = join(x, t_->exchange(x, mask));
    }
    if constexpr (size > 32) {
      if (t_->lane() == 0) room_[t_->warp()] = static_cast<double>(x);
      t_->barrier();
      x = static_cast<T>(room_[0]);
      for (int w = 1; w < size / 32; ++w) x = join(x, static_cast<T>(room_[w]));
      t_->barrier();
    }
    return x;
  }

 private:
  const Thread* t_;
  double* room_;
};

}  // namespace fastnn::FASTNN_TARGET
