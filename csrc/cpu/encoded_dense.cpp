// A dense layer that encodes the columns of a table itself (core/encoded_dense.h).
//
// What a row of x adds is first found out for all rows: for columns with pieces the bin and how
// much of it, for others the row of w and a factor. Both passes then run over strips of w's
// columns, as many as a few vectors hold, with a row of the strip in registers.
#include "core/encoded_dense.h"

#include "core/encoding.h"
#include "cpu/gemm_vector.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/optimizer.h"

namespace fastnn::FASTNN_TARGET {

// What rows add: of columns with pieces, then of gaps and levels. By row.
template <class T>
struct Terms {
  Index columns;       // with pieces
  const Index* bin;    // (n, columns): the row of w of the bin that x lies in
  const T* share;      // (n, columns): how much of it
  const Index* first;  // (columns): the row of w of the first bin
  Index others;        // the most that a row has
  const Index* count;  // (n): how many it has
  const Index* row;    // (n, others): of w
  const T* factor;     // (n, others)
};

// Memory for them, and for the sums of w's rows before each bin (bins of all columns, o).
template <class T>
struct Room {
  Index* bin;
  T* share;
  Index* first;
  Index* count;
  Index* row;
  T* factor;
  T* sums;
};

template <class T>
struct Layout {
  Index pieces = 0;  // columns with some
  Index bins = 0;    // of all of them
  Index others = 0;  // outputs, at most, of gaps and levels that are not 0
};

template <class T>
static Layout<T> layout_of(const EncodeColumns<T>& a) {
  Layout<T> layout;
  for (Index k = 0; k < a.encoded; ++k) {
    const EncodedColumn& column = a.encodings[k];
    if (column.kind != ColumnKind::number) {
      ++layout.others;
      continue;
    }
    layout.pieces += column.bins > 0 ? 1 : 0;
    layout.bins += column.bins;
    layout.others += column.has_missing;
  }
  return layout;
}

template <class T>
static bool take_room(Context& context, const Layout<T>& layout, Index n, Index o, bool sums,
                      Room<T>& room) {
  const Index numbers = n * (layout.pieces + layout.others) + (sums ? layout.bins * o : 0);
  const Index indices = n * (layout.pieces + layout.others + 1) + layout.pieces;
  const Index bytes =
      numbers * static_cast<Index>(sizeof(T)) + indices * static_cast<Index>(sizeof(Index));
  void* const memory = context.scratch(Context::shared, static_cast<size_t>(most(bytes, 1)));
  if (memory == nullptr) return false;
  room.bin = static_cast<Index*>(memory);
  room.first = room.bin + n * layout.pieces;
  room.count = room.first + layout.pieces;
  room.row = room.count + n;
  room.sums = reinterpret_cast<T*>(room.row + n * layout.others);
  room.share = room.sums + (sums ? layout.bins * o : 0);
  room.factor = room.share + n * layout.pieces;
  return true;
}

// The bin of x: edges that are equal bound one without a width, which is passed over.
template <class T>
static Index bin_of(T x, const T* edges, Index bins) {
  Index bin = 0;
  for (Index b = 1; b < bins; ++b) bin += x >= edges[b] ? 1 : 0;
  return bin;
}

template <class T>
static void find_row_terms(const EncodeColumns<T>& a, const Layout<T>& layout, Index row,
                           const Room<T>& room) {
  const T* const x = a.x + row * a.columns;
  Index* const bin = room.bin + row * layout.pieces;
  T* const share = room.share + row * layout.pieces;
  Index* const named = room.row + row * layout.others;
  T* const factor = room.factor + row * layout.others;
  Index pieces = 0;
  Index count = 0;
  const auto add = [&](Index output, T value) {
    named[count] = output;
    factor[count] = value;
    ++count;
  };
  for (Index k = 0; k < a.numbers; ++k) {
    const EncodedColumn& column = a.encodings[k];
    const T raw = x[column.source];
    if (column.bins > 0) {
      const T value = filled(raw, a.fill[k]);
      const T* const edges = a.edges + column.edge;
      const Index b = bin_of(value, edges, column.bins);
      bin[pieces] = column.pieces + b;
      share[pieces] = piece_below(value, edges[b], edges[b + 1]);
      ++pieces;
    }
    if (column.has_missing != 0 && is_gap(raw)) add(column.gap, T(1));
  }
  for (Index k = a.numbers; k < a.encoded; ++k) {
    const EncodedColumn& column = a.encodings[k];
    if (column.kind == ColumnKind::signs) {
      const T sign = sign_of_level(x[column.source]);
      if (sign != T(0)) add(column.output, sign);
      continue;
    }
    const Index output = level_output(x[column.source], column);
    if (output >= 0) add(output, T(1));
  }
  room.count[row] = count;
}

template <class T>
static Terms<T> find_terms(Context& context, const EncodeColumns<T>& a, const Layout<T>& layout,
                           const Room<T>& room) {
  Index pieces = 0;
  for (Index k = 0; k < a.numbers; ++k) {
    if (a.encodings[k].bins > 0) room.first[pieces++] = a.encodings[k].pieces;
  }
  const Index cost = 8 * a.encoded + layout.bins + 1;
  for_ranges(context, a.n, cost, [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) find_row_terms(a, layout, row, room);
  });
  return {layout.pieces, room.bin,   room.share, room.first,
          layout.others, room.count, room.row,   room.factor};
}

