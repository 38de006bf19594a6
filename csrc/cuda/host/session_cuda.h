// Sessions on the device.
#pragma once

#include <memory>

#include "core/backend.h"

namespace fastnn {

std::unique_ptr<Session> prepare_cuda(const SessionRequest& given);
SessionKind choose_cuda_session(const Plan& plan, Index batch_size);
int cuda_bf16_parts(const SessionRequest& request);

// The context of the calling thread, for single ops.
const Machine& cuda_here();

}  // namespace fastnn
