// The dense layer: products, with all that belongs to their results done where
// these are still in cache: bias and activation going forward; going back, the
// derivative of the layer before, its bias's gradient, and the weights' update.
#include "core/activation.h"

#include "cpu/dense_finish.h"
#include "cpu/gemm.h"
#include "cpu/gemm_pack.h"
#include "cpu/group_sums.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/optimizer.h"

namespace fastnn::FASTNN_TARGET {

// -- forward ----------------------------------------------------------------

template <class Kind, class T>
static void activate(Kind kind, Index n, const T* z, T* y) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < n; ++j) y[j] = kind.forward(z[j]);
}

// As `activate`, of which z, the memory behind it, is kept as well.
template <class Kind, class T>
static void keep_and_activate(Kind kind, Index n, const T* c, T* __restrict__ z,
                              T* __restrict__ y) {
  for (Index j = 0; j < n; ++j) {
    z[j] = c[j];
    y[j] = kind.forward(c[j]);
  }
}

template <class T>
static void forward_piece(const DenseForward<T>& a, const ResultBlock<T>& block) {
  const Index place = block.row * a.o + block.column;
  // Whole rows are one run of elements.
  const bool flat = block.columns == a.o && block.c_row == a.o;
  const Index rows = flat ? 1 : block.rows;
  const Index columns = flat ? block.rows * block.columns : block.columns;
  with_activation(a.activation, [&](auto kind) {
    for (Index r = 0; r < rows; ++r) {
      const T* const c = block.c + r * block.c_row;
      T* const y = a.y + place + r * a.o;
      T* const z = a.z != nullptr ? a.z + place + r * a.o : nullptr;
      if (z == nullptr || z == c || z == y) {
        activate(kind, columns, c, y);
      } else {
        keep_and_activate(kind, columns, c, z, y);
      }
    }
  });
}

template <class T>
static void finish_forward(const void* arguments, const ResultBlock<T>& block) {
  forward_piece(*static_cast<const DenseForward<T>*>(arguments), block);
}

template <class T>
Status dense_forward(Context& context, const DenseForward<T>& a) {
  T* const c = a.z != nullptr ? a.z : a.y;
  const bool done = a.activation.is(ActivationKind::linear) && c == a.y;
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
static void multiply_slope(Kind kind, Index n, const T* c, const T* __restrict__ x, T* dx) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < n; ++j) dx[j] = c[j] * kind.slope(x[j], x[j]);
}

template <class T>
static void dx_piece(const DenseBackward<T>& a, const ResultBlock<T>& block) {
  const Index place = block.row * a.i + block.column;
  T* const dx = a.dx + place;
  const T* const x = (needs_preactivation(a.x_activation) ? a.x_z : a.x) + place;
  const bool flat = block.columns == a.i && block.c_row == a.i;
  const Index rows = flat ? 1 : block.rows;
  const Index columns = flat ? block.rows * block.columns : block.columns;
  with_activation(a.x_activation, [&](auto kind) {
    for (Index r = 0; r < rows; ++r) {
      multiply_slope(kind, columns, block.c + r * block.c_row, x + r * a.i, dx + r * a.i);
    }
  });
}

