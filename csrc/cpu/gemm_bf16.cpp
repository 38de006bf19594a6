// Products in bfloat16: how C is cut into tasks, strips and the pieces that a unit keeps in
// registers. The arithmetic itself is in gemm_bf16_unit.h.
//
// A task is a range of rows of C over a stretch of k; it has as many rows as keep their A in the
// second-level cache. A task goes through strips of 32 columns. For a strip it takes as much k at a
// time as lets B stay in the first-level cache, and goes through the pieces of its rows. A part of
// C that later k add to stays in a buffer: rows of C may be far apart, and if their distance is a
// multiple of 4 KB, they share one set of the cache. Pieces that do not fill their registers go
// through the same buffer.
#include "cpu/gemm_bf16.h"

#include "cpu/gemm_bf16_unit.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// Bytes of B for one strip and one block of k, all parts: two thirds of the first-level cache.
static constexpr Index b_bytes = Index{32} << 10;
static constexpr Index most_rows = 256;             // of a task
static constexpr Index finish_columns = 2 * strip;  // of a finished block

// How a product is computed; depends on shape alone. The lengths of k affect the result: an element
// is a sum over stretches of sums over blocks of k.
struct Bf16Schedule {
  Index block;    // of k, for which B stays in the first-level cache
  Index stretch;  // of k, for which A stays in the second-level cache; whole blocks
  Index rows;     // of a task, a multiple of 32
  Index columns;  // of a task, a multiple of finish_columns
};

static Bf16Schedule make_schedule(const Bf16Product& p) {
  constexpr Index size = sizeof(uint16_t);
  Bf16Schedule s{};
  s.block = b_bytes / (strip * size * p.bf16_parts) / bf16_depth * bf16_depth;
  s.stretch = a_bytes / (most_rows / 2 * size * p.bf16_parts) / s.block * s.block;
  const Index depth = least(s.stretch, bf16_padded(p.k, bf16_depth));
  const Index fitting = a_bytes / (depth * size * p.bf16_parts) / strip * strip;
  s.rows = least(most(fitting, strip), most_rows);
  // With few rows, divide the columns among tasks instead.
  const Index across = most(8 / ceil_div(p.m, s.rows), 1);
  s.columns = round_up(ceil_div(p.n, across), finish_columns);
  return s;
}

// Copies `columns` columns of C to the buffer, or back.
static void copy_strip(const float* from, Index from_row, float* to, Index to_row, Index rows,
                       Index columns) {
  for (Index r = 0; r < rows; ++r) {
    if (columns == strip) {
      __builtin_memcpy(to + r * to_row, from + r * from_row, strip * sizeof(float));
    } else {
      for (Index j = 0; j < columns; ++j) to[r * to_row + j] = from[r * from_row + j];
    }
  }
}

// Sets each row of a strip to the start of C.
static void start_strip(const float* start, float* buffer, Index rows, Index columns) {
  for (Index r = 0; r < rows; ++r) {
    for (Index j = 0; j < strip; ++j) buffer[r * strip + j] = j < columns ? start[j] : 0.0F;
  }
}

// What pieces prefetch of the panels of B that the pieces after them read: the first half of the
// pieces one panel, the other half the other, `share` elements each. Without it the first piece of
// each block would wait for the last-level cache.
struct Ahead {
  const uint16_t* block;
  Index panel;  // from one panel to the next
  Index half, share;
  Index step;  // bytes for each pair of k

  Ahead(const uint16_t* next, Index stride, Index depth, Index count)
      : block(next),
        panel(stride),
        half(ceil_div(count, 2)),
        share(depth * bf16_lanes / half),
        step(2 * share * Index{sizeof(uint16_t)} / depth) {}

  FASTNN_INLINE const char* of(Index i) const {
    return reinterpret_cast<const char*>(i < half ? block + i * share
                                                  : block + panel + (i - half) * share);
  }
};

// Brings lines of C to the second-level cache before they are written.
static void fetch_rows(const float* c, Index c_row, Index rows) {
  for (Index r = 0; r < rows; ++r) {
    __builtin_prefetch(c + r * c_row, 0, 2);
    __builtin_prefetch(c + r * c_row + bf16_lanes, 0, 2);
  }
}

