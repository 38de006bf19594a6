// Layer normalization and its gradients: see core/layer_norm.h. A row is read once for each
// pass, which the cache bears; a part of a warp, a warp or a block shares it.
#include "core/layer_norm.h"

#include "cuda/kernels.h"
#include "cuda/row_teams.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// -- forward ----------------------------------------------------------------

template <class T>
struct Normalize {
  using Element = T;
  LayerNormForward<T> a;

  template <int lanes>
  FASTNN_DEVICE void walk(const Team<lanes>& team, Index r, bool there) const {
    const Index c = there ? a.c : 0;
    const T* const x = a.x + r * a.c;
    const T first = there ? x[0] : T(0);
    T shifted = T(0);
    for (Index j = team.lane(); j < c; j += lanes) shifted += x[j] - first;
    const T mean = first + team.sum(shifted) / static_cast<T>(a.c);
    T sum = T(0);
    T squares = T(0);
    for (Index j = team.lane(); j < c; j += lanes) {
      const T d = x[j] - mean;
      sum += d;
      squares = mul_add(d, d, squares);
    }
    sum = team.sum(sum);
    squares = team.sum(squares);
    const RowNorm<T> norm = row_norm(mean, sum, squares, a.c, a.epsilon);
    if (there && team.lane() == 0 && a.statistics != nullptr) {
      a.statistics[2 * r] = norm.mean;
      a.statistics[2 * r + 1] = norm.inverse;
    }
    T* const y = a.y + r * a.c;
    for (Index j = team.lane(); j < c; j += lanes) {
      const T gamma = a.gamma != nullptr ? a.gamma[j] : T(1);
      const T beta = a.beta != nullptr ? a.beta[j] : T(0);
      y[j] = mul_add(gamma, norm.xhat(x[j]), beta);
    }
  }
};

// -- backward ---------------------------------------------------------------

template <class T>
struct Slopes {
  using Element = T;
  LayerNormBackward<T> a;
  RowNormSlope<T>* slopes;  // (n)

  template <int lanes>
  FASTNN_DEVICE void walk(const Team<lanes>& team, Index r, bool there) const {
    const Index c = there ? a.c : 0;
    const T* const x = a.x + r * a.c;
    const T* const dy = a.dy + r * a.c;
    const T mean = there ? a.statistics[2 * r] : T(0);
    T sum = T(0);
    T sum_g = T(0);
    T product = T(0);
    for (Index j = team.lane(); j < c; j += lanes) {
      const T d = x[j] - mean;
      const T g = a.gamma != nullptr ? dy[j] * a.gamma[j] : dy[j];
      sum += d;
      sum_g += g;
      product = mul_add(g, d, product);
    }
    sum = team.sum(sum);
    sum_g = team.sum(sum_g);
    product = team.sum(product);
    if (there && team.lane() == 0) {
      const T inverse = a.statistics[2 * r + 1];
      slopes[r] = row_norm_slope(mean, inverse, sum, sum_g, product, a.c);
    }
  }
};

// dgamma and dbeta of a row group: a block takes 32 of its columns, each warp a stretch of
// its rows, whose sums are added in order.
template <class T>
struct ColumnGradients {
  static constexpr int threads = 512;
  static constexpr int warps = threads / 32;
  LayerNormBackward<T> a;
  const RowNormSlope<T>* slopes;
  RowGroups groups;
  Index across;  // blocks for a group
  T* sums;       // dgamma (groups, c), then dbeta (groups, c)
  struct Shared {
    T gamma[threads];
    T beta[threads];
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
    T beta = T(0);
    if (column < a.c) {
      for (Index r = first + begin; r < first + end; ++r) {
        const T dy = a.dy[r * a.c + column];
        gamma = mul_add(dy, slopes[r].norm.xhat(a.x[r * a.c + column]), gamma);
        beta += dy;
      }
    }
    shared.gamma[t.index()] = gamma;
    shared.beta[t.index()] = beta;
    t.barrier();
    if (t.warp() != 0 || column >= a.c) return;
    for (int w = 1; w < warps; ++w) {
      gamma += shared.gamma[w * 32 + t.lane()];
      beta += shared.beta[w * 32 + t.lane()];
    }
    sums[group * a.c + column] = gamma;
    sums[(groups.count + group) * a.c + column] = beta;
  }
};

// The sums of the groups, in order.
template <class T>
struct JoinGroups {
  static constexpr int threads = threads_of_block;
  const T* sums;  // (groups, c), twice
  Index groups, c;
  T* dgamma;  // may be null
  T* dbeta;   // may be null
  bool accumulates;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index place = t.place();
    if (place >= 2 * c) return;
    const bool second = place >= c;
    const Index column = second ? place - c : place;
    T* const out = second ? dbeta : dgamma;
    if (out == nullptr) return;
    const T* const given = sums + (second ? groups * c : 0) + column;
    T total = accumulates ? out[column] : T(0);
    for (Index group = 0; group < groups; ++group) total += given[group * c];
    out[column] = total;
  }
};

template <class T>
struct InputGradient {
  static constexpr int threads = threads_of_block;
  LayerNormBackward<T> a;
  const RowNormSlope<T>* slopes;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Cell cell = cell_of(i, a.c);
    const T g = a.gamma != nullptr ? a.dy[i] * a.gamma[cell.column] : a.dy[i];
    const RowNormSlope<T> slope = slopes[cell.row];
    a.dx[i] = slope.dx(g, slope.norm.xhat(a.x[i]));
  }
};

template <class T>
Status vector_gradients(Context& context, const LayerNormBackward<T>& a,
                        const RowNormSlope<T>* slopes, T* sums) {
  const RowGroups groups = row_groups(a.n);
  const Index across = ceil_div(a.c, 32);
  const Status status =
      launch(context, groups.count * across, ColumnGradients<T>{a, slopes, groups, across, sums});
  if (status != Status::ok) return status;
  return launch(context, ceil_div(2 * a.c, threads_of_block),
                JoinGroups<T>{sums, groups.count, a.c, a.dgamma, a.dbeta, a.accumulates});
}

}  // namespace

template <class T>
Status layer_norm_forward(Context& context, const LayerNormForward<T>& a) {
  return launch_rows(context, a.n, a.c, Normalize<T>{a});
}

template <class T>
Status layer_norm_backward(Context& context, const LayerNormBackward<T>& a) {
  const auto slope_bytes = static_cast<size_t>(a.n) * sizeof(RowNormSlope<T>);
  const auto sums = static_cast<size_t>(2 * row_groups(a.n).count * a.c);
  void* const room = context.scratch(Context::sums, slope_bytes + sums * sizeof(T) + 1);
  if (room == nullptr) return Status::out_of_memory;
  auto* const slopes = static_cast<RowNormSlope<T>*>(room);
  Status status = launch_rows(context, a.n, a.c, Slopes<T>{a, slopes});
  // Before dx, which may be dy.
  if (status == Status::ok && (a.dgamma != nullptr || a.dbeta != nullptr)) {
    status = vector_gradients(context, a, slopes, reinterpret_cast<T*>(slopes + a.n));
  }
  if (status != Status::ok || a.dx == nullptr) return status;
  return launch(context, ceil_div(a.n * a.c, threads_of_block), InputGradient<T>{a, slopes});
}

FASTNN_INSTANTIATE(layer_norm_forward, LayerNormForward)
FASTNN_INSTANTIATE(layer_norm_backward, LayerNormBackward)

}  // namespace fastnn::FASTNN_TARGET
