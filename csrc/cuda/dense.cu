// The dense layer: products, with all that belongs to their results done before these
// leave a block: bias and activation going forward; going back, the slope of the layer
// before and the sums of its bias's gradient.
#include "cuda/gemm.h"
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
Status dense_forward(Context& context, const DenseForward<T>& a) {
  const bool aligned = packs_align(a.y, a.o) && (a.z == nullptr || packs_align(a.z, a.o));
  return multiply<true, false>(context, Multiply<T, FinishForward<T>>{
                                            .m = a.n,
                                            .n = a.o,
                                            .k = a.i,
                                            .a = operand(a.x, a.i, a.n),
                                            .b = operand(a.w, a.o, a.o),
                                            .cut = cut_of<T>(context.precision, a.n, a.o, a.i),
                                            .finish = {a.b, a.activation, a.z, a.y, aligned},
                                        });
}

namespace {

// What the two products of a backward pass share.
template <class T>
struct Backward {
  Context& context;
  const DenseBackward<T>& a;
  const T* dz;
  T* room;                     // for sums over rows
  RowSums<T> unfinished = {};  // dx_sum, from those of the rows of dx's tiles

  Cut dx_cut() const { return cut_of<T>(context.precision, a.n, a.i, a.o); }
  Cut dw_cut() const { return cut_of<T>(context.precision, a.i, a.o, a.n); }
  bool sums_dx() const { return a.dx != nullptr && a.dx_sum != nullptr; }
  bool makes_dw() const { return a.dw != nullptr || a.update != nullptr; }

  Index dx_room() const {
    const Index regions = ceil_div(a.n, dx_cut().rows);
    return sums_dx() ? regions * a.i + fold_room(regions, a.i) : 0;
  }
  Index db_room() const {
    if (a.db == nullptr) return 0;
    return makes_dw() ? dw_cut().pieces * a.o : fold_room(a.n, a.o);
  }

  Status input_gradient();
  Status weight_gradient();
  Status bias_gradient() const;
};

template <class T>
Status Backward<T>::input_gradient() {
  const bool from_z = needs_preactivation(a.x_activation);
  const T* const given = from_z ? a.x_z : a.x;
  const bool aligned = packs_align(a.dx, a.i) && packs_align(given, a.i);
  const Cut cut = dx_cut();
  T* const sums = sums_dx() ? room : nullptr;
  Status status =
      multiply<true, true>(context, Multiply<T, FinishInputGradient<T>>{
                                        .m = a.n,
                                        .n = a.i,
                                        .k = a.o,
                                        .a = operand(dz, a.o, a.n),
                                        .b = operand(a.w, a.o, a.i),
                                        .cut = cut,
                                        .finish = {a.x_activation, given, a.dx, sums, aligned},
                                    });
  if (status != Status::ok || sums == nullptr) return status;
  const Index regions = ceil_div(a.n, cut.rows);
  unfinished = {sums, regions, a.i, regions, a.dx_sum, a.accumulates};
  return fold_rows(context, unfinished, room + regions * a.i);
}

// dw and db, and dx_sum beside them.
template <class T>
Status Backward<T>::weight_gradient() {
  const Cut cut = dw_cut();
  T* dw = nullptr;
  if (a.update != nullptr) {
    const auto elements = static_cast<size_t>(most(cut.pieces * a.i * a.o, 1));
    dw = static_cast<T*>(context.scratch(Context::product, elements * sizeof(T)));
    if (dw == nullptr) return Status::out_of_memory;
  }
  T* const db_pieces = room + dx_room();
  ColumnSums<T> db{a.db, a.accumulates};
  RowSums<T> rest;
  if (cut.pieces > 1 && a.db != nullptr) {
    db = {db_pieces, false};
    rest = {db_pieces, cut.pieces, a.o, cut.pieces, a.db, a.accumulates};
  }
  Status status =
      multiply<false, false>(context,
                             Multiply<T, FinishStore<T>>{
                                 .m = a.i,
                                 .n = a.o,
                                 .k = a.n,
                                 .a = operand(a.x, a.i, a.i),
                                 .b = operand(dz, a.o, a.o),
                                 .cut = cut,
                                 .finish = {a.dw, 0, a.accumulates, packs_align(a.dw, a.o)},
                                 .b_sums = db,
                                 .beside = unfinished,
                                 .after = rest,
                             },
                             dw);
  if (status != Status::ok || a.update == nullptr) return status;
  status = sum_rows(context, rest);
  if (status != Status::ok) return status;
  OptimizerStep<T> step = *a.update;
  step.grad = dw;
  step.pieces = cut.pieces;
  step.piece_stride = a.i * a.o;
  return optimizer_step<T>(context, step);
}

template <class T>
Status Backward<T>::bias_gradient() const {
  RowSums<T> sums{dz, a.n, a.o, a.n, a.db, a.accumulates};
  const Status status = fold_rows(context, sums, room + dx_room());
  return status == Status::ok ? sum_rows(context, sums) : status;
}

}  // namespace

template <class T>
Status dense_backward(Context& context, const DenseBackward<T>& a) {
  Backward<T> pass{.context = context, .a = a, .dz = a.dy, .room = nullptr};
  const Index room = most(pass.dx_room() + pass.db_room(), 1);
  pass.room =
      static_cast<T*>(context.scratch(Context::sums, static_cast<size_t>(room) * sizeof(T)));
  if (pass.room == nullptr) return Status::out_of_memory;
  Status status = Status::ok;
  if (!a.activation.is(ActivationKind::linear)) {
    status = activation_backward<T>(
        context,
        {.activation = a.activation, .n = a.n * a.o, .dy = a.dy, .x = a.z, .y = a.y, .dx = a.dz});
    pass.dz = a.dz;
  }
  if (status == Status::ok && a.dx != nullptr) status = pass.input_gradient();
  if (status != Status::ok) return status;
  if (pass.makes_dw()) return pass.weight_gradient();
  status = sum_rows(context, pass.unfinished);
  if (status == Status::ok && a.db != nullptr) status = pass.bias_gradient();
  return status;
}

int bf16_parts_of_product(int precision, Index m, Index n, Index k) {
  return cut_of<float>(precision, m, n, k).bf16_parts;
}

FASTNN_INSTANTIATE(dense_forward, DenseForward)
FASTNN_INSTANTIATE(dense_backward, DenseBackward)

}  // namespace fastnn::FASTNN_TARGET
