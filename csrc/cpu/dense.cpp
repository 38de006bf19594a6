// The dense layer: products, with all that belongs to their results done where
// these are still in cache: bias and activation going forward; going back, the
// derivative of the layer before, its bias's gradient, and the weights' update.
#include "core/activation.h"

#include "cpu/gemm.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/optimizer.h"

namespace fastnn::FASTNN_TARGET {

// -- forward ----------------------------------------------------------------

template <class Kind, class T>
static void activate(Index n, const T* z, T* y) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < n; ++j) y[j] = Kind::forward(z[j]);
}

// As `activate`, of which z, the memory behind it, is kept as well.
template <class Kind, class T>
static void keep_and_activate(Index n, const T* c, T* __restrict__ z, T* __restrict__ y) {
  for (Index j = 0; j < n; ++j) {
    z[j] = c[j];
    y[j] = Kind::forward(c[j]);
  }
}

template <class T>
static void finish_forward(const void* arguments, const Piece<T>& block) {
  const auto& a = *static_cast<const DenseForward<T>*>(arguments);
  const Index place = block.row * a.o + block.column;
  // Whole rows are one run of elements.
  const bool flat = block.columns == a.o && block.c_row == a.o;
  const Index rows = flat ? 1 : block.rows;
  const Index columns = flat ? block.rows * block.columns : block.columns;
  with_activation(a.activation, [&](auto kind) {
    using Kind = decltype(kind);
    for (Index r = 0; r < rows; ++r) {
      const T* const c = block.c + r * block.c_row;
      T* const y = a.y + place + r * a.o;
      T* const z = a.z != nullptr ? a.z + place + r * a.o : nullptr;
      if (z == nullptr || z == c || z == y) {
        activate<Kind>(columns, c, y);
      } else {
        keep_and_activate<Kind>(columns, c, z, y);
      }
    }
  });
}

template <class T>
Status dense_forward(Context& context, const DenseForward<T>& a) {
  T* const c = a.z != nullptr ? a.z : a.y;
  const bool done = a.activation == Activation::linear && c == a.y;
  return multiply<T>(context, {.m = a.n,
                               .n = a.o,
                               .k = a.i,
                               .a = a.x,
                               .a_row = a.i,
                               .a_column = 1,
                               .b = a.w,
                               .b_row = a.o,
                               .b_column = 1,
                               .c = c,
                               .c_row = a.o,
                               .add = false,
                               .start = a.b,
                               .finish = done ? nullptr : finish_forward<T>,
                               .arguments = &a});
}

// -- sums over rows ---------------------------------------------------------

// Adds the rows of a matrix to `sum`, or starts it with the first.
template <class T>
static void add_rows(const T* __restrict__ rows, Index stride, Index n, Index columns, bool starts,
                     T* __restrict__ sum) {
  if (starts) {
    for (Index j = 0; j < columns; ++j) sum[j] = rows[j];
  }
  for (Index r = starts ? 1 : 0; r < n; ++r) {
    const T* __restrict__ const row = rows + r * stride;
    for (Index j = 0; j < columns; ++j) sum[j] += row[j];
  }
}

// The sums of the groups, in order, as the result or added to what is there.
template <class T>
static void join_groups(const T* __restrict__ sums, Index groups, Index columns, bool accumulates,
                        T* __restrict__ out) {
  if (!accumulates) {
    for (Index j = 0; j < columns; ++j) out[j] = groups > 0 ? sums[j] : T(0);
  }
  for (Index group = accumulates ? 0 : 1; group < groups; ++group) {
    for (Index j = 0; j < columns; ++j) out[j] += sums[group * columns + j];
  }
}

// A place for the sums of each group.
template <class T>
static T* group_sums(Context& context, Index n, Index columns) {
  const Index groups = row_groups(n).count;
  return static_cast<T*>(
      context.scratch(Context::sums, static_cast<size_t>(most(groups, 1) * columns) * sizeof(T)));
}

// db: the sum of dz over rows, in groups.
template <class T>
static Status sum_rows(Context& context, const DenseBackward<T>& a, const T* dz) {
  const RowGroups groups = row_groups(a.n);
  if (groups.count == 1 && !a.accumulates) {
    add_rows(dz, a.o, a.n, a.o, true, a.db);
    return Status::ok;
  }
  T* const sums = group_sums<T>(context, a.n, a.o);
  if (sums == nullptr) return Status::out_of_memory;
  for_row_groups(context, a.n, a.o, [&](Index group, Index begin, Index end, int) {
    add_rows(dz + begin * a.o, a.o, end - begin, a.o, true, sums + group * a.o);
  });
  join_groups(sums, groups.count, a.o, a.accumulates, a.db);
  return Status::ok;
}

