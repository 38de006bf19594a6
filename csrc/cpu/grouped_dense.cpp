// Dense layers side by side, each for a group of columns: a product for each group.
#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
Status grouped_dense_forward(Context& context, const GroupedDenseForward<T>& a) {
  Status status = Status::ok;
  for (Index g = 0; g < a.groups && a.n > 0 && status == Status::ok; ++g) {
    status = multiply<T>(context, {.m = a.n,
                                   .n = a.o,
                                   .k = a.i,
                                   .a = a.x + g * a.i,
                                   .a_row = a.groups * a.i,
                                   .a_column = 1,
                                   .b = a.w + g * a.i * a.o,
                                   .b_row = a.o,
                                   .b_column = 1,
                                   .c = a.y + g * a.o,
                                   .c_row = a.groups * a.o,
                                   .add = false,
                                   .start = a.b != nullptr ? a.b + g * a.o : nullptr,
                                   .finish = nullptr,
                                   .arguments = nullptr});
  }
  return status;
}

template <class T>
static Status input_gradient(Context& context, const GroupedDenseBackward<T>& a, Index g) {
  return multiply<T>(context, {.m = a.n,
                               .n = a.i,
                               .k = a.o,
                               .a = a.dy + g * a.o,
                               .a_row = a.groups * a.o,
                               .a_column = 1,
                               .b = a.w + g * a.i * a.o,
                               .b_row = 1,
                               .b_column = a.o,
                               .c = a.dx + g * a.i,
                               .c_row = a.groups * a.i,
                               .add = false,
                               .start = nullptr,
                               .finish = nullptr,
                               .arguments = nullptr});
}

template <class T>
static Status weight_gradient(Context& context, const GroupedDenseBackward<T>& a, Index g) {
  return multiply<T>(context, {.m = a.i,
                               .n = a.o,
                               .k = a.n,
                               .a = a.x + g * a.i,
                               .a_row = 1,
                               .a_column = a.groups * a.i,
                               .b = a.dy + g * a.o,
                               .b_row = a.groups * a.o,
                               .b_column = 1,
                               .c = a.dw + g * a.i * a.o,
                               .c_row = a.o,
                               .add = a.accumulates,
                               .start = nullptr,
                               .finish = nullptr,
                               .arguments = nullptr});
}

template <class T>
Status grouped_dense_backward(Context& context, const GroupedDenseBackward<T>& a) {
  Status status = Status::ok;
  for (Index g = 0; g < a.groups && a.n > 0 && status == Status::ok; ++g) {
    if (a.dx != nullptr) status = input_gradient(context, a, g);
    if (a.dw != nullptr && status == Status::ok) status = weight_gradient(context, a, g);
  }
  if (a.db == nullptr || status != Status::ok) return status;
  return dense_backward<T>(context, {.n = a.n,
                                     .i = 0,
                                     .o = a.groups * a.o,
                                     .dy = a.dy,
                                     .x = nullptr,
                                     .w = nullptr,
                                     .y = nullptr,
                                     .z = nullptr,
                                     .activation = {},
                                     .dz = nullptr,
                                     .dx = nullptr,
                                     .dw = nullptr,
                                     .db = a.db,
                                     .accumulates = a.accumulates});
}

FASTNN_INSTANTIATE(grouped_dense_forward, GroupedDenseForward)
FASTNN_INSTANTIATE(grouped_dense_backward, GroupedDenseBackward)

}  // namespace fastnn::FASTNN_TARGET
