// Training steps of small nets, a whole run of them in one launch of one block.
#pragma once

#include <cstddef>
#include <memory>

#include "cuda/host/runner.h"

namespace fastnn {

// Whether a net's training fits one block, and is worth no more: of shape alone.
bool resident_serves(const Plan& plan, Index batch_size);
// The memory that its block shares, which a lesser device (DeviceInfo) may not have; 0 where
// it does not serve.
std::size_t resident_bytes(const Plan& plan, Index batch_size);

// For a plan that it serves, with buffers of the device. What it refers to must outlive it.
std::unique_ptr<Runner> make_resident(const Machine& machine, Memory& memory, const Plan& plan,
                                      const Buffers& buffers, Index batch_size);

}  // namespace fastnn