// -- dx ---------------------------------------------------------------------

template <class T>
struct InputGradient {
  const DenseBackward<T>& a;
  T* sums;  // of dx, by row group; may be null
};

template <class Kind, class T>
static void multiply_slope(Index n, const T* c, const T* __restrict__ x, T* dx) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < n; ++j) dx[j] = c[j] * Kind::slope(x[j], x[j]);
}

template <class T>
static void finish_dx(const void* arguments, const Piece<T>& block) {
  const auto& [a, sums] = *static_cast<const InputGradient<T>*>(arguments);
  const Index place = block.row * a.i + block.column;
  T* const dx = a.dx + place;
  const T* const x = (needs_preactivation(a.x_activation) ? a.x_z : a.x) + place;
  const bool flat = block.columns == a.i && block.c_row == a.i;
  const Index rows = flat ? 1 : block.rows;
  const Index columns = flat ? block.rows * block.columns : block.columns;
  with_activation(a.x_activation, [&](auto kind) {
    for (Index r = 0; r < rows; ++r) {
      multiply_slope<decltype(kind)>(columns, block.c + r * block.c_row, x + r * a.i, dx + r * a.i);
    }
  });
  if (sums == nullptr) return;
  const Index group_rows = row_groups(a.n).rows;
  add_rows(dx, a.i, block.rows, block.columns, block.row % group_rows == 0,
           sums + block.row / group_rows * a.i + block.column);
}

template <class T>
static Status input_gradient(Context& context, const DenseBackward<T>& a, const T* dz) {
  InputGradient<T> arguments{a, nullptr};
  if (a.dx_sum != nullptr) {
    arguments.sums = group_sums<T>(context, a.n, a.i);
    if (arguments.sums == nullptr) return Status::out_of_memory;
  }
  const bool plain = a.x_activation == Activation::linear && a.dx_sum == nullptr;
  const Status status = multiply<T>(context, {.m = a.n,
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
                                              .add = false,
                                              .start = nullptr,
                                              .finish = plain ? nullptr : finish_dx<T>,
                                              .arguments = &arguments,
                                              .ordered = a.dx_sum != nullptr});
  if (status == Status::ok && a.dx_sum != nullptr) {
    join_groups(arguments.sums, row_groups(a.n).count, a.i, a.accumulates, a.dx_sum);
  }
  return status;
}

// -- dw ---------------------------------------------------------------------

template <class T>
struct WeightUpdate {
  PreparedStep<T> step;
  Index o;
};

template <class T>
static void update_weights(const void* arguments, const Piece<T>& block) {
  const auto& [step, o] = *static_cast<const WeightUpdate<T>*>(arguments);
  if (block.columns == o && block.c_row == o) {
    step.apply(block.row * o, block.rows * o, block.c);
    return;
  }
  for (Index r = 0; r < block.rows; ++r) {
    step.apply((block.row + r) * o + block.column, block.columns, block.c + r * block.c_row);
  }
}

template <class T>
static Status weight_gradient(Context& context, const DenseBackward<T>& a, const T* dz, T* dw,
                              const WeightUpdate<T>* update) {
  return multiply<T>(context, {.m = a.i,
                               .n = a.o,
                               .k = a.n,
                               .a = a.x,
                               .a_row = 1,
                               .a_column = a.i,
                               .b = dz,
                               .b_row = a.o,
                               .b_column = 1,
                               .c = dw,
                               .c_row = a.o,
                               .add = a.accumulates,
                               .start = nullptr,
                               .finish = update != nullptr ? update_weights<T> : nullptr,
                               .arguments = update});
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
  if (status == Status::ok && a.db != nullptr) status = sum_rows(context, a, dz);
  if (status == Status::ok && a.dx != nullptr) status = input_gradient(context, a, dz);
  if (status != Status::ok) return status;
  if (a.update != nullptr) {
    const WeightUpdate<T> update{PreparedStep<T>(*a.update), a.o};
    return weight_gradient<T>(context, a, dz, nullptr, &update);
  }
  if (a.dw != nullptr) return weight_gradient<T>(context, a, dz, a.dw, nullptr);
  return Status::ok;
}

FASTNN_INSTANTIATE(dense_forward, DenseForward)
FASTNN_INSTANTIATE(dense_backward, DenseBackward)

}  // namespace fastnn::FASTNN_TARGET
