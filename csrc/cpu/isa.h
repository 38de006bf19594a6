// The kernel tables of the CPU, one for each instruction set compiled in, and
// the choice among them.
#pragma once

#include "core/backend.h"

namespace fastnn {

// The most capable table that this processor runs, or the one that FASTNN_ISA
// names. Throws std::runtime_error where that is not to be had.
const KernelTable& cpu_kernels();

}  // namespace fastnn
