// One product whose operands are converted for this product alone.
#pragma once

#include "core/backend.h"

namespace fastnn {

// Null if the instruction set in use has no unit for bfloat16.
Kernel<SplitProduct> cpu_split_product();

}  // namespace fastnn
