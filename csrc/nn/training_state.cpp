#include "nn/training_state.h"

#include <utility>

#include "core/check.h"

namespace fastnn {

void TrainingState::set_slots(std::vector<std::unique_ptr<ParameterBuffer>> slots, bool averages,
                              bool accumulates) {
  slots_ = std::move(slots);
  averages_ = averages;
  accumulates_ = accumulates;
  updates = 0;
}

std::vector<ParameterBuffer*> TrainingState::all() const {
  std::vector<ParameterBuffer*> all{buffer_.get()};
  for (const auto& slot : slots_) all.push_back(slot.get());
  return all;
}

Buffers TrainingState::buffers() const {
  if (!buffer_) refuse("the network has no parameters bound");
  Buffers buffers{buffer_->data(), {}};
  std::size_t count = slots_.size();
  if (averages_) buffers.slots[average_slot] = slots_[--count]->data();
  if (accumulates_) buffers.slots[accumulator_slot] = slots_[--count]->data();
  for (std::size_t i = 0; i < count; ++i) buffers.slots[i] = slots_[i]->data();
  return buffers;
}

void TrainingState::attach(std::shared_ptr<DeviceCopy> copy) {
  // Sessions that do not train may have put there what it was before.
  if (copy != nullptr && copy != device_copy_) copy->optimizer_state_changed();
  device_copy_ = std::move(copy);
}

void TrainingState::fetch() {
  if (device_copy_ == nullptr) return;
  device_copy_->bring_optimizer_state();
  device_copy_->bring_parameters();
}

void TrainingState::bring() {
  if (device_copy_ == nullptr) return;
  buffer_->bring();
  device_copy_->bring_optimizer_state();
}

void TrainingState::bring_optimizer_state() {
  if (device_copy_ != nullptr) device_copy_->bring_optimizer_state();
}

void TrainingState::write_optimizer_state(const std::vector<const void*>& state) {
  check(state.size() == slots_.size(), "optimizer state: expected ", slots_.size(), " arrays, got ",
        state.size());
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i]->write(0, state[i], slots_[i]->size());
  if (device_copy_ != nullptr) device_copy_->optimizer_state_changed();
  snapshots_.forget();
}

void TrainingState::set_continues(bool continues) {
  if (buffer_) trained_version_ = continues ? buffer_->version() : buffer_->version() - 1;
}

void TrainingState::begin(bool fresh) {
  if (!continues()) {
    snapshots_.forget();
    restart_averages();
  }
  if (fresh) snapshots_.renew();
}

// Weights that were written are no continuation of those that were averaged.
void TrainingState::restart_averages() {
  if (!averages_ || updates == 0) return;
  bring();
  slots_.back()->write(0, buffer_->data(), buffer_->size());
  if (device_copy_ != nullptr) device_copy_->optimizer_state_changed();
}

void TrainingState::took() {
  if (trained_version_ + 1 == buffer_->version()) trained_version_ = buffer_->version();
}

Index TrainingState::copies_every(const Plan& plan, Index batch_size) const {
  double bytes = 0;
  for (const ParameterBuffer* buffer : all()) bytes += static_cast<double>(buffer->bytes());
  return steps_between_copies(bytes, plan.operations(batch_size), device_copy_ != nullptr);
}

Index TrainingState::copy_if_due(Index interval) {
  if (snapshots_.due(interval) && snapshots_.grows()) snapshots_.leave_out();
  if (snapshots_.due(interval)) {
    fetch();
    snapshots_.copy(all(), done());
  }
  return snapshots_.until_due(interval);
}

void TrainingState::go_back() {
  if (snapshots_.held()) {
    const Steps earlier = snapshots_.restore(all());
    steps = earlier.life;
    updates = earlier.updates;
  }
  buffer_->attach(nullptr);
  buffer_->mark_changed();
  if (device_copy_ != nullptr) device_copy_->optimizer_state_changed();
}

void TrainingState::forget() {
  device_copy_.reset();
  snapshots_.forget();
}

}  // namespace fastnn