template <class T>
static void finish_dx(const void* arguments, const ResultBlock<T>& block) {
  const auto& [a, sums] = *static_cast<const InputGradient<T>*>(arguments);
  dx_piece(a, block);
  if (sums == nullptr) return;
  const T* const dx = a.dx + block.row * a.i + block.column;
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
  const bool plain = a.x_activation.is(ActivationKind::linear) && a.dx_sum == nullptr;
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
static void update_piece(const PreparedStep<T>& step, Index o, const ResultBlock<T>& block) {
  if (block.columns == o && block.c_row == o) {
    step.apply(block.row * o, block.rows * o, block.c);
    return;
  }
  // Pieces of rows are too short, and too far apart, for the hardware to know which come next.
  constexpr Index ahead = 2;
  for (Index r = -ahead; r < block.rows; ++r) {
    const Index place = (block.row + r) * o + block.column;
    if (r + ahead < block.rows) step.fetch(place + ahead * o, block.columns);
    if (r >= 0) step.apply(place, block.columns, block.c + r * block.c_row);
  }
}

template <class T>
static void update_weights(const void* arguments, const ResultBlock<T>& block) {
  const auto& [step, o] = *static_cast<const WeightUpdate<T>*>(arguments);
  update_piece(step, o, block);
}

// dw of a layer with few outputs, made as its transpose (o, i): rows of x fill the
// vectors that rows of dz would leave half empty.
inline constexpr Index few_outputs = 12;

template <class T>
struct NarrowGradient {
  const DenseBackward<T>& a;
  const WeightUpdate<T>* update;  // null: dw is stored, or added to
};

template <class T>
static void finish_narrow(const void* arguments, const ResultBlock<T>& block) {
  const auto& [a, update] = *static_cast<const NarrowGradient<T>*>(arguments);
  constexpr Index at_once = 64;
  constexpr Index lanes_of = Square<T>::lanes;
  T rows[at_once * few_outputs + lanes_of] = {};  // the transposition writes whole vectors
  for (Index first = 0; first < block.columns; first += at_once) {
    const Index count = least(at_once, block.columns - first);
    // The last columns first: their vectors reach into the rows behind.
    for (Index j = (a.o - 1) / lanes_of * lanes_of; j >= 0; j -= lanes_of) {
      transpose_strip(block.c + j * block.c_row + first, block.c_row, least(lanes_of, a.o - j),
                      count, rows + j, a.o);
    }
    const Index place = (block.column + first) * a.o;
    if (update != nullptr) {
      update->step.apply(place, count * a.o, rows);
    } else if (a.accumulates) {
      for (Index k = 0; k < count * a.o; ++k) a.dw[place + k] += rows[k];
    } else {
      __builtin_memcpy(a.dw + place, rows, static_cast<size_t>(count * a.o) * sizeof(T));
    }
  }
}

template <class T>
static Status narrow_gradient(Context& context, const DenseBackward<T>& a, const T* dz,
                              const WeightUpdate<T>* update) {
  const NarrowGradient<T> arguments{a, update};
  return multiply<T>(context, {.m = a.o,
                               .n = a.i,
                               .k = a.n,
                               .a = dz,
                               .a_row = 1,
                               .a_column = a.o,
                               .b = a.x,
                               .b_row = a.i,
                               .b_column = 1,
                               .c = nullptr,
                               .c_row = 0,
                               .add = false,
                               .start = nullptr,
                               .finish = finish_narrow<T>,
                               .arguments = &arguments});
}

template <class T>
static Status weight_gradient(Context& context, const DenseBackward<T>& a, const T* dz,
                              const WeightUpdate<T>* update) {
  if (a.o <= few_outputs && a.i >= 64) return narrow_gradient(context, a, dz, update);
  const OptimizerStep<T>* const step = update != nullptr ? a.update : nullptr;
  return multiply<T>(context, {.m = a.i,
                               .n = a.o,
                               .k = a.n,
                               .a = a.x,
                               .a_row = 1,
                               .a_column = a.i,
                               .b = dz,
                               .b_row = a.o,
                               .b_column = 1,
                               .c = update != nullptr ? nullptr : a.dw,
                               .c_row = a.o,
                               .add = a.accumulates && update == nullptr,
                               .start = nullptr,
                               .finish = update != nullptr ? update_weights<T> : nullptr,
                               .arguments = update,
                               .beside = {step != nullptr ? step->param : nullptr,
                                          step != nullptr ? step->slots[0] : nullptr,
                                          step != nullptr ? step->slots[1] : nullptr}});
}

template <class T>
Status dense_backward(Context& context, const DenseBackward<T>& a) {
  const T* dz = a.dy;
  Status status = Status::ok;
  if (!a.activation.is(ActivationKind::linear)) {
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
    return weight_gradient<T>(context, a, dz, &update);
  }
  if (a.dw != nullptr) return weight_gradient<T>(context, a, dz, nullptr);
  return Status::ok;
}

// -- for products made elsewhere --------------------------------------------

static PreparedBytes prepare_bytes(const OptimizerStep<float>& step) {
  const PreparedStep<float> prepared(step);
  static_assert(sizeof(prepared) <= sizeof(PreparedBytes));
  PreparedBytes bytes{};
  __builtin_memcpy(&bytes, &prepared, sizeof prepared);
  return bytes;
}

static void update_bytes(const PreparedBytes& bytes, Index o, const ResultBlock<float>& block) {
  update_piece(*reinterpret_cast<const PreparedStep<float>*>(&bytes), o, block);
}

extern const DenseFinish dense_finish;
constexpr DenseFinish dense_finish{.forward = forward_piece<float>,
                                   .dx = dx_piece<float>,
                                   .prepare = prepare_bytes,
                                   .update = update_bytes};

FASTNN_INSTANTIATE(dense_forward, DenseForward)
FASTNN_INSTANTIATE(dense_backward, DenseBackward)

}  // namespace fastnn::FASTNN_TARGET
