#include "cuda/state.h"

#include <map>

#include "cuda/library.h"

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
      size_(plan.parameter_size),
      bytes_(static_cast<std::size_t>(plan.parameter_size) * element_bytes(plan)),
      host_(host) {
  device_.parameters = take(memory_, bytes_);
  for (std::size_t i = 0; i < std::size(host.slots); ++i) {
    if (host.slots[i] != nullptr) device_.slots[i] = take(memory_, bytes_);
  }
}

template <class F>
void DeviceState::each(const F& f) {
  for (std::size_t i = 0; i < std::size(host_.slots); ++i) {
    if (host_.slots[i] != nullptr) f(host_.slots[i], device_.slots[i]);
  }
  f(host_.parameters, device_.parameters);
}

void DeviceState::host_at(std::uint64_t version) {
  const std::lock_guard lock(mutex_);
  if (version == version_) return;
  version_ = version;
  stale_ = true;
  newer_ = false;
}

void DeviceState::refresh() {
  const std::lock_guard lock(mutex_);
  if (!stale_) return;
  each([&](void* host, void* device) { machine_.write(*machine_.context, device, host, bytes_); });
  cuda_wait(*machine_.context);  // other streams read them
  stale_ = false;
}

void DeviceState::trained() {
  const std::lock_guard lock(mutex_);
  newer_ = true;
}

void DeviceState::fetch(std::uint64_t version) {
  const std::lock_guard lock(mutex_);
  if (newer_) {
    each([&](void* host, void* device) { machine_.read(*machine_.context, host, device, bytes_); });
  }
  newer_ = false;
  version_ = version;
}

}  // namespace fastnn