// Multiplies one strip of a task over [k0, k1). Begins with C, its start or zeros, and ends in C.
static void multiply_strip(const Bf16Product& p, const Bf16Schedule& s, const ResultBlock<float>& c,
                           Index k0, Index k1, float* buffer) {
  constexpr Index aliasing = 4096 / sizeof(float);
  const Pieces pieces = pieces_of(c.rows);
  const bool from_c = p.add || k0 > 0;
  const bool starts = !from_c && p.start != nullptr;
  const bool aliased = c.c_row % aliasing == 0;
  const bool far_apart = c.c_row > 2 * strip;  // the hardware fetches shorter rows itself
  uint16_t* const panel = p.b.data + c.column / bf16_lanes * p.b.stride;
  if (from_c) copy_strip(c.c, c.c_row, buffer, strip, c.rows, c.columns);
  if (starts) start_strip(p.start + c.column, buffer, c.rows, c.columns);
  for (Index k = k0; k < k1; k += s.block) {
    const Index depth = least(s.block, k1 - k);
    // The next block, of this strip or of the next one.
    const Index below = k + depth < k1 ? k + depth : k0;
    const uint16_t* const next =
        panel + below * bf16_lanes + (below == k0 ? strip / bf16_lanes * p.b.stride : 0);
    const Ahead ahead(next, p.b.stride, depth, pieces.count);
    for (Index i = 0; i < pieces.count; ++i) {
      const Index start = pieces.start(i);
      const Index rows = pieces.start(i + 1) - start;
      const bool last = k + depth == k1;
      const bool whole = c.columns % bf16_lanes == 0 && (!whole_tiles || rows % bf16_lanes == 0);
      const bool direct = last && whole && !aliased;
      float* const own = buffer + start * strip;
      if (last && far_apart) fetch_rows(c.c + start * c.c_row, c.c_row, rows);
      multiply_unit(
          rows, c.columns,
          {.bf16_parts = p.bf16_parts,
           .steps = ceil_div(depth, bf16_depth),
           .a = {p.a.data + (c.row + start) * p.a.stride + k, p.a.part_stride, p.a.stride},
           .b = {panel + k * bf16_lanes, p.b.part_stride, p.b.stride},
           .from = from_c || starts || k > k0 ? own : nullptr,
           .from_row = strip,
           .to = direct ? c.c + start * c.c_row : own,
           .to_row = direct ? c.c_row : strip,
           .next = ahead.of(i),
           .next_step = ahead.step});
      if (last && !direct) {
        copy_strip(own, strip, c.c + start * c.c_row, c.c_row, rows, c.columns);
      }
    }
  }
}

static void multiply_task(const Bf16Product& p, const Bf16Schedule& s, const Block& c,
                          float* buffer) {
  [[maybe_unused]] const UnitInUse unit{};
  float* const result = buffer + s.rows * strip;  // used if there is no C
  for (Index k0 = 0; k0 < p.k; k0 += s.stretch) {
    const Index k1 = least(k0 + s.stretch, p.k);
    for (Index first = 0; first < c.columns; first += finish_columns) {
      const Index columns = least(finish_columns, c.columns - first);
      const Index column = c.column + first;
      const bool kept = p.c != nullptr;
      const ResultBlock<float> piece{{c.row, c.rows, column, columns},
                                     kept ? p.c + c.row * p.c_row + column : result,
                                     kept ? p.c_row : columns};
      for (Index j = 0; j < columns; j += strip) {
        multiply_strip(
            p, s,
            {{c.row, c.rows, column + j, least(strip, columns - j)}, piece.c + j, piece.c_row}, k0,
            k1, buffer);
      }
      if (k1 == p.k && p.finish != nullptr) p.finish(p.arguments, piece);
    }
  }
}

// For k == 0: C becomes its start.
static void clear(const Bf16Product& p) {
  for (Index i = 0; i < p.m && !p.add; ++i) {
    for (Index j = 0; j < p.n; ++j) p.c[i * p.c_row + j] = p.start != nullptr ? p.start[j] : 0.0F;
  }
  if (p.finish != nullptr) p.finish(p.arguments, {{0, p.m, 0, p.n}, p.c, p.c_row});
}

Status multiply_bf16(Context& context, const Bf16Product& p) {
  if (p.m == 0 || p.n == 0) return Status::ok;
  if (p.k == 0) {
    clear(p);
    return Status::ok;
  }
  const Bf16Schedule s = make_schedule(p);
  const Index across = ceil_div(p.n, s.columns);
  const Index down = ceil_div(p.m, s.rows);
  const Index products = p.bf16_parts * (p.bf16_parts + 1) / 2;
  const Index result = p.c == nullptr ? s.rows * finish_columns : 0;
  const auto bytes = static_cast<size_t>(s.rows * strip + result) * sizeof(float);
  bool done = true;
  for_tasks(context, across * down, p.m * p.n / flops_per_unit * p.k * products,
            [&](Index index, int worker) {
              const Index row = index / across * s.rows;
              const Index column = index % across * s.columns;
              auto* const buffer = static_cast<float*>(context.scratch(worker, bytes));
              if (buffer == nullptr) {
                __atomic_store_n(&done, false, __ATOMIC_RELAXED);
                return;
              }
              multiply_task(p, s,
                            {row, least(s.rows, p.m - row), column, least(s.columns, p.n - column)},
                            buffer);
            });
  return done ? Status::ok : Status::out_of_memory;
}

}  // namespace fastnn::FASTNN_TARGET
