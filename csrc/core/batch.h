// One batch of rows, brought to the machine that a session runs on.
#pragma once

#include <utility>

#include "core/machine.h"

namespace fastnn {

template <class T>
class Batch {
 public:
  // For batches of at most `capacity` rows. What it refers to must outlive it.
  Batch(const Machine& machine, Memory& memory, const Plan& plan, Index capacity);

  // Takes rows first..first+n of the data, or of an epoch's order where there is one.
  void choose(const Dataset& data, const Epoch* epoch, Index first, Index n);
  // Converts and scales the input of those rows into x (n, input width).
  void gather_input(const Dataset& data, T* x);
  // Brings what the loss compares with; returns the sum of the weights it divides by.
  double gather_targets(const Dataset& data);

  Index rows() const { return rows_.n; }
  const std::int32_t* labels() const { return has_labels_ ? labels_ : nullptr; }
  const T* targets() const { return targets_; }
  const T* weights() const { return has_weights_ ? weights_ : nullptr; }
  // 1 for each row that counts, 0 for one of the ignored class; null: all count.
  const T* present() const { return has_labels_ && plan_.loss.ignores ? present_ : nullptr; }

 private:
  const Machine& machine_;
  const Kernels<T>& kernels_;
  const Plan& plan_;
  Rows rows_;

  // Positions ordered_first_.. of the epoch and data that ordered_for_ names;
  // made for many batches at once.
  Index* order_;
  Index order_room_, ordered_first_ = 0, ordered_count_ = 0;
  std::pair<std::uint64_t, std::uint64_t> ordered_for_{};

  std::int32_t* labels_ = nullptr;
  T* targets_ = nullptr;
  T* weights_ = nullptr;
  T* present_ = nullptr;
  double* sums_ = nullptr;
  bool has_labels_ = false, has_weights_ = false;
};

}  // namespace fastnn
