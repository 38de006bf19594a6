// Matrix products: the loops around the micro-kernel, and the choice of operands to copy first.
//
// C is cut into tasks: the rows of one or several row groups, and a range of columns. A task goes
// through its columns in chunks, so that a chunk of C stays in the second-level cache over all k,
// and through a chunk in panels, so that the current rows of a panel of B stay in cache. B is read
// in place or from a packed copy, which is made before the tasks if many of them use it, and
// otherwise panel by panel. A is packed if its rows would fall into the same cache sets.
#include "cpu/gemm.h"

#include "cpu/gemm_pack.h"
#include "cpu/gemm_row.h"
#include "cpu/gemm_tile.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// Divides m rows into tiles whose heights differ by one at most.
struct Heights {
  Index count, low, higher;  // `higher` tiles of low + 1 rows come first

  FASTNN_INLINE Index start(Index i) const { return i * low + least(i, higher); }
};

static FASTNN_INLINE Heights heights(Index m) {
  const Index count = ceil_div(m, max_rows);
  return {count, m / count, m % count};
}

enum class Copy : unsigned char { none, panels, whole };

// How a product is computed. Only `k_block` and `k_group` affect the bits of the result; they
// depend on shape and strides, not on the number of threads.
struct Schedule {
  bool pack_a;
  Copy pack_b;
  bool scratch_c;
  bool fetches;        // prefetches Product::beside
  Index k_block;       // terms of one chain
  Index k_group;       // terms of one task: all, or a multiple of k_block
  Index k_chunk;       // terms of A packed at a time
  Index columns;       // columns of B packed at a time, if B is packed as a whole
  Index rows;          // rows of C at a time
  Index task_rows;     // rows of C in one task
  Index task_columns;  // columns of C in one task, whole panels
  int threads;
};

inline constexpr Index column_step = 256;  // columns of C at a time

// Whether rows `bytes` apart fall into few cache sets: sets repeat with every page.
static bool aliases(Index bytes) { return bytes % page == 0; }

// The work for `columns` columns of C, in the units of loops.h: 32 multiplications each.
template <class T>
static Index work_of(const Product<T>& p, Index columns) {
  return p.m * columns / 32 * p.k;
}

template <class T>
static Schedule make_schedule(const Product<T>& p, int threads) {
  constexpr Index bytes = sizeof(T);
  constexpr Index slab = Index{16} << 20;         // of B; stays in the last-level cache
  constexpr Index far = Index{2} << 20;           // larger arrays are in no near cache
  constexpr Index chunk = 1024;                   // of k
  constexpr Index first_cache = Index{24} << 10;  // its bytes for C
  Schedule s{};
  const Index wide = round_up(p.n, panel<T>);
  s.k_block = block_terms(p);
  // C has few elements with long sums: the sums are cut, or one thread would do all the work.
  s.k_group = p.k;
  if (!p.add && p.m * p.n <= (Index{1} << 14) && p.k > 4 * chunk) {
    s.k_group = round_up(ceil_div(p.k, max_groups), chunk);
  }
  s.k_chunk = chunk;
  s.pack_a =
      p.m > 1 && p.k > 1 && p.n >= 64 && aliases((p.a_column == 1 ? p.a_row : p.a_column) * bytes);
  s.scratch_c =
      p.c == nullptr || (!p.add && aliases(p.c_row * bytes) && p.k > s.k_block && p.m > 1);
  s.fetches = p.beside[0] != nullptr && p.m * p.n * bytes > far;
  s.rows = row_step;
  if (p.c == nullptr) {
    // `finish` reads other arrays beside C: process fewer rows of C at a time.
    const Index fitting = first_cache / bytes / least(wide, column_step) / max_rows * max_rows;
    s.rows = least(most(fitting, 2 * max_rows), row_step);
  }
  // Rows of B read in place are prefetched in time, unless each lies in pages of its own. Where
  // sums are cut, the pieces of the sums take the memory of a whole copy.
  const bool cut = s.k_group < p.k;
  if (p.b_column != 1) {
    s.pack_b = p.m > 4 * row_step && !cut ? Copy::whole : Copy::panels;
  } else if (p.m > row_step && p.k > 1 && far_apart(p) && !cut) {
    s.pack_b = Copy::whole;
  }
  s.columns = wide;
  if (s.pack_b == Copy::whole && p.k * wide * bytes > slab) {
    s.columns = most(slab / bytes / p.k / panel<T> * panel<T>, panel<T>);
  }
  s.task_rows = most(p.ordered ? row_groups(p.m).rows : ceil_div(p.m, 2 * max_groups), row_step);
  s.task_columns = least(wide, s.columns);
  s.threads = threads;
  // With few rows, divide the columns too, as long as a task is worth claiming.
  constexpr Index least_task = 1 << 14;
  const Index down = ceil_div(p.m, s.task_rows) * ceil_div(p.k, s.k_group);
  const Index each = s.pack_a ? 4 : 8;  // A is packed again for each range of columns
  const Index tasks = least(each * threads, work_of(p, s.task_columns) / least_task);
  if (threads > 1 && down < tasks) {
    s.task_columns = round_up(ceil_div(s.task_columns, ceil_div(tasks, down)), panel<T>);
  }
  return s;
}

