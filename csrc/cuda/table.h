// What the runtimes of _cuda need of its kernels.
#pragma once

#include "cuda/abi.h"

namespace fastnn::FASTNN_TARGET {

extern const KernelTable table;
extern const EncodedDense encoded_dense;
int bf16_parts_of_product(int precision, Index m, Index n, Index k);
Status collect(Context&, const Collect&);
Status finish(Context&, const Finish&);
Status resident(Context&, const Resident&);

// The address of one of the kernels, to ask whether there is code for a device.
const void* any_kernel();

}  // namespace fastnn::FASTNN_TARGET
