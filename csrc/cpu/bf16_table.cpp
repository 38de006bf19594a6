// The bfloat16 kernels of one instruction set.
#include "cpu/gemm_bf16.h"

namespace fastnn::FASTNN_TARGET {

extern const Bf16Kernels bf16_kernels;
constexpr Bf16Kernels bf16_kernels{.convert = convert_bf16, .multiply = multiply_bf16};

}  // namespace fastnn::FASTNN_TARGET