// A product in progress: the current columns, and the packed copy of B.
template <class T>
struct Work {
  const Product<T>& p;
  Schedule s;
  const T* packed;  // whole panels of all k from column `first` on, or null
  Index first, count;

  // Whether a task comes back to chunks of C in scratch memory.
  bool keeps_chunks() const { return p.k > s.k_chunk; }
};

// The memory of a task, parts of one piece of scratch memory; null where not needed.
template <class T>
struct Workspace {
  T* a = nullptr;  // the current rows of A over k_chunk, in tiles
  T* b = nullptr;  // one panel of B over k_block
  T* c = nullptr;  // the current rows of C, for each chunk of columns

  bool take(Context& context, const Work<T>& w, int worker) {
    constexpr Index slack = 64;  // pack_rows writes a little beyond its end
    const Index chunks = w.keeps_chunks() ? ceil_div(w.s.task_columns, column_step) : 1;
    const Index size_a =
        w.s.pack_a ? w.s.rows * least(w.s.k_chunk, round_up(w.p.k, w.s.k_block)) + slack : 0;
    const Index size_b = w.s.pack_b == Copy::panels ? w.s.k_block * panel<T> : 0;
    const Index size_c = w.s.scratch_c ? chunks * w.s.rows * column_step : 0;
    if (size_a + size_b + size_c == 0) return true;
    T* const memory = static_cast<T*>(
        context.scratch(worker, static_cast<size_t>(size_a + size_b + size_c) * sizeof(T)));
    b = memory;
    c = memory + size_b;
    a = memory + size_b + size_c;
    return memory != nullptr;
  }
};

// Operands of the micro-kernel for the rows of a block, tile by tile.
template <class T>
struct Operands {
  const T* a;
  Index a_row, a_column;
  bool packed_a;
  const T* b;
  Index b_row;
  Index k;
  T* c;
  Index c_row;
  bool add;
  const T* start;
  // Memory that is needed soon: rows of a panel's width, next_row elements apart. Each tile
  // prefetches its share; null: nothing is prefetched.
  const T* next;
  Index next_row;
  // Product::beside at the tile's place one block ahead; null: not prefetched.
  const T* beside[3];
  Index beside_row;
};

// Prefetches one tile of the arrays beside C.
template <class T>
static void fetch_beside(const Operands<T>& o, Index row, Index rows, Index width) {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  for (const T* const array : o.beside) {
    if (array == nullptr) continue;
    for (Index r = row; r < row + rows; ++r) {
      for (Index j = 0; j < width; j += line) {
        __builtin_prefetch(array + r * o.beside_row + j, 1, 2);
      }
    }
  }
}

