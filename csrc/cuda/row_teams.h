// Kernels in which teams of threads take rows: a part of a warp, a warp or a block, by the length
// of a row.
#pragma once

#include "cuda/context.h"
#include "cuda/row_sums.h"
#include "cuda/team.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr int threads_of_rows = 256;

// A kernel in which teams take rows: walk(team, r, there) of each, and of some that are not
// there, since a team's sums need every lane.
template <class Rows, int lanes>
struct EachRow {
  static constexpr int threads = threads_of_rows;
  // With room made for more, doubles spill.
  static constexpr int resident_blocks = sizeof(typename Rows::Element) == 4 ? 0 : 2;
  static constexpr int step = threads / lanes;
  Rows rows;
  Parts parts;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Team<lanes> team(t, t.shared<Shared>().room);
    const Range range = parts.range(t.block());
    for (Index base = range.begin; base < range.end; base += step) {
      const Index r = base + team.number();
      rows.template walk<lanes>(team, r, r < range.end);
    }
  }
};

template <int lanes, class Rows>
Status launch_rows(Context& context, Index n, const Rows& rows) {
  using Kernel = EachRow<Rows, lanes>;
  const Parts parts = parts_of_all(n, Kernel::step);
  return launch(context, parts.blocks(), Kernel{rows, parts});
}

template <class Rows>
Status launch_rows(Context& context, Index n, Index c, const Rows& rows) {
  if (c <= 16) return launch_rows<4>(context, n, rows);
  if (c <= 1024) return launch_rows<32>(context, n, rows);
  return launch_rows<threads_of_rows>(context, n, rows);
}

}  // namespace fastnn::FASTNN_TARGET
