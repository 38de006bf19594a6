// Ways to walk over rows in two or three passes: the largest number, sums over the columns, and the
// output. Rows up to some length stay in registers between the passes, so that they are read once.
// An Op defines the work on an element, which is the same in each way; it has plain pointers and
// sizes:
//
//   Element, n, c
//   first, second   its inputs, (n, c); the second if has_second
//   out             its output, (n, c), which may be an input; may be null
//   has_top         whether it needs the largest element of the first input
//   has_loss        whether it sums a loss by row group
//   common()        values that all rows share
//   row(..)         values of a row that are known from the start
//   keep(..)        the value of an element that the last pass needs; adds to Sums
//   finish(..)      turns the team's Sums into Factors, and adds to the loss
//   result(..)      the element that is written
#pragma once

#include "cuda/context.h"
#include "cuda/row_sums.h"
#include "cuda/team.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr int threads_of_block = 256;
inline constexpr int threads_of_stage = 128;

template <class T, int width>
struct alignas(width * sizeof(T)) Vector {
  T x[width];
};

// A row kept in registers: each lane of a team has `held` vectors of `width` elements, and the
// vectors of neighbouring lanes are adjacent in memory.
template <class Op, int width, int lanes, int held>
struct Row {
  using T = typename Op::Element;
  using Wide = Vector<T, width>;
  static constexpr int room = width * held;

  FASTNN_DEVICE static void load(const T* from, int first, int c, bool there, T (&x)[room]) {
    FASTNN_UNROLL
    for (int k = 0; k < held; ++k) {
      const int j = first + k * lanes * width;
      Wide wide{};
      if (there && j < c) wide = *reinterpret_cast<const Wide*>(from + j);
      FASTNN_UNROLL
      for (int i = 0; i < width; ++i) x[k * width + i] = wide.x[i];
    }
  }

  // Pointers are to the row; `to` may be one of the other two.
  FASTNN_DEVICE static void walk(const Op& op, const Team<lanes>& team,
                                 const typename Op::Common& common, Index r, bool there,
                                 const T* from, const T* second, T* to, Counted& counted) {
    const int c = static_cast<int>(op.c);
    const int first = team.lane() * width;
    const auto row = op.row(r, there, from);
    T x[room];
    T y[room];
    load(from, first, c, there, x);
    if constexpr (Op::has_second) load(second, first, c, there, y);
    T top = T(0);
    if constexpr (Op::has_top) {
      top = -static_cast<T>(__builtin_inff());
      FASTNN_UNROLL
      for (int k = 0; k < room; ++k) {
        if (column(first, k) < c) top = x[k] > top ? x[k] : top;
      }
      top = team.largest(top);
    }
    typename Op::Sums sums;
    FASTNN_UNROLL
    for (int k = 0; k < room; ++k) {
      if (column(first, k) < c)
        x[k] = op.keep(common, x[k], Op::has_second ? y[k] : T(0), top, sums);
    }
    const auto factors = op.finish(team, common, row, top, sums, counted);
    if (!there || to == nullptr) return;
    FASTNN_UNROLL
    for (int k = 0; k < held; ++k) {
      const int j = first + k * lanes * width;
      if (j >= c) continue;
      Wide wide;
      FASTNN_UNROLL
      for (int i = 0; i < width; ++i) {
        const int at = k * width + i;
        wide.x[i] = op.result(common, row, factors, x[at], Op::has_second ? y[at] : T(0), j + i);
      }
      *reinterpret_cast<Wide*>(to + j) = wide;
    }
  }

  FASTNN_DEVICE static int column(int first, int k) {
    return first + k / width * lanes * width + k % width;
  }
};