template <class T>
static void scale_numbers(Context& context, const EncodeColumns<T>& a) {
  for_ranges(context, a.n, most(8 * a.numbers, 1), [&](Index begin, Index end) {
    for (Index row = begin; row < end; ++row) {
      const T* const x = a.x + row * a.columns;
      T* __restrict__ const y = a.y + row * a.numbers;
      for (Index k = 0; k < a.numbers; ++k) y[k] = filled(x[a.encodings[k].source], a.fill[k]);
      for (Index k = 0; k < a.numbers; ++k) {
        y[k] = scaled_number(y[k], a.center[k], a.factor[k], a.bound);
      }
    }
  });
}

// A row of a strip of w's columns, or of one like it: V vectors, the last of which has `mask`.
template <class T, Index V, bool Masked>
struct Strip {
  using Vec = Vector<T>;
  static constexpr Index vectors = V;
  static constexpr Index width = V * Vec::lanes;
  using Row = typename Vec::Type[static_cast<size_t>(V)];
  Index count;  // its columns
  typename Vec::Mask mask;

  FASTNN_INLINE typename Vec::Type load(const T* from, Index j) const {
    const T* const at = from + j * Vec::lanes;
    return Masked && j == V - 1 ? Vec::load(at, mask) : Vec::load(at);
  }
  FASTNN_INLINE void store(T* to, Index j, typename Vec::Type x) const {
    T* const at = to + j * Vec::lanes;
    if (Masked && j == V - 1) {
      Vec::store(at, mask, x);
    } else {
      Vec::store(at, x);
    }
  }
};

inline constexpr Index most_vectors = 8;

// f(strip, column) for strips that cover [begin, end), the last of which may be narrower.
template <class T, class F>
static FASTNN_INLINE void each_strip(Index begin, Index end, const F& f) {
  using Vec = Vector<T>;
  constexpr Index half = most_vectors / 2;
  Index column = begin;
  for (; column + most_vectors * Vec::lanes <= end; column += most_vectors * Vec::lanes) {
    f(Strip<T, most_vectors, false>{most_vectors * Vec::lanes, Vec::first(0)}, column);
  }
  for (; column + half * Vec::lanes <= end; column += half * Vec::lanes) {
    f(Strip<T, half, false>{half * Vec::lanes, Vec::first(0)}, column);
  }
  for (; column + Vec::lanes <= end; column += Vec::lanes) {
    f(Strip<T, 1, false>{Vec::lanes, Vec::first(0)}, column);
  }
  if (column == end) return;
  f(Strip<T, 1, true>{end - column, Vec::first(end - column)}, column);
}

// -- forward ----------------------------------------------------------------

// The sums of w's rows before each bin of a column, from zero on in the order of bins.
template <class T>
static void add_up_rows(const EncodedDenseForward<T>& a, const Terms<T>& terms, T* sums,
                        Index begin, Index end) {
  const Index o = a.dense.o;
  const Index before = terms.columns > 0 ? terms.first[0] : 0;  // the row of w of the first sum
  for (Index k = 0; k < a.columns.numbers; ++k) {
    const EncodedColumn& column = a.columns.encodings[k];
    for (Index b = 0; b < column.bins; ++b) {
      T* __restrict__ const to = sums + (column.pieces - before + b) * o;
      const T* const last = to - o;
      const T* const w = a.dense.w + (column.pieces + b - 1) * o;
      for (Index j = begin; j < end; ++j) to[j] = b > 0 ? last[j] + w[j] : T(0);
    }
  }
}

template <class T>
struct ForwardRows {
  const EncodedDenseForward<T>& a;
  Terms<T> terms;
  const T* sums;  // null: rows are few, and each adds up its own
  T* c;           // (n, o): holds what the numbers give, and the bias
};

