// The rows of a step of networks side by side, brought into lanes from the data of each.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "core/batch.h"
#include "core/session_lanes.h"
#include "cpu/lane_kernels.h"

namespace fastnn {

// The lanes that make one step of n rows, and which step of their run that is.
struct LaneStep {
  std::span<const LaneSteps* const> lanes;
  Index index, n;
  std::array<bool, net_lanes> active;
};

template <class T>
class LaneBatches {
 public:
  // For steps of at most so many rows. What it refers to must outlive it.
  LaneBatches(const Machine& machine, const Plan& plan, Index rows);

  // Another network, with this key, is in a lane from now on.
  void enter(Index lane, std::uint64_t key) {
    nets_[static_cast<std::size_t>(lane)] = std::make_unique<Lane>(machine_, key);
  }
  // x becomes (n, columns); lanes that rest have whatever was there, or rows of others.
  void gather(const LaneStep& step, T* x);

  // What the rows of the last step are compared with, for all lanes.
  const T* labels() const { return has_labels_ ? labels_ : nullptr; }     // (n); null: targets
  const T* targets() const { return targets_; }                           // (n, targets)
  const T* weights() const { return has_weights_ ? weights_ : nullptr; }  // (n); null: all one

 private:
  // What one network has to itself.
  struct Lane {
    Lane(const Machine& machine, std::uint64_t key_of_plan) : key(key_of_plan), memory(machine) {}
    std::uint64_t key;
    Memory memory;
    // Batches of a large data set, made when there is one.
    Plan plan = {};
    std::optional<Batch<T>> batch = std::nullopt;
    // The rows of a small data set, converted once for a call, and the order of an epoch.
    const Dataset* recorded = nullptr;
    T* records = nullptr;
    Index* order = nullptr;
    std::uint64_t ordered_for = 0;  // 1 + the epoch's number; 0: none yet
  };

  bool has_records(Lane& net, const LaneSteps& own);
  void record(Lane& net, const LaneSteps& own);
  void gather_records(const LaneStep& step, T* x);

  const Machine& machine_;
  const Kernels<T>& kernels_;
  const LaneKernels<T>& lane_kernels_;
  const Plan& plan_;
  const Index rows_;
  const Index record_;  // numbers
  Memory memory_;
  std::array<std::unique_ptr<Lane>, net_lanes> nets_;
  T* rows_of_lane_[net_lanes] = {};  // a batch of one network
  T* labels_ = nullptr;
  T* targets_ = nullptr;
  T* weights_ = nullptr;
  bool has_labels_ = false, has_weights_ = false;
};

}  // namespace fastnn
