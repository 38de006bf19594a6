// Columns of a table as inputs of a network: the pass that writes all outputs of a row.
#include "core/encoding.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// Each thread writes all outputs of one column of a row.
template <class T>
struct EncodeOne {
  static constexpr int threads = threads_of_block;
  EncodeColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.encoded) return;
    const Cell cell = cell_of(i, a.encoded);
    const EncodedColumn& column = a.encodings[cell.column];
    const T x = a.x[cell.row * a.columns + column.source];
    T* const y = a.y + cell.row * a.width;
    if (column.kind == ColumnKind::number) {
      number(column, cell.column, x, y);
    } else if (column.kind == ColumnKind::signs) {
      y[column.output] = sign_of_level(x);
    } else {
      const Index one = level_output(x, column);
      const Index end = column.output + column.levels + column.has_missing;
      for (Index j = column.output; j < end; ++j) y[j] = j == one ? T(1) : T(0);
    }
  }

  FASTNN_DEVICE void number(const EncodedColumn& column, Index k, T x, T* y) const {
    const T value = filled(x, a.fill[k]);
    y[k] = scaled_number(value, a.center[k], a.factor[k], a.bound);
    for (Index b = 0; b < column.bins; ++b) {
      const T* const edges = a.edges + column.edge + b;
      y[column.pieces + b] = piece_below(value, edges[0], edges[1]);
    }
    if (column.has_missing != 0) y[column.gap] = is_gap(x) ? T(1) : T(0);
  }
};

}  // namespace

template <class T>
Status encode_columns(Context& context, const EncodeColumns<T>& a) {
  return launch(context, ceil_div(a.n * a.encoded, threads_of_block), EncodeOne<T>{a});
}

FASTNN_INSTANTIATE(encode_columns, EncodeColumns)

}  // namespace fastnn::FASTNN_TARGET