// Adds to c what row `row` has beside its numbers.
template <class T, class S>
static FASTNN_INLINE void add_terms(const ForwardRows<T>& f, const S& strip, Index row,
                                    Index column) {
  using Vec = Vector<T>;
  constexpr Index V = S::vectors;
  const Index o = f.a.dense.o;
  const Terms<T>& terms = f.terms;
  const T* const w = f.a.dense.w + column;
  T* const c = f.c + row * o + column;
  typename S::Row sum;
#pragma GCC unroll 8
  for (Index j = 0; j < V; ++j) sum[j] = strip.load(c, j);
  const Index* const bin = terms.bin + row * terms.columns;
  const T* const share = terms.share + row * terms.columns;
  for (Index k = 0; k < terms.columns; ++k) {
    typename S::Row below;
    if (f.sums != nullptr) {
      const T* const from = f.sums + (bin[k] - terms.first[0]) * o + column;
#pragma GCC unroll 8
      for (Index j = 0; j < V; ++j) below[j] = strip.load(from, j);
    } else {
#pragma GCC unroll 8
      for (Index j = 0; j < V; ++j) below[j] = Vec::zero();
      for (Index b = terms.first[k]; b < bin[k]; ++b) {
#pragma GCC unroll 8
        for (Index j = 0; j < V; ++j) below[j] = Vec::add(below[j], strip.load(w + b * o, j));
      }
    }
    const T* const own = w + bin[k] * o;
    const typename Vec::Type part = Vec::broadcast(share[k]);
#pragma GCC unroll 8
    for (Index j = 0; j < V; ++j) {
      sum[j] = Vec::mul_add(part, strip.load(own, j), Vec::add(sum[j], below[j]));
    }
  }
  const Index* const named = terms.row + row * terms.others;
  const T* const factor = terms.factor + row * terms.others;
  const Index count = terms.count[row];
  for (Index k = 0; k < count; ++k) {
    const T* const own = w + named[k] * o;
    const typename Vec::Type x = Vec::broadcast(factor[k]);
#pragma GCC unroll 8
    for (Index j = 0; j < V; ++j) sum[j] = Vec::mul_add(x, strip.load(own, j), sum[j]);
  }
#pragma GCC unroll 8
  for (Index j = 0; j < V; ++j) strip.store(c, j, sum[j]);
}

template <class Kind, class T>
static void activate(Kind kind, Index n, const T* z, T* y) {
  FASTNN_INDEPENDENT
  for (Index j = 0; j < n; ++j) y[j] = kind.forward(z[j]);
}

template <class T>
static void forward_rows(const ForwardRows<T>& f, Index begin, Index end) {
  const DenseForward<T>& dense = f.a.dense;
  const Index o = dense.o;
  if (f.a.columns.numbers == 0) {  // no product has begun c
    for (Index row = begin; row < end; ++row) {
      T* __restrict__ const c = f.c + row * o;
      for (Index j = 0; j < o; ++j) c[j] = dense.b != nullptr ? dense.b[j] : T(0);
    }
  }
  each_strip<T>(0, o, [&](const auto& strip, Index column) {
    for (Index row = begin; row < end; ++row) add_terms(f, strip, row, column);
  });
  if (dense.activation.is(ActivationKind::linear) && f.c == dense.y) return;
  with_activation(dense.activation, [&](auto kind) {
    activate(kind, (end - begin) * o, f.c + begin * o, dense.y + begin * o);
  });
}

template <class T>
static Status forward(Context& context, const EncodedDenseForward<T>& a) {
  const DenseForward<T>& dense = a.dense;
  if (dense.n == 0) return Status::ok;
  T* const c = dense.z != nullptr ? dense.z : dense.y;
  if (a.columns.numbers > 0) {
    scale_numbers(context, a.columns);
    DenseForward<T> narrow = dense;
    narrow.i = a.columns.numbers;
    narrow.x = a.columns.y;
    narrow.activation = {};
    narrow.z = nullptr;
    narrow.y = c;
    const Status status = dense_forward<T>(context, narrow);
    if (status != Status::ok) return status;
  }
  constexpr Index few = 4;  // rows, for which sums for all bins would not pay
  const Layout<T> layout = layout_of(a.columns);
  const bool adds_up = dense.n > few && layout.bins > 0;
  Room<T> room;
  if (!take_room(context, layout, dense.n, dense.o, adds_up, room)) return Status::out_of_memory;
  const Terms<T> terms = find_terms(context, a.columns, layout, room);
  if (adds_up) {
    for_ranges(context, dense.o, layout.bins,
               [&](Index begin, Index end) { add_up_rows(a, terms, room.sums, begin, end); });
  }
  const ForwardRows<T> rows{a, terms, adds_up ? room.sums : nullptr, c};
  // So many rows at a time that c is still in cache when the next strip, and the activation, come.
  const Index at_once = most(least(dense.n, (Index{1} << 13) / dense.o), 1);
  const Index cost = dense.n * dense.o * (2 * layout.pieces + layout.others + 2) / 8;
  for_tasks(context, ceil_div(dense.n, at_once), cost, [&](Index task, int) {
    forward_rows(rows, task * at_once, least((task + 1) * at_once, dense.n));
  });
  return Status::ok;
}

