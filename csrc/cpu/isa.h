// The kernel tables of the CPU, one for each instruction set that is compiled in, and the choice
// among them.
#pragma once

#include "core/backend.h"
#include "core/encoded_dense.h"
#include "cpu/bf16.h"
#include "cpu/dense_finish.h"
#include "cpu/lane_kernels.h"

namespace fastnn {

// The kernels of one instruction set. `kernels` has its name; the functions may be those of a
// lesser instruction set, if this one only adds a unit for bfloat16.
struct CpuTable {
  KernelTable kernels;
  Bf16Kernels bf16;
  int bf16_parts;  // the most with which its unit is faster than float32; 0: none
  const DenseFinish* finish;
  const EncodedDense* encoded_dense;
  const LaneTable* lanes;
  bool unit_takes_roots;  // see context.h
};

// The most capable table that this processor supports, or the one that FASTNN_ISA names. Throws
// std::runtime_error if that one is not available.
const CpuTable& cpu_table();
const KernelTable& cpu_kernels();

// Whether AMX may be used. Only if the processor has it does this ask the system for the tile
// registers, which the system may refuse.
bool amx_usable(bool has_tiles, bool has_bf16, bool (*request)());

}  // namespace fastnn
