// One batch of rows, brought to the machine that a session runs on.
#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "core/machine.h"
#include "core/session.h"

namespace fastnn {

// What the loss and the metrics of some rows compare with, by row.
template <class T>
struct BatchPart {
  Index n;
  const std::int32_t* labels;  // null: targets
  const T* targets;            // (n, target width)
  const T* weights;            // (n) or (n, target width); null: all one
  const T* present;  // 1 for each row that counts, 0 for one of the ignored class; null: all
  bool weighs_elements;
};

// The rows of a batch in a sparse matrix, times `scale`.
template <class T>
struct SparseRows {
  SparseView view;
  Rows rows;
  T scale;
};

template <class T>
class Batch {
 public:
  // For batches of at most `capacity` rows. What it refers to must outlive it.
  Batch(const Machine& machine, Memory& memory, const Plan& plan, Index capacity);

  // Takes rows first..first+n of the data, or of an epoch's order where there is one.
  void choose(const Dataset& data, const Epoch* epoch, Index first, Index n);
  // Takes this rank's part of the batch of a step in an epoch's order: n rows, the first of which
  // is `first_row` of the batch. `places` is as in Pass.
  struct Part {
    Index n, first_row;
    const Index* places;
  };
  Part choose_part(const Dataset& data, const Epoch& epoch, Index step);
  // Takes these rows of the data.
  void choose(const Rows& rows) { rows_ = rows; }
  // Converts and scales the input of `n` of those rows from `first` on into x
  // (n, input width). Several threads may, each on its own view of the machine.
  void gather_input(const Machine& machine, const Dataset& data, Index first, Index n, T* x) const;
  // The same rows where they lie, if the data is sparse and stays so: without an offset.
  std::optional<SparseRows<T>> sparse_input(const Dataset& data, Index first, Index n) const;
  // Brings what the loss compares with.
  void gather_targets(const Dataset& data);

  BatchPart<T> part(Index first, Index n) const;

 private:
  Rows part_of_rows(Index first, Index n) const {
    return {rows_.order != nullptr ? rows_.order + first : nullptr, rows_.first + first, n};
  }

  const Machine& machine_;
  const Kernels<T>& kernels_;
  const Plan& plan_;
  Rows rows_;

  // Positions ordered_first_.. of the epoch and data that ordered_for_ names;
  // made for many batches at once.
  Index* order_;
  Index order_room_, ordered_first_ = 0, ordered_count_ = 0;
  std::pair<std::uint64_t, std::uint64_t> ordered_for_{};
  std::vector<Index> places_;  // of this rank's rows of a shard

  std::int32_t* labels_ = nullptr;
  T* targets_ = nullptr;
  T* weights_ = nullptr;
  T* element_weights_ = nullptr;
  T* present_ = nullptr;
  bool has_labels_ = false, has_weights_ = false, weighs_elements_ = false;
};

}  // namespace fastnn