// Multiplies the rows of a block with one panel of B, for one block of k.
template <class T>
static void multiply_panel(const Heights& h, Index width, const Operands<T>& o) {
  constexpr Index bytes = sizeof(T);
  constexpr Index line = 64 / bytes;
  const Index last = width - (ceil_div(width, Vector<T>::lanes) - 1) * Vector<T>::lanes;
  // Contiguous memory is shared out evenly; otherwise tile i takes cache line i of each row.
  const bool contiguous = o.next_row == panel<T>;
  const Index share = o.k * panel<T> * bytes / h.count;
  for (Index i = 0; i < h.count; ++i) {
    const Index start = h.start(i);
    const Index rows = h.start(i + 1) - start;
    const char* next = reinterpret_cast<const char*>(o.b);
    Index step = 0;
    if (o.next != nullptr && contiguous) {
      next = reinterpret_cast<const char*>(o.next) + i * share;
      step = ceil_div(share, o.k);
    } else if (o.next != nullptr && i * line < width) {
      next = reinterpret_cast<const char*>(o.next + i * line);
      step = o.next_row * bytes;
    }
    if (o.beside[0] != nullptr) fetch_beside(o, start, rows, width);
    tile_of<T>(rows, width, last)({
        .k = o.k,
        .a = o.packed_a ? o.a + start * o.k : o.a + start * o.a_row,
        .a_row = o.packed_a ? 1 : o.a_row,
        .a_column = o.packed_a ? rows : o.a_column,
        .b = o.b,
        .b_row = o.b_row,
        .c = o.c + start * o.c_row,
        .c_row = o.c_row,
        .start = o.start,
        .last = last,
        .add = o.add,
        .next = next,
        .next_step = step,
    });
  }
}

// Packs rows of A, one block of k after the other, each tile by tile.
template <class T>
static void pack_chunk(const Work<T>& w, const Heights& h, Index row, Index rows, Index k,
                       Index k_end, T* out) {
  const Product<T>& p = w.p;
  const Index k_block = w.s.k_block;
  for (Index k0 = k; k0 < k_end; k0 += k_block) {
    const Index kc = least(k_block, k_end - k0);
    for (Index i = 0; i < h.count; ++i) {
      const Index start = h.start(i);
      pack_rows(p.a + (row + start) * p.a_row + k0 * p.a_column, p.a_row, p.a_column,
                h.start(i + 1) - start, kc, out + (k0 - k) * rows + start * kc);
    }
  }
}

// Adds terms [k, k_end) to a block of C, or begins with them if k == k_first.
template <class T>
static void multiply_block(const Work<T>& w, const Heights& h, const ResultBlock<T>& block,
                           const T* packed_a, T* panel_space, Index k_first, Index k, Index k_end) {
  const Product<T>& p = w.p;
  const Index k_block = w.s.k_block;
  Operands<T> o{};
  o.packed_a = packed_a != nullptr;
  o.a_row = p.a_row;
  o.a_column = p.a_column;
  o.c_row = block.c_row;
  o.beside_row = p.n;
  for (Index k0 = k; k0 < k_end; k0 += k_block) {
    o.k = least(k_block, k_end - k0);
    o.a =
        o.packed_a ? packed_a + (k0 - k) * block.rows : p.a + block.row * p.a_row + k0 * p.a_column;
    o.add = p.add || k0 > k_first;
    for (Index j = 0; j < block.columns; j += panel<T>) {
      const Index column = block.column + j;
      const Index width = least(panel<T>, block.columns - j);
      o.b = p.b + k0 * p.b_row + column * p.b_column;
      o.b_row = p.b_row;
      o.c = block.c + j;
      // The next block: the columns to the right, or after the last columns the rows below.
      const bool below = block.column + block.columns >= p.n;
      const Index ahead = below ? block.rows * p.n + column - block.column : column + block.columns;
      for (int i = 0; i < 3; ++i) {
        const bool wanted = w.s.fetches && p.beside[i] != nullptr && k0 + k_block >= p.k;
        o.beside[i] = wanted ? p.beside[i] + block.row * p.n + ahead : nullptr;
      }
      o.start = p.start != nullptr && k0 == 0 ? p.start + column : nullptr;
      if (w.packed != nullptr) {
        o.b = w.packed + (column - w.first) * p.k + k0 * panel<T>;
        o.b_row = panel<T>;
        const bool ends = j + panel<T> >= block.columns;
        o.next = ends ? w.packed + (block.column - w.first) * p.k + (k0 + k_block) * panel<T>
                      : o.b + panel<T> * p.k;
        o.next_row = panel<T>;
      } else if (w.s.pack_b == Copy::panels) {
        pack_panel(o.b, p.b_row, p.b_column, o.k, width, panel_space);
        o.b = panel_space;
        o.b_row = panel<T>;
      } else {
        o.next = o.b + k_block * p.b_row;
        o.next_row = p.b_row;
      }
      multiply_panel(h, width, o);
    }
  }
}

