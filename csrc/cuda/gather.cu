// Gathers rows of the caller's arrays (chosen, converted, scaled), and searches them for elements
// that are not finite or not in the expected range.
#include "core/element.h"

#include "cuda/kernels.h"
#include "cuda/rows_of_step.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// A view whose elements are read in groups of `width`, in whole groups of a row.
template <class From, int width>
struct Source {
  const char* data;
  Index row_stride, column_stride;
  const Index* offsets;

  FASTNN_DEVICE Group<From, width> load(Index row, Index group) const {
    const char* at = data + row * row_stride;
    if constexpr (width > 1) {
      return reinterpret_cast<const Group<From, width>*>(at)[group];
    } else {
      at += offsets != nullptr ? offsets[group] : group * column_stride;
      Group<From, 1> x;
      if (reinterpret_cast<uintptr_t>(at) % sizeof x == 0) {
        x = *reinterpret_cast<const Group<From, 1>*>(at);
      } else {
        __builtin_memcpy(&x, at, sizeof x);  // byte by byte, not aligned
      }
      return x;
    }
  }
};

template <int width, class From>
Source<From, width> source_of(const ArrayView& view, const From*) {
  return {static_cast<const char*>(view.data), view.row_stride, view.column_stride, view.offsets};
}

// Whether rows consist of whole, aligned groups.
template <int width, class From>
bool in_groups(const ArrayView& view, const From*) {
  constexpr Index bytes = alignof(Group<From, width>);
  return view.offsets == nullptr && view.column_stride == sizeof(From) &&
         view.columns % width == 0 && view.row_stride % bytes == 0 &&
         aligned(uintptr_t{bytes}, view.data);
}

// Each thread converts one group.
template <class T, class From, int width>
struct GatherGroups {
  static constexpr int threads = threads_of_block;
  Source<From, width> source;
  RowsOfStep rows;
  Index n, groups;  // in a row
  bool plain;
  T scale, offset;
  T* out;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= n * groups) return;
    const Cell cell = cell_of(i, groups);
    const Group<From, width> x = source.load(rows.at(cell.row), cell.column);
    Group<T, width> y;
    FASTNN_UNROLL
    for (int k = 0; k < width; ++k) {
      const T value = convert<T>(x.element[k]);
      y.element[k] = plain ? value : mul_add(scale, value, offset);
    }
    reinterpret_cast<Group<T, width>*>(out)[i] = y;
  }
};

template <int width, class T, class From>
Status gather_groups(Context& context, const Gather<T>& a, const From* type) {
  const Index groups = a.source.columns / width;
  const bool plain = a.scale == T(1) && a.offset == T(0);
  return launch(context, ceil_div(a.rows.n * groups, threads_of_block),
                GatherGroups<T, From, width>{source_of<width>(a.source, type),
                                             rows_of(a.rows, context.step.values), a.rows.n, groups,
                                             plain, a.scale, a.offset, a.out});
}

template <class T>
struct GatherLabelRows {
  static constexpr int threads = threads_of_block;
  GatherLabels<T> a;
  RowsOfStep rows;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index r = t.place();
    if (r >= a.rows.n) return;
    const Index row = rows.at(r);
    const bool ignored = a.ignores && a.labels[row] == a.ignore_class;
    const T weight = a.weights != nullptr ? static_cast<T>(a.weights[row]) : T(1);
    if (a.out_labels != nullptr) a.out_labels[r] = a.labels[row];
    if (a.out_weights != nullptr) a.out_weights[r] = ignored ? T(0) : weight;
    if (a.out_present != nullptr) a.out_present[r] = ignored ? T(0) : T(1);
  }
};

// The minimum over a block, for all of its threads; `room` as in sum_of_block.
FASTNN_DEVICE Index least_of_block(const Thread& t, Index x, Index* room) {
  for (int mask = 16; mask > 0; mask /= 2) x = least(x, t.exchange(x, mask));
  if (t.lane() == 0) room[t.warp()] = x;
  t.barrier();
  for (int w = 0; w < t.threads() / 32; ++w) x = least(x, room[w]);
  t.barrier();
  return x;
}

// Each block finds the first unexpected row among its own; the last block finds the first of these.
template <class From, int width, class Unexpected>
struct ScanGroups {
  static constexpr int threads = threads_of_block;
  struct Shared {
    Index room[threads / 32];
  };
  struct Found {
    Index row, column;
  };
  Source<From, width> source;
  RowsOfStep rows;
  Index n, groups;
  Unexpected unexpected;
  Index* firsts;  // by block
  unsigned* counter;
  Found* found;

