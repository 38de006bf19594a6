// What a plan says, as bytes: two plans are the same where these are.
#pragma once

#include <string>

#include "core/plan.h"

namespace fastnn {

struct PlanBytes {
  std::string layers;  // tensors, nodes and parameters
  std::string loss;    // the loss and the metrics
  std::string update;  // of the update stage
};

PlanBytes bytes_of(const Plan& plan);

}  // namespace fastnn
