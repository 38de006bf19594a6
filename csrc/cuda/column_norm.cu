// Columns normalized by statistics that are given, or by those of the batch, and their gradients:
// see core/column_norm.h.
#include "core/column_norm.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

// Two sums of each column over the rows of a group: a block takes 32 columns, each of its warps a
// stretch of the rows, whose sums are added in order. terms.add(i, column, first, second) adds
// those of element i.
template <class T, class Terms>
struct SumColumns {
  static constexpr int threads = 512;
  static constexpr int warps = threads / 32;
  Terms terms;
  Index n, c;
  RowGroups groups;
  Index across;  // blocks for a group
  T* sums;       // (groups, c), twice
  struct Shared {
    T first[threads];
    T second[threads];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    Shared& shared = t.shared<Shared>();
    const Index group = t.block() / across;
    const Index column = t.block() % across * 32 + t.lane();
    const Index from = group * groups.rows;
    const Index size = least(groups.rows, n - from);
    const Index stretch = ceil_div(size, warps);
    const Index begin = least(t.warp() * stretch, size);
    const Index end = least(begin + stretch, size);
    T first = T(0);
    T second = T(0);
    if (column < c) {
      for (Index r = from + begin; r < from + end; ++r) {
        terms.add(r * c + column, column, first, second);
      }
    }
    shared.first[t.index()] = first;
    shared.second[t.index()] = second;
    t.barrier();
    if (t.warp() != 0 || column >= c) return;
    for (int w = 1; w < warps; ++w) {
      first += shared.first[w * 32 + t.lane()];
      second += shared.second[w * 32 + t.lane()];
    }
    sums[group * c + column] = first;
    sums[(groups.count + group) * c + column] = second;
  }
};

// What is made of the sums of each column, the groups in order.
template <class T, class Finish>
struct FinishColumns {
  static constexpr int threads = threads_of_block;
  Finish finish;
  const T* sums;  // (groups, c), twice
  Index groups, c;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index column = t.place();
    if (column >= c) return;
    T first = T(0);
    T second = T(0);
    for (Index group = 0; group < groups; ++group) {
      first += sums[group * c + column];
      second += sums[(groups + group) * c + column];
    }
    finish(column, first, second);
  }
};

// x minus the first row.
template <class T>
struct Shifted {
  const T* x;

  FASTNN_DEVICE void add(Index i, Index column, T& first, T&) const { first += x[i] - x[column]; }
};

template <class T>
struct FinishMean {
  const T* x;
  Index n;
  T* mean;

  FASTNN_DEVICE void operator()(Index column, T first, T) const {
    mean[column] = x[column] + first / static_cast<T>(n);
  }
};

template <class T>
struct Deviations {
  const T* x;
  const T* mean;

  FASTNN_DEVICE void add(Index i, Index column, T& first, T& second) const {
    const T d = x[i] - mean[column];
    first += d;
    second = mul_add(d, d, second);
  }
};

// By column, (4, c): what is subtracted from x, twice, what it is multiplied by, and what is added.
template <class T>
struct Maps {
  T* mean;
  T* residue;
  T* factor;
  T* offset;
};

template <class T>
struct FinishStatistics {
  BatchNormForward<T> a;
  Maps<T> by;

  FASTNN_DEVICE void operator()(Index column, T first, T second) const {
    const ColumnStatistics<T> found =
        column_statistics(by.mean[column], first, second, a.n, a.epsilon);
    by.residue[column] = found.residue;
    by.factor[column] = found.inverse * at_or(a.gamma, column, T(1));
    by.offset[column] = at_or(a.beta, column, T(0));
    keep_statistics(a, column, found);
  }
};

template <class T>
struct MapColumns {
  static constexpr int threads = threads_of_block;
  Maps<T> by;
  Index n, c;
  const T* x;
  T* y;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= n * c) return;
    const Index j = cell_of(i, c).column;
    y[i] = mul_add((x[i] - by.mean[j]) - by.residue[j], by.factor[j], by.offset[j]);
  }
};

template <class T>
struct NormalizeColumns {
  static constexpr int threads = threads_of_block;
  NormalizeColumnsForward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Index j = cell_of(i, a.c).column;
    const ColumnMap<T> map =
        column_map(a.scaling, a.epsilon, at_or(a.mean, j, T(0)), at_or(a.variance, j, T(1)),
                   at_or(a.gamma, j, T(1)), at_or(a.beta, j, T(0)));
    a.y[i] = mul_add(a.x[i] - map.mean, map.factor, map.offset);
  }
};

template <class T>
struct NormalizeSlope {
  static constexpr int threads = threads_of_block;
  NormalizeColumnsBackward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Index j = cell_of(i, a.c).column;
    const T factor = column_factor(a.scaling, a.epsilon, at_or(a.variance, j, T(1)));
    a.dx[i] = a.dy[i] * (factor * at_or(a.gamma, j, T(1)));
  }
};

// dy xhat and dy, with the statistics that were given.
template <class T>
struct GivenSlopes {
  NormalizeColumnsBackward<T> a;

  FASTNN_DEVICE void add(Index i, Index column, T& first, T& second) const {
    const T factor = column_factor(a.scaling, a.epsilon, at_or(a.variance, column, T(1)));
    first = mul_add(a.dy[i], (a.x[i] - at_or(a.mean, column, T(0))) * factor, first);
    second += a.dy[i];
  }
};

// The same with those of the batch.
template <class T>
struct BatchSlopes {
  BatchNormBackward<T> a;

