// Parameters and optimizer state on the device.
//
// The sessions of a network share them: they are found by where the host's are. Whoever
// trains says so; the host's are then older until somebody fetches.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "core/machine.h"
#include "core/session.h"

namespace fastnn {

class DeviceState {
 public:
  // Of the buffers of this plan, for as long as anybody holds it.
  static std::shared_ptr<DeviceState> of(const Plan& plan, const Buffers& host);

  DeviceState(const Plan& plan, const Buffers& host);
  DeviceState(const DeviceState&) = delete;
  DeviceState& operator=(const DeviceState&) = delete;

  // Addresses on the device, laid out as on the host.
  const Buffers& device() const { return device_; }

  // The host's are of this version; brought here by `refresh` where this one is another.
  void host_at(std::uint64_t version);
  void refresh();
  // The device's were trained.
  void trained();
  // Brings them to the host, which is then of this version.
  void fetch(std::uint64_t version);

 private:
  // f(host, device) for each buffer of the optimizer, and last for the parameters: where the
  // device is lost in between, these are still those that the host had.
  template <class F>
  void each(const F& f);

  std::mutex mutex_;
  Machine machine_;
  Memory memory_;
  Index size_;         // numbers
  std::size_t bytes_;  // of each buffer
  Buffers host_, device_;
  std::uint64_t version_ = 0;
  bool stale_ = true;   // the host's are others
  bool newer_ = false;  // than the host's
};

}  // namespace fastnn
