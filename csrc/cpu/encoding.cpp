// Columns of a table as inputs of a network: the pass that writes all outputs of a row.
#include "core/encoding.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// Scaled values, pieces and gaps of the columns of numbers.
template <class T>
static void encode_numbers(const EncodeColumns<T>& a, const T* x, T* __restrict__ y) {
  for (Index k = 0; k < a.numbers; ++k) y[k] = filled(x[a.encodings[k].source], a.fill[k]);
  for (Index k = 0; k < a.numbers; ++k) {
    y[k] = scaled_number(y[k], a.center[k], a.factor[k], a.bound);
  }
  for (Index k = 0; k < a.numbers; ++k) {
    const EncodedColumn& column = a.encodings[k];
    const T raw = x[column.source];
    const T value = filled(raw, a.fill[k]);
    const T* const edges = a.edges + column.edge;
    T* __restrict__ const pieces = y + column.pieces;
    for (Index b = 0; b < column.bins; ++b) {
      pieces[b] = piece_below(value, edges[b], edges[b + 1]);
    }
    if (column.has_missing != 0) y[column.gap] = is_gap(raw) ? T(1) : T(0);
  }
}

template <class T>
static void encode_levels(const EncodedColumn& column, T x, T* __restrict__ y) {
  if (column.kind == ColumnKind::signs) {
    y[column.output] = sign_of_level(x);
    return;
  }
  const Index end = column.output + column.levels + column.has_missing;
  for (Index j = column.output; j < end; ++j) y[j] = T(0);
  const Index one = level_output(x, column);
  if (one >= 0) y[one] = T(1);
}

template <class T>
Status encode_columns(Context& context, const EncodeColumns<T>& a) {
  const Index cost = most(a.width + 8 * a.encoded, 1);
  for_ranges(context, a.n, cost, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const x = a.x + row * a.columns;
      T* const y = a.y + row * a.width;
      encode_numbers(a, x, y);
      for (Index k = a.numbers; k < a.encoded; ++k) {
        encode_levels(a.encodings[k], x[a.encodings[k].source], y);
      }
    }
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(encode_columns, EncodeColumns)

}  // namespace fastnn::FASTNN_TARGET
