// Steps of wide layers: the graph of the generic session, in which the optimizer steps over
// the parameters of a layer beside the backward pass of those below.
#pragma once

#include <memory>

#include "core/backend.h"
#include "cuda/host/runner.h"

namespace fastnn {

// Whether some layer is so large that its products fill a GPU: of shape alone.
bool wide_pays(const Plan& plan, Index batch_size);

// For a plan that generic_serves; the request's buffers are the device's. What it refers to
// must outlive it.
std::unique_ptr<Runner> make_wide(const Machine& machine, const SessionRequest& request);

}  // namespace fastnn
