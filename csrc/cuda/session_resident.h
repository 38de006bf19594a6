// Training steps of small nets, a whole run of them in one launch of one block.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/machine.h"
#include "core/session.h"

namespace fastnn {

// Addresses of the device, as long as the plan's parameters.
struct DeviceBuffers {
  void* parameters;
  void* slots[2];
};

// How a session on a device trains.
class Runner {
 public:
  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;

  // As Session's, with the data on the device: packed rows, no column offsets.
  virtual Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                  const Steps& done, const OptimizerSettings& settings, std::span<Sum> sums) = 0;
};

// Whether a net's training fits one block, and is worth no more: of shape alone.
bool resident_serves(const Plan& plan, Index batch_size);
// The memory that its block shares, which a lesser device (DeviceInfo) may not have; 0 where
// it does not serve.
std::size_t resident_bytes(const Plan& plan, Index batch_size);

// For a plan that it serves. What it refers to must outlive it.
std::unique_ptr<Runner> make_resident(const Machine& machine, Memory& memory, const Plan& plan,
                                      DeviceBuffers buffers, Index batch_size);

}  // namespace fastnn