// -- backward ---------------------------------------------------------------

template <class T>
struct BackwardStrips {
  const EncodedDenseBackward<T>& a;
  Terms<T> terms;
  Index bins;    // of all columns
  Index others;  // rows of w behind those of pieces
  const T* dz;
  const PreparedStep<T>* step;  // null: dw is stored, or added to

  Index first_piece() const { return a.columns.numbers; }
  Index first_other() const { return a.columns.numbers + bins; }
};

// Parts of a strip of dw.
template <class T>
struct StripSums {
  T* pieces;  // (bins, 2, width): of what rows have of a bin and, of the same rows, of all that
              // they have of each bin before it
  T* others;  // (others, stride)
  Index stride;
};

template <class T, class S>
static FASTNN_INLINE void add_rows(const BackwardStrips<T>& f, const S& strip, Index column,
                                   const StripSums<T>& sums) {
  using Vec = Vector<T>;
  constexpr Index V = S::vectors;
  const Terms<T>& terms = f.terms;
  const Index o = f.a.dense.o;
  for (Index row = 0; row < f.a.dense.n; ++row) {
    typename S::Row dz;
#pragma GCC unroll 8
    for (Index j = 0; j < V; ++j) dz[j] = strip.load(f.dz + row * o + column, j);
    const Index* const bin = terms.bin + row * terms.columns;
    const T* const share = terms.share + row * terms.columns;
    for (Index k = 0; k < terms.columns; ++k) {
      T* const own = sums.pieces + (bin[k] - f.first_piece()) * 2 * S::width;
      T* const rest = own + S::width;
      const typename Vec::Type part = Vec::broadcast(share[k]);
#pragma GCC unroll 8
      for (Index j = 0; j < V; ++j) {
        const Index at = j * Vec::lanes;
        Vec::store(own + at, Vec::mul_add(part, dz[j], Vec::load(own + at)));
        Vec::store(rest + at, Vec::add(dz[j], Vec::load(rest + at)));
      }
    }
    const Index* const named = terms.row + row * terms.others;
    const T* const factor = terms.factor + row * terms.others;
    const Index count = terms.count[row];
    for (Index k = 0; k < count; ++k) {
      T* const own = sums.others + (named[k] - f.first_other()) * sums.stride;
      const typename Vec::Type x = Vec::broadcast(factor[k]);
#pragma GCC unroll 8
      for (Index j = 0; j < V; ++j) {
        strip.store(own, j, Vec::mul_add(x, dz[j], strip.load(own, j)));
      }
    }
  }
}

// The gradient of a piece is that of its shares, and all of the rows in the bins above.
template <class T, class S>
static FASTNN_INLINE void add_above(const BackwardStrips<T>& f, const S&,
                                    const StripSums<T>& sums) {
  for (Index k = 0; k < f.a.columns.numbers; ++k) {
    const EncodedColumn& column = f.a.columns.encodings[k];
    T above[S::width] = {};
    for (Index b = column.bins - 1; b >= 0; --b) {
      T* __restrict__ const own =
          sums.pieces + (column.pieces - f.first_piece() + b) * 2 * S::width;
      const T* __restrict__ const rest = own + S::width;
      for (Index j = 0; j < S::width; ++j) own[j] += above[j];
      for (Index j = 0; j < S::width; ++j) above[j] += rest[j];
    }
  }
}

