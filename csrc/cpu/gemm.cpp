// Matrix products: a register tile, and how the tiles are walked.
//
// The tile keeps R rows by V vectors of C in registers, and for each k
// broadcasts R elements of A, read at any stride, against V vectors of B. B is
// read in place, or from a packed copy where it is transposed, or large and used
// often; A is packed where its rows would fall into the same cache sets.
#include "cpu/gemm.h"

#include "cpu/gemm_row.h"
#include "cpu/gemm_vector.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// Tile height for the registers that there are: 32 with AVX-512, else 16.
#if defined(__AVX512F__)
inline constexpr int max_rows = 14;
#else
inline constexpr int max_rows = 6;
#endif
inline constexpr int max_vectors = 2;

template <class T>
inline constexpr Index panel = max_vectors * Vector<T>::lanes;

template <class T>
struct Tile {
  Index k;
  const T* a;
  Index a_row, a_column;
  const T* b;
  Index b_row;
  T* c;
  Index c_row;
  Index last;  // lanes of the last vector that exist
  bool add;    // to C, else overwrite it
};

// Every loop over the tile must be unrolled, or the accumulators leave the registers.
template <class T, int R, int V, bool Masked>
static void tile(const Tile<T>& t) {
  using Vec = Vector<T>;
  typename Vec::Type c[R][V];
  const typename Vec::Mask mask = Vec::first(t.last);
  const T* a = t.a;
  const T* b = t.b;
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) c[i][j] = Vec::zero();
  }
  for (Index k = 0; k < t.k; ++k) {
    typename Vec::Type row[V];
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      const bool masked = Masked && j == V - 1;
      row[j] = masked ? Vec::load(b + j * Vec::lanes, mask) : Vec::load(b + j * Vec::lanes);
    }
#pragma GCC unroll 16
    for (int i = 0; i < R; ++i) {
      const typename Vec::Type x = Vec::broadcast(a[i * t.a_row]);
#pragma GCC unroll 4
      for (int j = 0; j < V; ++j) c[i][j] = Vec::mul_add(x, row[j], c[i][j]);
    }
    a += t.a_column;
    b += t.b_row;
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < V; ++j) {
      T* const to = t.c + i * t.c_row + j * Vec::lanes;
      if (Masked && j == V - 1) {
        if (t.add) c[i][j] = Vec::add(Vec::load(to, mask), c[i][j]);
        Vec::store(to, mask, c[i][j]);
      } else {
        if (t.add) c[i][j] = Vec::add(Vec::load(to), c[i][j]);
        Vec::store(to, c[i][j]);
      }
    }
  }
}

template <class T>
using TileFunction = void (*)(const Tile<T>&);

// By rows - 1, vectors - 1 and whether the last vector is masked.
template <class T>
struct Tiles {
  TileFunction<T> at[max_rows][max_vectors][2];
};

template <class T, int R>
static constexpr void set_tiles(Tiles<T>& tiles) {
  tiles.at[R - 1][0][0] = tile<T, R, 1, false>;
  tiles.at[R - 1][0][1] = tile<T, R, 1, true>;
  tiles.at[R - 1][1][0] = tile<T, R, 2, false>;
  tiles.at[R - 1][1][1] = tile<T, R, 2, true>;
  if constexpr (R > 1) set_tiles<T, R - 1>(tiles);
}

template <class T>
static constexpr Tiles<T> make_tiles() {
  Tiles<T> tiles{};
  set_tiles<T, max_rows>(tiles);
  return tiles;
}

template <class T>
inline constexpr Tiles<T> tiles = make_tiles<T>();

// m rows in tiles of heights that differ by one at most.
struct Heights {
  Index count, low, higher;  // `higher` tiles of low + 1 rows come first

  FASTNN_INLINE Index start(Index i) const { return i * low + least(i, higher); }
};

static Heights heights(Index m) {
  const Index count = ceil_div(m, max_rows);
  return {count, m / count, m % count};
}

// How a product is done: what is copied, and how C is cut into tasks. Of shape
// alone, and without effect on the bits of the result.
struct Schedule {
  bool pack_a, pack_b;
  Index columns;       // of B at hand at a time
  Index task_rows;     // of C in one task
  Index task_columns;  // likewise, whole panels
};

