// Products in bfloat16 and conversion to its forms, compiled once for each unit: the tiles of AMX,
// or AVX-512's dot products of pairs.
#pragma once

#include "core/target.h"
#include "cpu/bf16.h"

namespace fastnn::FASTNN_TARGET {

void convert_bf16(const Bf16Convert&);
Status multiply_bf16(Context&, const Bf16Product&);

}  // namespace fastnn::FASTNN_TARGET