// Rows of a strip of dw, made in scratch memory: stored, added, or given to the optimizer.
template <class T, class S>
static FASTNN_INLINE void finish_strip(const BackwardStrips<T>& f, const S& strip, Index column,
                                       Index first, Index rows, const T* made, Index stride) {
  const DenseBackward<T>& dense = f.a.dense;
  constexpr Index ahead = 2;
  for (Index r = 0; r < rows; ++r, made += stride) {
    const Index place = (first + r) * dense.o + column;
    if (f.step != nullptr) {
      if (r + ahead < rows) f.step->fetch(place + ahead * dense.o, strip.count);
      f.step->apply(place, strip.count, made);
      continue;
    }
    T* __restrict__ const to = dense.dw + place;
    if (dense.accumulates) {
      for (Index j = 0; j < strip.count; ++j) to[j] += made[j];
    } else {
      for (Index j = 0; j < strip.count; ++j) to[j] = made[j];
    }
  }
}

template <class T, class S>
static FASTNN_INLINE void backward_strip(const BackwardStrips<T>& f, const S& strip, Index column,
                                         T* scratch) {
  const DenseBackward<T>& dense = f.a.dense;
  const bool direct = f.step == nullptr;  // others are added up in dw itself
  StripSums<T> sums{scratch, scratch + 2 * f.bins * S::width, S::width};
  const Index made = (2 * f.bins + (direct ? 0 : f.others)) * S::width;
  for (Index i = 0; i < made; ++i) scratch[i] = T(0);
  if (direct) {
    sums.others = dense.dw + f.first_other() * dense.o + column;
    sums.stride = dense.o;
    for (Index r = 0; !dense.accumulates && r < f.others; ++r) {
      T* const to = sums.others + r * dense.o;
      for (Index j = 0; j < strip.count; ++j) to[j] = T(0);
    }
  }
  add_rows(f, strip, column, sums);
  add_above(f, strip, sums);
  finish_strip(f, strip, column, f.first_piece(), f.bins, sums.pieces, 2 * S::width);
  if (!direct) finish_strip(f, strip, column, f.first_other(), f.others, sums.others, S::width);
}

// What rows add to dw beyond the numbers. `step`: what w takes with it, or null.
template <class T>
static Status backward_terms(Context& context, const EncodedDenseBackward<T>& a, const T* dz,
                             const PreparedStep<T>* step) {
  const DenseBackward<T>& dense = a.dense;
  const Layout<T> layout = layout_of(a.columns);
  Room<T> room;
  if (!take_room(context, layout, dense.n, dense.o, false, room)) return Status::out_of_memory;
  const Terms<T> terms = find_terms(context, a.columns, layout, room);
  const Index others = a.columns.width - a.columns.numbers - layout.bins;
  const BackwardStrips<T> strips{a, terms, layout.bins, others, dz, step};
  constexpr Index wide = most_vectors / 2 * Vector<T>::lanes;  // columns of a task
  const Index rows = 2 * layout.bins + (step != nullptr ? others : 0);
  const size_t bytes = static_cast<size_t>(most(rows * wide, 1)) * sizeof(T);
  const Index cost =
      dense.o * (dense.n * (4 * layout.pieces + 2 * layout.others + 1) + rows + others) / 8;
  bool failed[max_threads] = {};
  for_tasks(context, ceil_div(dense.o, wide), cost, [&](Index task, int worker) {
    auto* const scratch = static_cast<T*>(context.scratch(worker, bytes));
    failed[worker] = failed[worker] || scratch == nullptr;
    if (scratch == nullptr) return;
    each_strip<T>(
        task * wide, least((task + 1) * wide, dense.o),
        [&](const auto& strip, Index column) { backward_strip(strips, strip, column, scratch); });
  });
  for (const bool one : failed) {
    if (one) return Status::out_of_memory;
  }
  return Status::ok;
}

template <class T>
static Status backward(Context& context, const EncodedDenseBackward<T>& a) {
  DenseBackward<T> narrow = a.dense;  // dz, db, and the numbers' rows of dw
  narrow.i = a.columns.numbers;
  narrow.x = a.columns.y;
  if (narrow.i == 0) {
    narrow.dw = nullptr;
    narrow.update = nullptr;
  }
  const Status status = dense_backward<T>(context, narrow);
  if (status != Status::ok) return status;
  const T* const dz = a.dense.activation.is(ActivationKind::linear) ? a.dense.dy : a.dense.dz;
  if (a.dense.update != nullptr) {
    const PreparedStep<T> step(*a.dense.update);
    return backward_terms(context, a, dz, &step);
  }
  return a.dense.dw != nullptr ? backward_terms<T>(context, a, dz, nullptr) : Status::ok;
}

extern const EncodedDense encoded_dense;
constexpr EncodedDense encoded_dense{.f32 = {forward<float>, backward<float>},
                                     .f64 = {forward<double>, backward<double>}};

}  // namespace fastnn::FASTNN_TARGET