template <class T>
static Schedule make_schedule(const Product<T>& p) {
  constexpr Index bytes = sizeof(T);
  constexpr Index aliasing = 4096;  // rows this far apart meet in one cache set
  constexpr Index scratch = Index{16} << 20;
  Schedule s{};
  const Index wide = round_up(p.n, panel<T>);
  const bool large_b = p.k * p.n * bytes > (Index{256} << 10);
  s.pack_b = p.b_column != 1 || (large_b && p.m >= 128);
  const bool aliased = (p.a_column == 1 ? p.a_row : p.a_column) * bytes % aliasing == 0;
  s.pack_a = p.m > 1 && p.k > 1 && ((aliased && p.n >= 64) || (p.n >= 512 && p.m >= 64));
  s.columns = wide;
  if (s.pack_b && p.k * wide * bytes > scratch) {
    s.columns = most(scratch / bytes / p.k / panel<T> * panel<T>, panel<T>);
  }
  s.task_rows = 8 * max_rows;
  // Few rows: share out the columns instead.
  const Index row_tasks = ceil_div(p.m, s.task_rows);
  const Index column_tasks = most(8 / row_tasks, 1);
  s.task_columns = round_up(ceil_div(least(wide, s.columns), column_tasks), panel<T>);
  return s;
}

// Where B, or a packed copy of some of its columns, is to be read: rows
// k0..k0 + k_block of panel j.
template <class T>
struct Columns {
  const T* b;
  Index first, count;  // columns
  Index k;
  bool packed;
  Index b_row;

  FASTNN_INLINE const T* at(Index k0, Index panel_index) const {
    return packed ? b + panel_index * panel<T> * k + k0 * panel<T>
                  : b + k0 * b_row + first + panel_index * panel<T>;
  }
  FASTNN_INLINE Index row() const { return packed ? panel<T> : b_row; }
};

// One panel of B for all k, padded with zeros.
template <class T>
static void pack_panel(const Product<T>& p, Index first, T* __restrict__ out) {
  const Index width = least(panel<T>, p.n - first);
  if (p.b_column == 1) {
    for (Index k = 0; k < p.k; ++k) {
      const T* const row = p.b + k * p.b_row + first;
      for (Index j = 0; j < width; ++j) out[k * panel<T> + j] = row[j];
      for (Index j = width; j < panel<T>; ++j) out[k * panel<T> + j] = T(0);
    }
    return;
  }
  // A few k at a time, so that the lines written stay in the first cache.
  constexpr Index strip = 64;
  for (Index k0 = 0; k0 < p.k; k0 += strip) {
    const Index k1 = least(k0 + strip, p.k);
    for (Index j = 0; j < panel<T>; ++j) {
      if (j < width) {
        const T* const column = p.b + (first + j) * p.b_column;
        for (Index k = k0; k < k1; ++k) out[k * panel<T> + j] = column[k * p.b_row];
      } else {
        for (Index k = k0; k < k1; ++k) out[k * panel<T> + j] = T(0);
      }
    }
  }
}

// Rows of A, tile by tile, each (k, rows of the tile).
template <class T>
static void pack_rows(const Product<T>& p, const Heights& h, Index row, Index k0, Index kc,
                      T* __restrict__ out) {
  for (Index i = 0; i < h.count; ++i) {
    const Index start = h.start(i);
    const Index rows = h.start(i + 1) - start;
    const T* const a = p.a + (row + start) * p.a_row + k0 * p.a_column;
    T* const to = out + start * kc;
    if (p.a_row == 1) {
      for (Index k = 0; k < kc; ++k) {
        for (Index r = 0; r < rows; ++r) to[k * rows + r] = a[r + k * p.a_column];
      }
    } else {
      for (Index r = 0; r < rows; ++r) {
        for (Index k = 0; k < kc; ++k) to[k * rows + r] = a[r * p.a_row + k * p.a_column];
      }
    }
  }
}

