// The kernel tables of the CPU, one for each instruction set compiled in, and
// the choice among them.
#pragma once

#include "core/backend.h"
#include "cpu/bf16.h"
#include "cpu/dense_finish.h"

namespace fastnn {

// What one instruction set offers. `kernels` has its name, and may otherwise be a
// lesser one's, where what it adds is a unit for bfloat16.
struct CpuTable {
  KernelTable kernels;
  Bf16Kernels bf16;
  int bf16_planes;  // with which its unit is faster than float32; 0: none
  const DenseFinish* finish;
  bool unit_takes_roots;  // see context.h
};

// The most capable table that this processor runs, or the one that FASTNN_ISA
// names. Throws std::runtime_error where that is not to be had.
const CpuTable& cpu_table();
const KernelTable& cpu_kernels();

// Whether AMX may be used: the processor must have it, and only then is the system
// asked for its registers, which it may refuse.
bool amx_usable(bool has_tiles, bool has_bf16, bool (*request)());

}  // namespace fastnn
