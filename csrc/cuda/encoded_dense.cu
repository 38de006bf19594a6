// A dense layer that encodes the columns of a table itself (core/encoded_dense.h).
//
// What a row of x adds is first found out for all rows, as on the CPU: for a number with pieces the
// bin and how much of it, for others the row of w and a factor. The records of columns are in the
// device's memory, so scratch memory has the size that all columns could need at most.
#include "core/encoded_dense.h"

#include "core/encoding.h"
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// What rows add beside the scaled numbers, by row and column. None: -1.
template <class T>
struct Terms {
  Index* bin;    // (n, numbers): the row of w of the bin that x lies in
  Index* other;  // (n, encoded): the row of w of a gap or a level
  T* share;      // (n, numbers): how much of the bin
  T* factor;     // (n, encoded): of `other`
  T* beside;     // more numbers, as the pass needs

  static size_t bytes(const EncodeColumns<T>& a, Index beside) {
    const auto terms = static_cast<size_t>(a.n * (a.numbers + a.encoded));
    return terms * (sizeof(Index) + sizeof(T)) + static_cast<size_t>(beside) * sizeof(T);
  }
  // False: there is no memory.
  bool take(Context& context, const EncodeColumns<T>& a, Index count) {
    void* const memory = context.scratch(Context::encoding, bytes(a, most(count, 1)));
    bin = static_cast<Index*>(memory);
    if (memory == nullptr) return false;
    other = bin + a.n * a.numbers;
    share = reinterpret_cast<T*>(other + a.n * a.encoded);
    factor = share + a.n * a.numbers;
    beside = factor + a.n * a.encoded;
    return true;
  }
};

template <class T>
struct ScaleNumbers {
  static constexpr int threads = threads_of_block;
  EncodeColumns<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.numbers) return;
    const Cell cell = cell_of(i, a.numbers);
    const Index k = cell.column;
    const T x = filled(a.x[cell.row * a.columns + a.encodings[k].source], a.fill[k]);
    a.y[i] = scaled_number(x, a.center[k], a.factor[k], a.bound);
  }
};

// Each thread looks at one column of a row.
template <class T>
struct FindTerms {
  static constexpr int threads = threads_of_block;
  EncodeColumns<T> a;
  Terms<T> terms;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.encoded) return;
    const Cell cell = cell_of(i, a.encoded);
    const EncodedColumn& column = a.encodings[cell.column];
    const T x = a.x[cell.row * a.columns + column.source];
    Index row = -1;
    T factor = T(1);
    if (column.kind == ColumnKind::number) {
      find_bin(column, filled(x, a.fill[cell.column]), cell.row * a.numbers + cell.column);
      if (column.has_missing != 0 && is_gap(x)) row = column.gap;
    } else if (column.kind == ColumnKind::signs) {
      factor = sign_of_level(x);
      if (factor != T(0)) row = column.output;
    } else {
      row = level_output(x, column);
    }
    terms.other[i] = row;
    terms.factor[i] = factor;
  }

  // Edges that are equal bound a bin without a width, which is passed over.
  FASTNN_DEVICE void find_bin(const EncodedColumn& column, T x, Index place) const {
    terms.bin[place] = -1;
    if (column.bins == 0) return;
    const T* const edges = a.edges + column.edge;
    Index bin = 0;
    for (Index b = 1; b < column.bins; ++b) bin += x >= edges[b] ? 1 : 0;
    terms.bin[place] = column.pieces + bin;
    terms.share[place] = piece_below(x, edges[bin], edges[bin + 1]);
  }
};

// The sums of w's rows before each bin of a number, from zero on in the order of bins; the sum for
// row r of w is row r - numbers of `beside`. Each thread has a column of w.
template <class T>
struct AddUpRows {
  static constexpr int threads = threads_of_block;
  EncodeColumns<T> a;
  const T* w;
  Index o;
  T* sums;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.numbers * o) return;
    const Cell cell = cell_of(i, o);
    const EncodedColumn& column = a.encodings[cell.row];
    T sum = T(0);
    for (Index b = 0; b < column.bins; ++b) {
      const Index row = column.pieces + b;
      sums[(row - a.numbers) * o + cell.column] = sum;
      sum += w[row * o + cell.column];
    }
  }
};

// Adds to c what a row has beside its numbers. Each thread has an element.
template <class T>
struct AddTerms {
  static constexpr int threads = threads_of_block;
  EncodeColumns<T> a;
  Terms<T> terms;
  const T* w;
  const T* b;  // read only where no product has begun c
  Index o;
  T* c;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * o) return;
    const Cell cell = cell_of(i, o);
    const Index j = cell.column;
    T sum = a.numbers > 0 ? c[i] : b != nullptr ? b[j] : T(0);
    for (Index k = 0; k < a.numbers; ++k) {
      const Index place = cell.row * a.numbers + k;
      const Index row = terms.bin[place];
      if (row < 0) continue;
      const T below = terms.beside[(row - a.numbers) * o + j];
      sum = mul_add(terms.share[place], w[row * o + j], sum + below);
    }
    for (Index k = 0; k < a.encoded; ++k) {
      const Index place = cell.row * a.encoded + k;
      const Index row = terms.other[place];
      if (row >= 0) sum = mul_add(terms.factor[place], w[row * o + j], sum);
    }
    c[i] = sum;
  }
};

template <class T>
Status find_terms(Context& context, const EncodeColumns<T>& columns, const Terms<T>& terms) {
  return launch(context, ceil_div(columns.n * columns.encoded, threads_of_block),
                FindTerms<T>{columns, terms});
}

