// Sessions on the CPU.
#pragma once

#include <memory>

#include "core/backend.h"

namespace fastnn {

std::unique_ptr<Session> prepare_cpu(const SessionRequest& given);
SessionKind choose_cpu_session(const Plan& plan, Index batch_size);
int cpu_bf16_parts(const SessionRequest& request);

// The context of the calling thread, for single ops.
const Machine& cpu_here();
Machine cpu_make();

}  // namespace fastnn