// Rows that a team keeps in registers.
template <class Op, int width, int lanes, int held>
struct HeldRows {
  static constexpr int threads = threads_of_block;
  // For short rows. If more blocks had to fit, sums over a team of 8 would spill on sm_86.
  static constexpr int resident_blocks = width * held <= 8 ? 4 : 0;
  static constexpr int step = threads / lanes;
  Op op;
  Parts parts;
  GroupSums sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double* const room = t.shared<Shared>().room;
    const Team<lanes> team(t, room);
    const Range range = parts.range(t.block());
    const auto common = op.common();
    Counted counted;
    for (Index base = range.begin; base < range.end; base += step) {
      const Index r = base + team.number();
      const Index at = r * op.c;
      Row<Op, width, lanes, held>::walk(op, team, common, r, r < range.end, op.first + at,
                                        Op::has_second ? op.second + at : nullptr,
                                        op.out != nullptr ? op.out + at : nullptr, counted);
    }
    if constexpr (Op::has_loss) sums.add(t, team.lane() == 0 ? counted : Counted{}, room);
  }
};

// Copies n consecutive elements to or from shared memory, which is aligned.
template <class T>
FASTNN_DEVICE void copy_together(const Thread& t, const T* from, T* to, Index n) {
  constexpr int width = 16 / static_cast<int>(sizeof(T));
  using Wide = Vector<T, width>;
  const bool aligned =
      (reinterpret_cast<uintptr_t>(from) | reinterpret_cast<uintptr_t>(to)) % sizeof(Wide) == 0;
  const int vectors = aligned ? static_cast<int>(n) / width : 0;
  for (int i = t.index(); i < vectors; i += t.threads()) {
    reinterpret_cast<Wide*>(to)[i] = reinterpret_cast<const Wide*>(from)[i];
  }
  for (int i = vectors * width + t.index(); i < n; i += t.threads()) to[i] = from[i];
}

// Rows so short that one thread keeps a whole row. They pass through shared memory, so that the
// accesses of a warp to device memory are coalesced.
template <class Op, int held>
struct StagedRows {
  using T = typename Op::Element;
  static constexpr int threads = threads_of_stage;
  static constexpr int resident_blocks = 4;
  static constexpr int step = threads;
  Op op;
  Parts parts;
  GroupSums sums;
  struct alignas(16) Shared {
    double room[threads / 32];
    // Followed by `threads` rows of the first input, and of the second.
  };

  size_t shared_bytes() const {
    const auto elements = static_cast<size_t>(threads * op.c);
    return sizeof(Shared) + (Op::has_second ? 2 : 1) * elements * sizeof(T);
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    Shared& shared = t.shared<Shared>();
    const int c = static_cast<int>(op.c);
    T* const first = reinterpret_cast<T*>(&shared + 1);
    T* const second = first + threads * c;
    const Team<1> team(t, shared.room);
    const Range range = parts.range(t.block());
    const auto common = op.common();
    Counted counted;
    for (Index base = range.begin; base < range.end; base += step) {
      const Index r = base + t.index();
      // planted: staged rows past the end
      const Index elements = least(step, range.end - base) * c;
      copy_together(t, op.first + base * c, first, elements);
      if constexpr (Op::has_second) copy_together(t, op.second + base * c, second, elements);
      t.barrier();  // planted: staged rows
      T* const mine = first + t.index() * c;
      Row<Op, 1, 1, held>::walk(op, team, common, r, r < range.end, mine, second + t.index() * c,
                                op.out != nullptr ? mine : nullptr, counted);
      t.barrier();  // planted: staged rows written back
      if (op.out != nullptr) copy_together(t, first, op.out + base * c, elements);
      t.barrier();
    }
    if constexpr (Op::has_loss) sums.add(t, counted, shared.room);
  }
};

