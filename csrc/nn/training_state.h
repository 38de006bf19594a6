// All that training changes: parameters, the optimizer's state, counts, and the copies of them to
// go back to. It knows no plan, no data and no session.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/session.h"
#include "nn/parameters.h"
#include "nn/snapshot.h"

namespace fastnn {

class TrainingState {
 public:
  // Null before any are bound.
  const std::shared_ptr<ParameterBuffer>& parameters() const { return buffer_; }
  void bind(std::shared_ptr<ParameterBuffer> buffer) { buffer_ = std::move(buffer); }
  // The optimizer's buffers; then, if there is one, that of the gradients of several batches, and
  // then the average of weights. Updates begin anew.
  void set_slots(std::vector<std::unique_ptr<ParameterBuffer>> slots, bool averages,
                 bool accumulates);
  const std::vector<std::unique_ptr<ParameterBuffer>>& slots() const { return slots_; }
  // For sessions. Throws std::runtime_error where no parameters are bound.
  Buffers buffers() const;

  // Counts in the life of the model, and of updates since the optimizer's state was zero.
  std::atomic<std::uint64_t> steps{0}, updates{0}, epochs{0};
  Steps done() const { return {steps, updates}; }
  void count(Index made) {
    steps += static_cast<std::uint64_t>(made);
    updates += static_cast<std::uint64_t>(made);
    snapshots_.passed(made);
  }

  // Where a device trains parameters and the optimizer's state; null: here.
  void attach(std::shared_ptr<DeviceCopy> copy);
  const std::shared_ptr<DeviceCopy>& device_copy() const { return device_copy_; }
  // Brings what the device has newer, while training goes on there.
  void fetch();
  // The same, for sessions that then start from the host's.
  void bring();
  void bring_optimizer_state();
  void write_optimizer_state(const std::vector<const void*>& state);

  // A run begins or goes on: from before another change of the parameters, copies are of no use,
  // and averages begin anew. With `fresh` no state before this one is gone back to.
  void begin(bool fresh);
  // A run ended well, and left the parameters at this version.
  void trained_to(std::uint64_t version) { trained_version_ = version; }
  // Whether the parameters are those that training left.
  bool continues() const { return buffer_ && buffer_->version() == trained_version_; }
  void set_continues(bool continues);
  // One change copied what another network trained into the parameters. They are a continuation of
  // those that were trained here: averages and copies to go back to stay.
  void took();
  // The steps from one copy of the state to the next, in batches of so many rows.
  Index copies_every(const Plan& plan, Index batch_size) const;
  // Whether that copies the state: it is to be on the host then.
  bool copy_is_due(Index interval) const { return snapshots_.due(interval) && !snapshots_.grows(); }
  // Before a step: copies the state where that is due. Returns how many steps may follow until the
  // next copy, at least 1. After them `saw` is told what they added to the loss and its weight.
  Index copy_if_due(Index interval);
  void saw(double loss, double weight) { snapshots_.saw(loss, weight); }
  // To a copy of the state: see Snapshots.
  void go_back();
  // No device has a copy, and no state to go back to is left.
  void forget();

 private:
  std::vector<ParameterBuffer*> all() const;
  void restart_averages();

  std::shared_ptr<ParameterBuffer> buffer_;
  std::vector<std::unique_ptr<ParameterBuffer>> slots_;
  bool averages_ = false, accumulates_ = false;
  Snapshots snapshots_;
  std::uint64_t trained_version_ = 0;  // of the buffer, as training left it
  std::shared_ptr<DeviceCopy> device_copy_;
};

}  // namespace fastnn