// The rows of a task against one panel, for one block of k.
template <class T>
static void multiply_panel(const Product<T>& p, const Heights& h, const Block& block,
                           const T* packed_a, Index k0, const T* b, Index b_row, Index column,
                           Index width) {
  const Index kc = least(k_block, p.k - k0);
  const Index vectors = ceil_div(width, Vector<T>::lanes);
  const Index last = width - (vectors - 1) * Vector<T>::lanes;
  const int masked = last != Vector<T>::lanes ? 1 : 0;
  for (Index i = 0; i < h.count; ++i) {
    const Index start = h.start(i);
    const Index rows = h.start(i + 1) - start;
    const bool packed = packed_a != nullptr;
    tiles<T>.at[rows - 1][vectors - 1][masked]({
        .k = kc,
        .a = packed ? packed_a + start * kc : p.a + (block.row + start) * p.a_row + k0 * p.a_column,
        .a_row = packed ? 1 : p.a_row,
        .a_column = packed ? rows : p.a_column,
        .b = b,
        .b_row = b_row,
        .c = p.c + (block.row + start) * p.c_row + column,
        .c_row = p.c_row,
        .last = last,
        .add = k0 > 0,
    });
  }
}

template <class T>
static bool multiply_block(Context& context, const Product<T>& p, const Schedule& s,
                           const Columns<T>& columns, const Block& block, int worker) {
  const Heights h = heights(block.rows);
  T* packed_a = nullptr;
  if (s.pack_a) {
    packed_a = static_cast<T*>(
        context.scratch(worker, static_cast<size_t>(s.task_rows * k_block) * sizeof(T)));
    if (packed_a == nullptr) return false;
  }
  for (Index k0 = 0; k0 < p.k; k0 += k_block) {
    if (s.pack_a) pack_rows(p, h, block.row, k0, least(k_block, p.k - k0), packed_a);
    for (Index column = 0; column < block.columns; column += panel<T>) {
      const Index index = (block.column - columns.first + column) / panel<T>;
      multiply_panel(p, h, block, packed_a, k0, columns.at(k0, index), columns.row(),
                     block.column + column, least(panel<T>, block.columns - column));
    }
  }
  if (p.finish != nullptr) p.finish(p.arguments, block);
  return true;
}

template <class T>
static bool multiply_columns(Context& context, const Product<T>& p, const Schedule& s,
                             const Columns<T>& columns) {
  const Index across = ceil_div(columns.count, s.task_columns);
  const Index down = ceil_div(p.m, s.task_rows);
  constexpr Index flops_per_unit = 32;  // of the cost that for_tasks counts in
  bool done = true;
  for_tasks(context, across * down, p.m * columns.count / flops_per_unit * p.k,
            [&](Index index, int worker) {
              const Index row = index / across * s.task_rows;
              const Index column = index % across * s.task_columns;
              const Block block{row, least(s.task_rows, p.m - row), columns.first + column,
                                least(s.task_columns, columns.count - column)};
              if (!multiply_block(context, p, s, columns, block, worker)) {
                __atomic_store_n(&done, false, __ATOMIC_RELAXED);
              }
            });
  return done;
}

// Nothing to add up: C is zero.
template <class T>
static void clear(const Product<T>& p) {
  for (Index i = 0; i < p.m; ++i) {
    for (Index j = 0; j < p.n; ++j) p.c[i * p.c_row + j] = T(0);
  }
  if (p.finish != nullptr) p.finish(p.arguments, {0, p.m, 0, p.n});
}

template <class T>
Status multiply(Context& context, const Product<T>& p) {
  if (p.m == 0 || p.n == 0) return Status::ok;
  if (p.k == 0) {
    clear(p);
    return Status::ok;
  }
  if (p.m == 1 && p.b_column == 1) {
    multiply_row(context, p);
    return Status::ok;
  }
  const Schedule s = make_schedule(p);
  if (!s.pack_b) {
    return multiply_columns(context, p, s, {p.b, 0, p.n, p.k, false, p.b_row})
               ? Status::ok
               : Status::out_of_memory;
  }
  T* const packed = static_cast<T*>(
      context.scratch(Context::shared, static_cast<size_t>(p.k * s.columns) * sizeof(T)));
  if (packed == nullptr) return Status::out_of_memory;
  for (Index first = 0; first < p.n; first += s.columns) {
    const Index count = least(s.columns, p.n - first);
    const Index panels = ceil_div(count, panel<T>);
    for_tasks(context, panels, p.k * count, [&](Index j, int) {
      pack_panel(p, first + j * panel<T>, packed + j * panel<T> * p.k);
    });
    if (!multiply_columns(context, p, s, {packed, first, count, p.k, true, p.b_row})) {
      return Status::out_of_memory;
    }
  }
  return Status::ok;
}

template Status multiply(Context&, const Product<float>&);
template Status multiply(Context&, const Product<double>&);

}  // namespace fastnn::FASTNN_TARGET
