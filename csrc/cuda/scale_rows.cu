// Rows scaled by their own length, and their gradients: see core/scale_rows.h. A part of a warp, a
// warp or a block shares a row.
#include "core/scale_rows.h"

#include "cuda/kernels.h"
#include "cuda/row_teams.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

template <class T>
struct Scale {
  using Element = T;
  ScaleRowsForward<T> a;

  template <int lanes>
  FASTNN_DEVICE void walk(const Team<lanes>& team, Index r, bool there) const {
    const Index c = there ? a.c : 0;
    const T* const x = a.x + r * a.c;
    T squares = T(0);
    for (Index j = team.lane(); j < c; j += lanes) squares = mul_add(x[j], x[j], squares);
    const T inverse = inverse_length(a.length, team.sum(squares), a.c, a.epsilon);
    if (there && team.lane() == 0 && a.inverses != nullptr) a.inverses[r] = inverse;
    T* const y = a.y + r * a.c;
    for (Index j = team.lane(); j < c; j += lanes) {
      const T xhat = x[j] * inverse;
      y[j] = a.gamma != nullptr ? a.gamma[j] * xhat : xhat;
    }
  }
};

template <class T>
struct PullRows {
  using Element = T;
  ScaleRowsBackward<T> a;

  template <int lanes>
  FASTNN_DEVICE void walk(const Team<lanes>& team, Index r, bool there) const {
    const Index c = there ? a.c : 0;
    const T* const x = a.x + r * a.c;
    const T* const dy = a.dy + r * a.c;
    const T inverse = there ? a.inverses[r] : T(1);
    T product = T(0);
    for (Index j = team.lane(); j < c; j += lanes) {
      const T g = a.gamma != nullptr ? dy[j] * a.gamma[j] : dy[j];
      product = mul_add(g, x[j], product);
    }
    const T factor = slope_factor(a.length, inverse, team.sum(product), a.c, a.epsilon);
    T* const dx = a.dx + r * a.c;
    for (Index j = team.lane(); j < c; j += lanes) {
      const T g = a.gamma != nullptr ? dy[j] * a.gamma[j] : dy[j];
      dx[j] = inverse * mul_add(-(x[j] * inverse), factor, g);
    }
  }
};

// dgamma of a row group: a block takes 32 of its columns, each warp a stretch of its rows, whose
// sums are added in order.
template <class T>
struct ScaleGradients {
  static constexpr int threads = 512;
  static constexpr int warps = threads / 32;
  ScaleRowsBackward<T> a;
  RowGroups groups;
  Index across;  // blocks for a group
  T* sums;       // (groups, c)
  struct Shared {
    T gamma[threads];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    Shared& shared = t.shared<Shared>();
    const Index group = t.block() / across;
    const Index column = t.block() % across * 32 + t.lane();
    const Index first = group * groups.rows;
    const Index size = least(groups.rows, a.n - first);
    const Index stretch = ceil_div(size, warps);
    const Index begin = least(t.warp() * stretch, size);
    const Index end = least(begin + stretch, size);
    T gamma = T(0);
    if (column < a.c) {
      for (Index r = first + begin; r < first + end; ++r) {
        gamma = mul_add(a.dy[r * a.c + column], a.x[r * a.c + column] * a.inverses[r], gamma);
      }
    }
    shared.gamma[t.index()] = gamma;
    t.barrier();
    if (t.warp() != 0 || column >= a.c) return;
    for (int w = 1; w < warps; ++w) gamma += shared.gamma[w * 32 + t.lane()];
    sums[group * a.c + column] = gamma;
  }
};

// The sums of the groups, in order.
template <class T>
struct JoinScales {
  static constexpr int threads = threads_of_block;
  const T* sums;  // (groups, c)
  Index groups, c;
  T* dgamma;
  bool accumulates;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index column = t.place();
    if (column >= c) return;
    T total = accumulates ? dgamma[column] : T(0);
    for (Index group = 0; group < groups; ++group) total += sums[group * c + column];
    dgamma[column] = total;
  }
};

}  // namespace

template <class T>
Status scale_rows_forward(Context& context, const ScaleRowsForward<T>& a) {
  return launch_rows(context, a.n, a.c, Scale<T>{a});
}

template <class T>
Status scale_rows_backward(Context& context, const ScaleRowsBackward<T>& a) {
  Status status = Status::ok;
  if (a.dgamma != nullptr) {  // before dx, which may be dy
    const RowGroups groups = row_groups(a.n);
    const auto bytes = static_cast<size_t>(groups.count * a.c) * sizeof(T) + 1;
    T* const sums = static_cast<T*>(context.scratch(Context::sums, bytes));
    if (sums == nullptr) return Status::out_of_memory;
    const Index across = ceil_div(a.c, 32);
    status = launch(context, groups.count * across, ScaleGradients<T>{a, groups, across, sums});
    if (status != Status::ok) return status;
    status = launch(context, ceil_div(a.c, threads_of_block),
                    JoinScales<T>{sums, groups.count, a.c, a.dgamma, a.accumulates});
  }
  if (status != Status::ok || a.dx == nullptr) return status;
  return launch_rows(context, a.n, a.c, PullRows<T>{a});
}

FASTNN_INSTANTIATE(scale_rows_forward, ScaleRowsForward)
FASTNN_INSTANTIATE(scale_rows_backward, ScaleRowsBackward)

}  // namespace fastnn::FASTNN_TARGET
