// The dense layer: products, with bias and activation where the product leaves
// its result in cache.
#include "core/activation.h"

#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
static void bias_and_activation(const void* arguments, const Block& block) {
  const auto& a = *static_cast<const DenseForward<T>*>(arguments);
  with_activation(a.activation, [&](auto kind) {
    using Kind = decltype(kind);
    for (Index r = block.row; r < block.row + block.rows; ++r) {
      T* const y = a.y + r * a.o + block.column;
      T* const z = a.z != nullptr ? a.z + r * a.o + block.column : y;
      const T* const b = a.b != nullptr ? a.b + block.column : nullptr;
      if (b != nullptr) {
        for (Index j = 0; j < block.columns; ++j) z[j] += b[j];
      }
      if (z != y || a.activation != Activation::linear) {
        for (Index j = 0; j < block.columns; ++j) y[j] = Kind::forward(z[j]);
      }
    }
  });
}

template <class T>
Status dense_forward(Context& context, const DenseForward<T>& a) {
  return multiply<T>(context, {.m = a.n,
                               .n = a.o,
                               .k = a.i,
                               .a = a.x,
                               .a_row = a.i,
                               .a_column = 1,
                               .b = a.w,
                               .b_row = a.o,
                               .b_column = 1,
                               .c = a.z != nullptr ? a.z : a.y,
                               .c_row = a.o,
                               .finish = bias_and_activation<T>,
                               .arguments = &a});
}

// db: the sum over rows, in groups whose sums are added in order.
template <class T>
static Status sum_rows(Context& context, Index n, Index o, const T* dz, T* db) {
  const RowGroups groups = row_groups(n);
  T* sums = db;
  if (groups.count > 1) {
    sums = static_cast<T*>(
        context.scratch(Context::shared, static_cast<size_t>(groups.count * o) * sizeof(T)));
    if (sums == nullptr) return Status::out_of_memory;
  }
  for_row_groups(context, n, o, [&](Index group, Index begin, Index end, int) {
    T* __restrict__ const sum = sums + group * o;
    for (Index j = 0; j < o; ++j) sum[j] = dz[begin * o + j];
    for (Index r = begin + 1; r < end; ++r) {
      const T* __restrict__ const row = dz + r * o;
      for (Index j = 0; j < o; ++j) sum[j] += row[j];
    }
  });
  if (groups.count > 1) {
    for (Index j = 0; j < o; ++j) db[j] = sums[j];
    for (Index group = 1; group < groups.count; ++group) {
      for (Index j = 0; j < o; ++j) db[j] += sums[group * o + j];
    }
  }
  if (n == 0) {
    for (Index j = 0; j < o; ++j) db[j] = T(0);
  }
  return Status::ok;
}

template <class T>
Status dense_backward(Context& context, const DenseBackward<T>& a) {
  const T* dz = a.dy;
  Status status = Status::ok;
  if (a.activation != Activation::linear) {
    status = activation_backward<T>(
        context,
        {.activation = a.activation, .n = a.n * a.o, .dy = a.dy, .x = a.z, .y = a.y, .dx = a.dz});
    dz = a.dz;
  }
  if (status == Status::ok && a.db != nullptr) status = sum_rows(context, a.n, a.o, dz, a.db);
  if (status == Status::ok && a.dx != nullptr) {
    status = multiply<T>(context, {.m = a.n,
                                   .n = a.i,
                                   .k = a.o,
                                   .a = dz,
                                   .a_row = a.o,
                                   .a_column = 1,
                                   .b = a.w,
                                   .b_row = 1,
                                   .b_column = a.o,
                                   .c = a.dx,
                                   .c_row = a.i,
                                   .finish = nullptr,
                                   .arguments = nullptr});
  }
  if (status == Status::ok && a.dw != nullptr) {
    status = multiply<T>(context, {.m = a.i,
                                   .n = a.o,
                                   .k = a.n,
                                   .a = a.x,
                                   .a_row = 1,
                                   .a_column = a.i,
                                   .b = dz,
                                   .b_row = a.o,
                                   .b_column = 1,
                                   .c = a.dw,
                                   .c_row = a.o,
                                   .finish = nullptr,
                                   .arguments = nullptr});
  }
  return status;
}

FASTNN_INSTANTIATE(dense_forward, DenseForward)
FASTNN_INSTANTIATE(dense_backward, DenseBackward)

}  // namespace fastnn::FASTNN_TARGET
