// Parameters and optimizer state on the device.
//
// The sessions of a network share them: they are found by where the host's are. A session that
// trains says so; the host's are then older until they are brought.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "core/machine.h"
#include "core/session.h"

namespace fastnn {

class DeviceState final : public DeviceCopy {
 public:
  // The state of this plan's buffers, which lives as long as it is held.
  static std::shared_ptr<DeviceState> of(const Plan& plan, const Buffers& host);

  DeviceState(const Plan& plan, const Buffers& host);

  // Addresses on the device, laid out as on the host.
  const Buffers& device() const { return device_; }

  // The host's parameters are of this version.
  void host_at(std::uint64_t version);
  // Puts there what is newer on the host.
  void refresh();
  // The device's were trained, and its parameters are of this version.
  void trained();
  void keep(std::uint64_t version);

  void bring_parameters() override;
  void bring_optimizer_state() override;
  void optimizer_state_changed() override;

 private:
  enum class Newer : unsigned char { neither, host, device };
  // f(host, device) for each buffer of the optimizer.
  template <class F>
  void each_slot(const F& f);

  std::mutex mutex_;
  Machine machine_;
  Memory memory_;
  std::size_t bytes_;  // of each buffer
  Buffers host_, device_;
  std::uint64_t version_ = 0;
  Newer parameters_ = Newer::host;
  Newer slots_ = Newer::host;
};

}  // namespace fastnn
