// The kernel table of the device.
#include "cuda/table.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {

constexpr KernelTable table = make_table("cuda");
static_assert(complete(table), "a kernel is missing");

}  // namespace fastnn::FASTNN_TARGET