// Computes rows [row, row + rows) of a task's columns over terms [k_first, k_last). The result goes
// to `partial` or, if that is null, to C or scratch memory.
template <class T>
static void multiply_rows(const Work<T>& w, const Workspace<T>& space, Index row, Index rows,
                          Index column, Index columns, Index k_first, Index k_last, T* partial) {
  const Product<T>& p = w.p;
  const Heights h = heights(rows);
  for (Index k = k_first; k < k_last; k += w.s.k_chunk) {
    const Index k_end = least(k + w.s.k_chunk, k_last);
    if (w.s.pack_a) pack_chunk(w, h, row, rows, k, k_end, space.a);
    for (Index j = column; j < column + columns; j += column_step) {
      const Index width = least(column_step, column + columns - j);
      ResultBlock<T> block{{row, rows, j, width}, nullptr, p.c_row};
      if (partial != nullptr) {
        block.c = partial + row * p.n + j;
        block.c_row = p.n;
      } else if (w.s.scratch_c) {
        block.c_row = width;
        block.c = space.c + (w.keeps_chunks() ? (j - column) * w.s.rows : 0);
      } else {
        block.c = p.c + row * p.c_row + j;
      }
      multiply_block(w, h, block, w.s.pack_a ? space.a : nullptr, space.b, k_first, k, k_end);
      if (k_end != k_last || partial != nullptr) continue;
      if (p.finish != nullptr) {
        p.finish(p.arguments, block);
      } else if (w.s.scratch_c) {
        for (Index r = 0; r < rows; ++r) {
          __builtin_memcpy(p.c + (row + r) * p.c_row + j, block.c + r * block.c_row,
                           static_cast<size_t>(width) * sizeof(T));
        }
      }
    }
  }
}

// Runs all tasks of the current columns. Where sums are cut, each piece of a sum is a task, and its
// result goes to its own place in `partial`.
template <class T>
static Status multiply_tasks(Context& context, const Work<T>& w, T* partial) {
  const Product<T>& p = w.p;
  const Schedule& s = w.s;
  const Index across = ceil_div(w.count, s.task_columns);
  const Index down = ceil_div(p.m, s.task_rows);
  const Index cuts = ceil_div(p.k, s.k_group);
  bool done = true;
  share_out(context, across * down * cuts, s.threads, [&](Index index, int worker) {
    const Index cut = index / (across * down);
    const Index row = index / across % down * s.task_rows;
    const Index column = index % across * s.task_columns;
    Workspace<T> space;
    if (!space.take(context, w, worker)) {
      __atomic_store_n(&done, false, __ATOMIC_RELAXED);
      return;
    }
    const Index end = least(row + s.task_rows, p.m);
    for (Index r = row; r < end; r += s.rows) {
      multiply_rows(w, space, r, least(s.rows, end - r), w.first + column,
                    least(s.task_columns, w.count - column), cut * s.k_group,
                    least((cut + 1) * s.k_group, p.k),
                    partial != nullptr ? partial + cut * p.m * p.n : nullptr);
    }
  });
  return done ? Status::ok : Status::out_of_memory;
}

