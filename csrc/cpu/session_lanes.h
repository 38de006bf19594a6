// Networks side by side on the CPU (core/session_lanes.h).
#pragma once

#include <memory>

#include "core/session_lanes.h"

namespace fastnn {

// Whether networks of this plan can be trained side by side, and gain by it.
bool cpu_takes_lanes(const Plan& plan, Index batch_size);
// Null where cpu_takes_lanes says no.
std::unique_ptr<LaneSession> prepare_cpu_lanes(const Plan& plan, Index batch_size);

}  // namespace fastnn
