// Rows of sparse matrices: as dense ones, times a matrix of weights, and the gradient of that.
#include "core/element.h"

#include "cuda/kernels.h"
#include "cuda/rows_of_step.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 128;

// A block writes a row: the columns without a number first.
template <class T, class From>
struct ScatterRow {
  static constexpr int threads = threads_of_block;
  GatherSparse<T> a;
  const From* values;
  RowsOfStep rows;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    T* const out = a.out + t.block() * a.columns;
    for (Index j = t.index(); j < a.columns; j += threads) out[j] = a.offset;
    t.barrier();
    const Index row = rows.at(t.block());
    for (Index e = a.source.starts[row] + t.index(); e < a.source.starts[row + 1]; e += threads) {
      out[a.source.columns[e]] = mul_add(a.scale, convert<T>(values[e]), a.offset);
    }
  }
};

// A block makes a row of y, a thread some columns.
template <class T, class From>
struct MultiplyRow {
  static constexpr int threads = threads_of_block;
  SparseForward<T> a;
  const From* values;
  RowsOfStep rows;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index row = rows.at(t.block());
    for (Index j = t.index(); j < a.o; j += threads) {
      T sum = a.b != nullptr ? a.b[j] : T(0);
      for (Index e = a.x.starts[row]; e < a.x.starts[row + 1]; ++e) {
        sum = mul_add(a.scale * convert<T>(values[e]), a.w[a.x.columns[e] * a.o + j], sum);
      }
      a.y[t.block() * a.o + j] = sum;
    }
  }
};

// A warp makes a row of dw: it looks for its column in each row of x, by halves.
template <class T, class From>
struct AddColumn {
  static constexpr int threads = threads_of_block;
  static constexpr int warps = threads / 32;
  SparseBackward<T> a;
  const From* values;
  RowsOfStep rows;

  // Where the row has the column, or -1.
  FASTNN_DEVICE Index find(Index row, Index column) const {
    Index low = a.x.starts[row];
    const Index end = a.x.starts[row + 1];
    Index high = end;
    while (low < high) {
      const Index middle = low + (high - low) / 2;
      if (a.x.columns[middle] < column) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low < end && a.x.columns[low] == column ? low : -1;
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index column = t.block() * warps + t.warp();
    if (column >= a.i) return;
    T* const dw = a.dw + column * a.o;
    for (Index j = t.lane(); !a.accumulates && j < a.o; j += 32) dw[j] = T(0);
    for (Index r = 0; r < a.rows.n; ++r) {
      const Index e = find(rows.at(r), column);
      if (e < 0) continue;
      const T factor = a.scale * convert<T>(values[e]);
      for (Index j = t.lane(); j < a.o; j += 32) {
        dw[j] = mul_add(factor, a.dz[r * a.o + j], dw[j]);
      }
    }
  }
};

}  // namespace

template <class T>
Status gather_sparse(Context& context, const GatherSparse<T>& a) {
  return with_floats(a.source.element, [&]<class From>(const From*) {
    return launch(context, a.rows.n,
                  ScatterRow<T, From>{a, static_cast<const From*>(a.source.values),
                                      rows_of(a.rows, context.step.values)});
  });
}

template <class T>
Status sparse_forward(Context& context, const SparseForward<T>& a) {
  return with_floats(a.x.element, [&]<class From>(const From*) {
    return launch(context, a.rows.n,
                  MultiplyRow<T, From>{a, static_cast<const From*>(a.x.values),
                                       rows_of(a.rows, context.step.values)});
  });
}

template <class T>
Status sparse_backward(Context& context, const SparseBackward<T>& a) {
  return with_floats(a.x.element, [&]<class From>(const From*) {
    using Body = AddColumn<T, From>;
    return launch(
        context, ceil_div(a.i, Body::warps),
        Body{a, static_cast<const From*>(a.x.values), rows_of(a.rows, context.step.values)});
  });
}

FASTNN_INSTANTIATE(gather_sparse, GatherSparse)
FASTNN_INSTANTIATE(sparse_forward, SparseForward)
FASTNN_INSTANTIATE(sparse_backward, SparseBackward)

}  // namespace fastnn::FASTNN_TARGET