  FASTNN_DEVICE T xhat(Index i, Index column) const {
    const T* const at = a.statistics + column;
    return ((a.x[i] - at[0]) - at[a.c]) * at[2 * a.c];
  }
  FASTNN_DEVICE void add(Index i, Index column, T& first, T& second) const {
    first = mul_add(a.dy[i], xhat(i, column), first);
    second += a.dy[i];
  }
};

template <class T>
struct FinishGradients {
  T* dgamma;  // may be null
  T* dbeta;   // may be null
  bool accumulates;
  T* products;  // (c): the sums; may be null
  T* plain;

  FASTNN_DEVICE void operator()(Index column, T first, T second) const {
    if (dgamma != nullptr) dgamma[column] = (accumulates ? dgamma[column] : T(0)) + first;
    if (dbeta != nullptr) dbeta[column] = (accumulates ? dbeta[column] : T(0)) + second;
    if (products == nullptr) return;
    products[column] = first;
    plain[column] = second;
  }
};

template <class T>
struct BatchSlope {
  static constexpr int threads = threads_of_block;
  BatchSlopes<T> terms;
  const T* products;
  const T* plain;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const BatchNormBackward<T>& a = terms.a;
    const Index i = t.place();
    if (i >= a.n * a.c) return;
    const Index j = cell_of(i, a.c).column;
    const T rows = static_cast<T>(a.n);
    const T scale = a.statistics[2 * a.c + j] * at_or(a.gamma, j, T(1));
    const T centered = a.dy[i] - plain[j] / rows;
    a.dx[i] = scale * mul_add(-terms.xhat(i, j), products[j] / rows, centered);
  }
};

// Numbers for the sums of each group, twice, and `more` for each column.
template <class T>
T* room_for(Context& context, Index n, Index c, Index more) {
  const Index groups = most(row_groups(n).count, 1);
  const auto bytes = static_cast<size_t>((2 * groups + more) * c) * sizeof(T);
  return static_cast<T*>(context.scratch(Context::sums, bytes));
}

template <class T, class Terms, class Finish>
Status sum_columns(Context& context, Index n, Index c, const Terms& terms, const Finish& finish,
                   T* sums) {
  const RowGroups groups = row_groups(n);
  const Index across = ceil_div(c, 32);
  const Status status = launch(context, groups.count * across,
                               SumColumns<T, Terms>{terms, n, c, groups, across, sums});
  if (status != Status::ok) return status;
  return launch(context, ceil_div(c, threads_of_block),
                FinishColumns<T, Finish>{finish, sums, groups.count, c});
}

}  // namespace

template <class T>
Status normalize_columns_forward(Context& context, const NormalizeColumnsForward<T>& a) {
  return launch(context, ceil_div(a.n * a.c, threads_of_block), NormalizeColumns<T>{a});
}

template <class T>
Status normalize_columns_backward(Context& context, const NormalizeColumnsBackward<T>& a) {
  if (a.dgamma != nullptr || a.dbeta != nullptr) {  // before dx, which may be dy
    T* const sums = room_for<T>(context, a.n, a.c, 0);
    if (sums == nullptr) return Status::out_of_memory;
    const FinishGradients<T> finish{a.dgamma, a.dbeta, a.accumulates, nullptr, nullptr};
    const Status status = sum_columns(context, a.n, a.c, GivenSlopes<T>{a}, finish, sums);
    if (status != Status::ok) return status;
  }
  if (a.dx == nullptr) return Status::ok;
  return launch(context, ceil_div(a.n * a.c, threads_of_block), NormalizeSlope<T>{a});
}

template <class T>
Status batch_norm_forward(Context& context, const BatchNormForward<T>& a) {
  if (a.n == 0) return Status::ok;
  T* const sums = room_for<T>(context, a.n, a.c, 4);
  if (sums == nullptr) return Status::out_of_memory;
  T* const room = sums + 2 * row_groups(a.n).count * a.c;
  const Maps<T> by{room, room + a.c, room + 2 * a.c, room + 3 * a.c};
  Status status =
      sum_columns(context, a.n, a.c, Shifted<T>{a.x}, FinishMean<T>{a.x, a.n, by.mean}, sums);
  if (status != Status::ok) return status;
  status =
      sum_columns(context, a.n, a.c, Deviations<T>{a.x, by.mean}, FinishStatistics<T>{a, by}, sums);
  if (status != Status::ok) return status;
  return launch(context, ceil_div(a.n * a.c, threads_of_block),
                MapColumns<T>{by, a.n, a.c, a.x, a.y});
}

template <class T>
Status batch_norm_backward(Context& context, const BatchNormBackward<T>& a) {
  T* const sums = room_for<T>(context, a.n, a.c, 2);
  if (sums == nullptr) return Status::out_of_memory;
  T* const products = sums + 2 * most(row_groups(a.n).count, 1) * a.c;
  T* const plain = products + a.c;
  const BatchSlopes<T> terms{a};
  const Status status =
      sum_columns(context, a.n, a.c, terms,
                  FinishGradients<T>{a.dgamma, a.dbeta, a.accumulates, products, plain}, sums);
  if (status != Status::ok || a.dx == nullptr) return status;
  return launch(context, ceil_div(a.n * a.c, threads_of_block),
                BatchSlope<T>{terms, products, plain});
}

FASTNN_INSTANTIATE(normalize_columns_forward, NormalizeColumnsForward)
FASTNN_INSTANTIATE(normalize_columns_backward, NormalizeColumnsBackward)
FASTNN_INSTANTIATE(batch_norm_forward, BatchNormForward)
FASTNN_INSTANTIATE(batch_norm_backward, BatchNormBackward)

}  // namespace fastnn::FASTNN_TARGET
