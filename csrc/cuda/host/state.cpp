#include "cuda/host/state.h"

#include <map>

#include "cuda/host/library.h"

namespace fastnn {
namespace {

std::size_t element_bytes(const Plan& plan) { return plan.element == Element::f64 ? 8 : 4; }

void* take(Memory& memory, std::size_t bytes) {
  return memory.take<char>(static_cast<Index>(bytes));
}

}  // namespace

std::shared_ptr<DeviceState> DeviceState::of(const Plan& plan, const Buffers& host) {
  static auto* const all = new std::map<void*, std::weak_ptr<DeviceState>>;
  static auto* const mutex = new std::mutex;
  const std::lock_guard lock(*mutex);
  std::erase_if(*all, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<DeviceState>& known = (*all)[host.parameters];
  std::shared_ptr<DeviceState> state = known.lock();
  if (state == nullptr) known = state = std::make_shared<DeviceState>(plan, host);
  return state;
}

DeviceState::DeviceState(const Plan& plan, const Buffers& host)
    : machine_(cuda_machine()),
      memory_(machine_),
      bytes_(static_cast<std::size_t>(plan.parameter_size) * element_bytes(plan)),
      host_(host) {
  device_.parameters = take(memory_, bytes_);
  for (std::size_t i = 0; i < std::size(host.slots); ++i) {
    if (host.slots[i] != nullptr) device_.slots[i] = take(memory_, bytes_);
  }
}

template <class F>
void DeviceState::each_slot(const F& f) {
  for (std::size_t i = 0; i < std::size(host_.slots); ++i) {
    if (host_.slots[i] != nullptr) f(host_.slots[i], device_.slots[i]);
  }
}

void DeviceState::host_at(std::uint64_t version) {
  static_cast<void>(cuda_library());  // before a lock that a fork may have left held
  const std::lock_guard lock(mutex_);
  if (version != version_) parameters_ = Newer::host;
  version_ = version;
}

void DeviceState::refresh() {
  const std::lock_guard lock(mutex_);
  const auto write = [&](void* host, void* device) {
    machine_.write(*machine_.context, device, host, bytes_);
  };
  if (slots_ != Newer::host && parameters_ != Newer::host) return;
  if (slots_ == Newer::host) each_slot(write);
  if (parameters_ == Newer::host) write(host_.parameters, device_.parameters);
  cuda_wait(*machine_.context);  // other streams read them
  if (slots_ == Newer::host) slots_ = Newer::neither;
  if (parameters_ == Newer::host) parameters_ = Newer::neither;
}

void DeviceState::trained() {
  const std::lock_guard lock(mutex_);
  parameters_ = slots_ = Newer::device;
}

void DeviceState::keep(std::uint64_t version) {
  const std::lock_guard lock(mutex_);
  version_ = version;
}

void DeviceState::bring_parameters() {
  static_cast<void>(cuda_library());
  const std::lock_guard lock(mutex_);
  if (parameters_ != Newer::device) return;
  machine_.read(*machine_.context, host_.parameters, device_.parameters, bytes_);
  parameters_ = Newer::neither;
}

void DeviceState::bring_optimizer_state() {
  static_cast<void>(cuda_library());
  const std::lock_guard lock(mutex_);
  if (slots_ != Newer::device) return;
  each_slot(
      [&](void* host, void* device) { machine_.read(*machine_.context, host, device, bytes_); });
  slots_ = Newer::neither;
}

void DeviceState::optimizer_state_changed() {
  const std::lock_guard lock(mutex_);
  slots_ = Newer::host;
}

}  // namespace fastnn