template <class T>
Status forward(Context& context, const EncodedDenseForward<T>& a) {
  const EncodeColumns<T>& columns = a.columns;
  const DenseForward<T>& dense = a.dense;
  if (dense.n == 0) return Status::ok;
  T* const c = dense.z != nullptr ? dense.z : dense.y;
  Status status = Status::ok;
  if (columns.numbers > 0) {
    DenseForward<T> narrow = dense;
    narrow.i = columns.numbers;
    narrow.x = columns.y;
    narrow.activation = {};
    narrow.z = nullptr;
    narrow.y = c;
    status = launch(context, ceil_div(dense.n * columns.numbers, threads_of_block),
                    ScaleNumbers<T>{columns});
    if (status == Status::ok) status = dense_forward<T>(context, narrow);
    if (status != Status::ok) return status;
  }
  Terms<T> terms{};
  if (!terms.take(context, columns, (columns.width - columns.numbers) * dense.o)) {
    return Status::out_of_memory;
  }
  status = find_terms(context, columns, terms);
  if (status == Status::ok) {
    status = launch(context, ceil_div(columns.numbers * dense.o, threads_of_block),
                    AddUpRows<T>{columns, dense.w, dense.o, terms.beside});
  }
  if (status == Status::ok) {
    status = launch(context, ceil_div(dense.n * dense.o, threads_of_block),
                    AddTerms<T>{columns, terms, dense.w, dense.b, dense.o, c});
  }
  const bool done = dense.activation.is(ActivationKind::linear) && c == dense.y;
  if (status != Status::ok || done) return status;
  return activation_forward<T>(context, {dense.activation, dense.n * dense.o, c, dense.y});
}

// -- backward -----------------------------------------------------------------

// What rows add to the rows of dw that belong to one column. Each thread has these for one column
// of dw, and goes through all rows in their order.
template <class T>
struct AddRows {
  static constexpr int threads = threads_of_block;
  EncodeColumns<T> a;
  Terms<T> terms;
  const T* dz;
  Index o;
  T* dw;
  bool accumulates;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.encoded * o) return;
    const Cell cell = cell_of(i, o);
    const EncodedColumn& column = a.encodings[cell.row];
    const bool is_number = column.kind == ColumnKind::number;
    if (is_number && column.bins > 0) add_pieces(column, cell.row, cell.column);
    if (is_number && column.has_missing == 0) return;
    const Index first = is_number ? column.gap : column.output;
    const Index count =
        is_number || column.kind == ColumnKind::signs ? 1 : column.levels + column.has_missing;
    for (Index r = first; !accumulates && r < first + count; ++r) {
      dw[r * o + cell.column] = T(0);
    }
    for (Index row = 0; row < a.n; ++row) {
      const Index place = row * a.encoded + cell.row;
      const Index r = terms.other[place];
      if (r < 0) continue;
      T& out = dw[r * o + cell.column];
      out = mul_add(terms.factor[place], dz[row * o + cell.column], out);
    }
  }

  // The gradient of a piece is that of its shares, and all of the rows in the bins above.
  FASTNN_DEVICE void add_pieces(const EncodedColumn& column, Index k, Index j) const {
    const Index pieces = a.width - a.numbers;
    T* const own = terms.beside + (column.pieces - a.numbers) * o + j;
    T* const rest = own + pieces * o;
    for (Index b = 0; b < column.bins; ++b) own[b * o] = rest[b * o] = T(0);
    for (Index row = 0; row < a.n; ++row) {
      const Index place = row * a.numbers + k;
      const Index b = terms.bin[place] - column.pieces;
      const T d = dz[row * o + j];
      own[b * o] = mul_add(terms.share[place], d, own[b * o]);
      rest[b * o] += d;
    }
    T above = T(0);
    for (Index b = column.bins - 1; b >= 0; --b) {
      T& out = dw[(column.pieces + b) * o + j];
      const T made = own[b * o] + above;
      out = accumulates ? out + made : made;
      above += rest[b * o];
    }
  }
};

template <class T>
Status backward(Context& context, const EncodedDenseBackward<T>& a) {
  const EncodeColumns<T>& columns = a.columns;
  const DenseBackward<T>& dense = a.dense;
  const bool updates = dense.update != nullptr;
  const bool makes_dw = dense.dw != nullptr || updates;
  const Index beside = (columns.width - columns.numbers) * dense.o;
  Terms<T> terms{};
  if (makes_dw) {  // two sums for each piece, and all of dw where it is stepped with
    const Index made = updates ? columns.width * dense.o : 0;
    if (!terms.take(context, columns, 2 * beside + made)) return Status::out_of_memory;
  }
  T* const dw = updates ? terms.beside + 2 * beside : dense.dw;
  const bool accumulates = dense.accumulates && !updates;
  DenseBackward<T> narrow = dense;  // dz, db, and the numbers' rows of dw
  narrow.i = columns.numbers;
  narrow.x = columns.y;
  narrow.update = nullptr;
  narrow.dw = narrow.i > 0 ? dw : nullptr;
  narrow.accumulates = accumulates;
  Status status = dense_backward<T>(context, narrow);
  if (status != Status::ok || !makes_dw) return status;
  const T* const dz = dense.activation.is(ActivationKind::linear) ? dense.dy : dense.dz;
  status = find_terms(context, columns, terms);
  if (status == Status::ok) {
    status = launch(context, ceil_div(columns.encoded * dense.o, threads_of_block),
                    AddRows<T>{columns, terms, dz, dense.o, dw, accumulates});
  }
  if (status != Status::ok || !updates) return status;
  OptimizerStep<T> step = *dense.update;
  step.grad = dw;
  return optimizer_step<T>(context, step);
}

}  // namespace

extern const EncodedDense encoded_dense;
constexpr EncodedDense encoded_dense{.f32 = {forward<float>, backward<float>},
                                     .f64 = {forward<double>, backward<double>}};

}  // namespace fastnn::FASTNN_TARGET