// Adds the pieces of the sums in order, then finishes C.
template <class T>
static void join(const Product<T>& p, Index cuts, T* __restrict__ partial) {
  const Index size = p.m * p.n;
  for (Index cut = 1; cut < cuts; ++cut) {
    const T* const more = partial + cut * size;
    for (Index i = 0; i < size; ++i) partial[i] += more[i];
  }
  T* c = partial;
  Index c_row = p.n;
  if (p.c != nullptr) {
    c = p.c;
    c_row = p.c_row;
    for (Index i = 0; i < p.m; ++i) {
      __builtin_memcpy(c + i * c_row, partial + i * p.n, static_cast<size_t>(p.n) * sizeof(T));
    }
  }
  if (p.finish == nullptr) return;
  // In blocks like those of tasks: no block has rows of two groups.
  const Index step = row_groups(p.m).rows;
  for (Index row = 0; row < p.m; row += step) {
    p.finish(p.arguments, {{row, least(step, p.m - row), 0, p.n}, c + row * c_row, c_row});
  }
}

// For k == 0: C becomes `start` or zeros.
template <class T>
static Status clear(Context& context, const Product<T>& p) {
  if (p.add) return Status::ok;
  T* const zeros =
      static_cast<T*>(context.scratch(Context::shared, static_cast<size_t>(p.n) * sizeof(T)));
  if (zeros == nullptr) return Status::out_of_memory;
  for (Index i = 0; i < p.m; ++i) {
    T* const row = p.c != nullptr ? p.c + i * p.c_row : zeros;
    for (Index j = 0; j < p.n; ++j) row[j] = p.start != nullptr ? p.start[j] : T(0);
    if (p.finish != nullptr) p.finish(p.arguments, {{i, 1, 0, p.n}, row, p.n});
  }
  return Status::ok;
}

// Packs the columns of B before the tasks, as many at a time as the memory for them holds.
template <class T>
static Status multiply_packed(Context& context, Work<T> w, T* packed) {
  const Product<T>& p = w.p;
  w.packed = packed;
  for (w.first = 0; w.first < p.n; w.first += w.s.columns) {
    w.count = least(w.s.columns, p.n - w.first);
    for_tasks(context, ceil_div(w.count, panel<T>), p.k * w.count, [&](Index j, int) {
      const Index column = w.first + j * panel<T>;
      pack_panel(p.b + column * p.b_column, p.b_row, p.b_column, p.k, least(panel<T>, p.n - column),
                 packed + j * panel<T> * p.k);
    });
    if (const Status status = multiply_tasks<T>(context, w, nullptr); status != Status::ok) {
      return status;
    }
  }
  return Status::ok;
}

template <class T>
Status multiply(Context& context, const Product<T>& p) {
  if (p.m == 0 || p.n == 0) return Status::ok;
  if (p.k == 0) return clear(context, p);
  if (p.m == 1 && p.b_column == 1 && p.c != nullptr && !p.add) {
    multiply_row(context, p);
    return Status::ok;
  }
  const Work<T> w{p, make_schedule(p, context.threads(work_of(p, p.n))), nullptr, 0, p.n};
  const Index cuts = ceil_div(p.k, w.s.k_group);
  const Index extra = cuts > 1                    ? cuts * p.m * p.n
                      : w.s.pack_b == Copy::whole ? p.k * w.s.columns
                                                  : 0;
  if (extra == 0) return multiply_tasks<T>(context, w, nullptr);
  T* const memory =
      static_cast<T*>(context.scratch(Context::shared, static_cast<size_t>(extra) * sizeof(T)));
  if (memory == nullptr) return Status::out_of_memory;
  if (cuts == 1) return multiply_packed(context, w, memory);
  if (const Status status = multiply_tasks(context, w, memory); status != Status::ok) return status;
  join(p, cuts, memory);
  return Status::ok;
}

template Status multiply(Context&, const Product<float>&);
template Status multiply(Context&, const Product<double>&);

}  // namespace fastnn::FASTNN_TARGET
