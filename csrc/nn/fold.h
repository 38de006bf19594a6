// Batch normalizations that become a part of the dense node before them, where nothing is trained.
#pragma once

#include "core/plan.h"
#include "nn/parameters.h"

namespace fastnn {

// Takes out each that reads a linear dense node which nothing else reads, and changes the kernel
// and the bias of that node in `parameters`, which are the plan's alone. An elementwise activation
// that alone reads the result becomes the dense node's own.
void fold_batch_normalization(Plan& plan, ParameterBuffer& parameters);

}  // namespace fastnn
