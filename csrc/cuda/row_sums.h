// Sums by row group (core/kernels.h) on a device, where many blocks add to one group.
//
// The rows of a group, or its elements, are cut into parts, one for each block. A block stores the
// sum of its part in scratch memory, and the last block to finish adds the parts of each group in
// order. The cuts depend on the shape alone.
#pragma once

#include "cuda/context.h"
#include "cuda/device.h"

namespace fastnn::FASTNN_TARGET {

struct Range {
  Index begin, end;
};

struct Parts {
  Index n;       // pieces in total: rows or elements
  Index groups;  // how many
  Index group;   // pieces in each group but the last
  Index parts;   // parts of each group; some of the last group's may be empty
  Index length;  // pieces in each part but the last of a group

  Index blocks() const { return groups * parts; }

  FASTNN_DEVICE Range range(Index block) const {
    const Index first = block / parts * group;
    const Index begin = first + block % parts * length;
    return {begin, least(least(begin + length, first + group), n)};
  }
};

// For blocks that take `step` pieces at a time. There are enough blocks to fill a GPU several times
// over, and no more, since each costs a barrier or two.
inline Parts parts_of(Index n, Index groups, Index group, Index step) {
  constexpr Index enough = 4096;
  constexpr Index most_of_group = 1024;
  if (groups == 0) return {0, 0, 1, 1, 1};
  const Index most_parts = least(enough / groups, most_of_group);
  const Index length = ceil_div(ceil_div(group, step), most_parts) * step;
  return {n, groups, group, ceil_div(group, length), length};
}

// Parts for the row groups of n rows, each row of `pieces` pieces.
inline Parts parts_of_rows(Index n, Index step, Index pieces = 1) {
  const RowGroups groups = row_groups(n);
  return parts_of(n * pieces, groups.count, groups.rows * pieces, step);
}

// Parts of rows without groups.
inline Parts parts_of_all(Index n, Index step) { return parts_of(n, n > 0 ? 1 : 0, n, step); }

// The sum of a loss or a metric, and its divisor.
struct Counted {
  double value = 0;
  double weight = 0;
};

struct GroupSums {
  Parts parts;
  double* sums;  // `width` numbers for each group: value, and weight if width is 2
  int width;
  double* partial;    // the same for each block; null if a group has one part
  unsigned* counter;  // number of blocks that are done

  // Called once by all threads of each block. `room` is shared memory of one number for each warp.
  // Contains barriers.
  FASTNN_DEVICE void add(const Thread& t, const Counted& counted, double* room) const {
    const double value = sum_of_block(t, counted.value, room);
    const double weight = width == 2 ? sum_of_block(t, counted.weight, room) : 0;
    if (t.index() == 0) {
      double* const to = (partial != nullptr ? partial : sums) + t.block() * width;
      to[0] = value;
      if (width == 2) to[1] = weight;
    }
    if (partial != nullptr && t.last_block(counter)) join(t);
  }

 private:
  FASTNN_DEVICE void join(const Thread& t) const {
    for (Index item = t.warp(); item < parts.groups * width; item += t.threads() / 32) {
      const double* const first = partial + item / width * parts.parts * width + item % width;
      double total = 0;
      for (Index part = t.lane(); part < parts.parts; part += 32) total += first[part * width];
      total = sum_of_warp(t, total);
      if (t.lane() == 0) sums[item] = total;
    }
  }
};

inline Status prepare(Context& context, const Parts& parts, double* sums, int width,
                      GroupSums& out) {
  out = {parts, sums, width, nullptr, nullptr};
  if (parts.parts == 1) return Status::ok;
  const auto numbers = static_cast<size_t>(parts.blocks() * width);
  out.partial = static_cast<double*>(context.scratch(Context::sums, numbers * sizeof(double)));
  out.counter = static_cast<unsigned*>(context.scratch(Context::counters, sizeof(unsigned)));
  const bool there = out.partial != nullptr && out.counter != nullptr;
  return there ? Status::ok : Status::out_of_memory;
}

}  // namespace fastnn::FASTNN_TARGET