  // The first unexpected element of the group; `width` if there is none.
  FASTNN_DEVICE int look(Index row, Index group) const {
    const Group<From, width> x = source.load(row, group);
    int first = width;
    FASTNN_UNROLL
    for (int k = width - 1; k >= 0; --k) first = unexpected(x.element[k]) ? k : first;
    return first;
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    Index* const room = t.shared<Shared>().room;
    Index first = n;
    for (Index i = t.place(); i < n * groups && first == n; i += t.all()) {
      const Cell cell = cell_of(i, groups);
      if (look(rows.at(cell.row), cell.column) < width) first = cell.row;
    }
    first = least_of_block(t, first, room);
    if (t.index() == 0) firsts[t.block()] = first;
    if (!t.last_block(counter)) return;

    for (Index b = t.index(); b < t.blocks(); b += threads) first = least(first, firsts[b]);
    first = least_of_block(t, first, room);
    const Index row = first < n ? rows.at(first) : -1;
    const Index none = groups * width;
    Index column = none;
    for (Index g = t.index(); row >= 0 && g < groups && column == none; g += threads) {
      const int k = look(row, g);
      if (k < width) column = g * width + k;
    }
    column = least_of_block(t, column, room);
    if (t.index() == 0) *found = {row, column};
  }
};

template <int width, class From, class Unexpected>
Status scan_groups(Context& context, const Scan& a, const From* type,
                   const Unexpected& unexpected) {
  using Body = ScanGroups<From, width, Unexpected>;
  using Found = typename Body::Found;
  const Index groups = a.source.columns / width;
  const Index blocks = blocks_for(a.rows.n * groups, threads_of_block);
  if (blocks == 0) return Status::ok;
  const auto count = static_cast<size_t>(blocks);
  auto* const firsts =
      static_cast<Index*>(context.scratch(Context::sums, count * sizeof(Index) + sizeof(Found)));
  auto* const counter =
      static_cast<unsigned*>(context.scratch(Context::counters, sizeof(unsigned)));
  if (firsts == nullptr || counter == nullptr) return Status::out_of_memory;
  auto* const result = reinterpret_cast<Found*>(firsts + blocks);
  const Body body{source_of<width>(a.source, type),
                  rows_of(a.rows),
                  a.rows.n,
                  groups,
                  unexpected,
                  firsts,
                  counter,
                  result};
  Found found{};
  Status status = launch(context, blocks, body);
  if (status == Status::ok) status = read_back(context, &found, result, sizeof found);
  if (status == Status::ok && found.row >= 0) {
    *a.row = found.row;
    *a.column = found.column;
  }
  return status;
}

template <class From, class Unexpected>
Status scan_elements(Context& context, const Scan& a, const From* type,
                     const Unexpected& unexpected) {
  constexpr int width = group_width<float>;
  if (in_groups<width>(a.source, type)) return scan_groups<width>(context, a, type, unexpected);
  return scan_groups<1>(context, a, type, unexpected);
}

}  // namespace

template <class T>
Status gather(Context& context, const Gather<T>& a) {
  return with_element(a.source.element, [&](auto* type) {
    constexpr int width = group_width<T>;
    if (in_groups<width>(a.source, type) && aligned(16, a.out)) {
      return gather_groups<width>(context, a, type);
    }
    return gather_groups<1>(context, a, type);
  });
}

template <class T>
Status gather_labels(Context& context, const GatherLabels<T>& a) {
  return launch(context, ceil_div(a.rows.n, threads_of_block),
                GatherLabelRows<T>{a, rows_of(a.rows, context.step.values)});
}

Status scan(Context& context, const Scan& a) {
  *a.row = -1;
  return with_element(a.source.element, [&](auto* type) {
    using From = Pointee<decltype(type)>;
    return with_expected(a.expected, [&](auto unexpected) {
      if constexpr (whole_numbers<From> && !decltype(unexpected)::of_whole_numbers) {
        return Status::ok;
      } else {
        return scan_elements(context, a, type, unexpected);
      }
    });
  });
}

FASTNN_INSTANTIATE(gather, Gather)
FASTNN_INSTANTIATE(gather_labels, GatherLabels)

}  // namespace fastnn::FASTNN_TARGET
