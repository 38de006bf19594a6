// The kernel table of one instruction set.
#include "cpu/kernels.h"

#define FASTNN_TEXT_OF(name) #name
#define FASTNN_TEXT(name) FASTNN_TEXT_OF(name)

namespace fastnn::FASTNN_TARGET {

extern const KernelTable table;
constexpr KernelTable table = make_table(FASTNN_TEXT(FASTNN_TARGET));
static_assert(complete(table), "a kernel is missing");

}  // namespace fastnn::FASTNN_TARGET