// Rows of any length, which are read again in each pass.
template <class Op, int lanes>
struct ReadRows {
  using T = typename Op::Element;
  static constexpr int threads = threads_of_block;
  // If more blocks had to fit, doubles would spill.
  static constexpr int resident_blocks = sizeof(T) == 4 ? 0 : 2;
  static constexpr int step = threads / lanes;
  Op op;
  Parts parts;
  GroupSums sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void walk(const Team<lanes>& team, const typename Op::Common& common, Index r,
                          bool there, Counted& counted) const {
    const Index c = lanes == threads || there ? op.c : 0;
    const T* const x = op.first + r * op.c;
    const T* const y = Op::has_second ? op.second + r * op.c : nullptr;
    const auto row = op.row(r, there, x);
    T top = T(0);
    if constexpr (Op::has_top) {
      top = -static_cast<T>(__builtin_inff());
      for (Index j = team.lane(); j < c; j += lanes) top = x[j] > top ? x[j] : top;
      top = team.largest(top);
    }
    typename Op::Sums sums_of_row;
    for (Index j = team.lane(); j < c; j += lanes) {
      op.keep(common, x[j], Op::has_second ? y[j] : T(0), top, sums_of_row);
    }
    const auto factors = op.finish(team, common, row, top, sums_of_row, counted);
    if (op.out == nullptr) return;
    T* const to = op.out + r * op.c;
    for (Index j = team.lane(); j < c; j += lanes) {
      const T t = Op::has_second ? y[j] : T(0);
      typename Op::Sums unused;
      to[j] = op.result(common, row, factors, op.keep(common, x[j], t, top, unused), t, j);
    }
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double* const room = t.shared<Shared>().room;
    const Team<lanes> team(t, room);
    const Range range = parts.range(t.block());
    const auto common = op.common();
    Counted counted;
    for (Index base = range.begin; base < range.end; base += step) {
      const Index r = base + team.number();
      walk(team, common, r, r < range.end, counted);
    }
    if constexpr (Op::has_loss) sums.add(t, team.lane() == 0 ? counted : Counted{}, room);
  }
};

// -- choice of the way -------------------------------------------------------

template <class Kernel, class Op>
Status walk_rows(Context& context, const Op& op, double* sums, int width) {
  const Parts parts =
      Op::has_loss ? parts_of_rows(op.n, Kernel::step) : parts_of_all(op.n, Kernel::step);
  GroupSums group_sums{};
  if constexpr (Op::has_loss) {
    const Status status = prepare(context, parts, sums, width, group_sums);
    if (status != Status::ok) return status;
  }
  return launch(context, parts.blocks(), Kernel{op, parts, group_sums});
}

// Double is not meant for speed, and does not fit in registers.
template <class Op>
Status walk_rows_of_double(Context& context, const Op& op, double* sums, int width) {
  if (op.c <= 1024) return walk_rows<ReadRows<Op, 32>>(context, op, sums, width);
  return walk_rows<ReadRows<Op, threads_of_block>>(context, op, sums, width);
}

template <class Op>
Status walk_rows(Context& context, const Op& op, double* sums = nullptr, int width = 1) {
  if constexpr (sizeof(typename Op::Element) > 4) {
    return walk_rows_of_double(context, op, sums, width);
  } else {
    const uintptr_t addresses = reinterpret_cast<uintptr_t>(op.first) |
                                reinterpret_cast<uintptr_t>(op.second) |
                                reinterpret_cast<uintptr_t>(op.out);
    const Index c = op.c;
    if (c % 4 == 0 && c >= 8 && c <= 64 && addresses % 16 == 0) {
      if (c <= 16) return walk_rows<HeldRows<Op, 4, 2, 2>>(context, op, sums, width);
      return walk_rows<HeldRows<Op, 4, 8, 2>>(context, op, sums, width);
    }
    if (c <= 16) return walk_rows<StagedRows<Op, 16>>(context, op, sums, width);
    if (c <= 32) return walk_rows<StagedRows<Op, 32>>(context, op, sums, width);
    if (c <= 128) return walk_rows<HeldRows<Op, 1, 32, 4>>(context, op, sums, width);
    if (c <= 1024) return walk_rows<HeldRows<Op, 1, 32, 32>>(context, op, sums, width);
    if (c <= 8192) return walk_rows<HeldRows<Op, 1, 256, 32>>(context, op, sums, width);
    return walk_rows<ReadRows<Op, threads_of_block>>(context, op, sums, width);
  }
}

}  // namespace fastnn::FASTNN_TARGET
