// Rows of sparse matrices: as dense ones, times a matrix of weights, and the gradient of that.
#include "core/element.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// How many numbers the rows have.
static Index count_numbers(const SparseView& x, const Rows& rows) {
  if (rows.order == nullptr) return x.starts[rows.first + rows.n] - x.starts[rows.first];
  Index count = 0;
  for (Index r = 0; r < rows.n; ++r) count += x.starts[rows.order[r] + 1] - x.starts[rows.order[r]];
  return count;
}

// f(column, value) for the numbers of a row, in order.
template <class From, class F>
static FASTNN_INLINE void each_number(const SparseView& x, Index row, const F& f) {
  const From* const values = static_cast<const From*>(x.values);
  for (Index e = x.starts[row]; e < x.starts[row + 1]; ++e) f(Index{x.columns[e]}, values[e]);
}

template <class T>
Status gather_sparse(Context& context, const GatherSparse<T>& a) {
  with_floats(a.source.element, [&](auto* type) {
    using From = Pointee<decltype(type)>;
    for_ranges(context, a.rows.n, most(a.columns, 1), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        T* const out = a.out + r * a.columns;
        for (Index j = 0; j < a.columns; ++j) out[j] = a.offset;
        each_number<From>(a.source, row_at(a.rows, r), [&](Index j, From value) {
          out[j] = mul_add(a.scale, convert<T>(value), a.offset);
        });
      }
    });
  });
  return Status::ok;
}

// Rows of weights lie anywhere: those of the numbers to come are fetched meanwhile.
template <class T>
static FASTNN_INLINE void fetch(const T* row, Index o) {
  constexpr Index line = 64 / static_cast<Index>(sizeof(T));
  const Index end = least(o, 4 * line);  // the hardware sees the rest coming
  for (Index j = 0; j < end; j += line) __builtin_prefetch(row + j);
}

template <class T>
static void add_scaled(Index n, T factor, const T* __restrict__ x, T* __restrict__ y) {
  for (Index j = 0; j < n; ++j) y[j] = mul_add(factor, x[j], y[j]);
}

// y += a0 x0 + a1 x1 + a2 x2 + a3 x3, in this order.
template <class T>
static void add_four(Index n, const T (&factor)[4], const T* const (&x)[4], T* __restrict__ y) {
  const T* __restrict__ const x0 = x[0];
  const T* __restrict__ const x1 = x[1];
  const T* __restrict__ const x2 = x[2];
  const T* __restrict__ const x3 = x[3];
  const T a0 = factor[0];
  const T a1 = factor[1];
  const T a2 = factor[2];
  const T a3 = factor[3];
  for (Index j = 0; j < n; ++j) {
    y[j] = mul_add(a3, x3[j], mul_add(a2, x2[j], mul_add(a1, x1[j], mul_add(a0, x0[j], y[j]))));
  }
}

constexpr Index ahead = 8;  // numbers

template <class From, class T>
static void multiply_row(const SparseForward<T>& a, Index row, T* y) {
  const From* const values = static_cast<const From*>(a.x.values);
  const Index end = a.x.starts[row + 1];
  Index e = a.x.starts[row];
  const auto weights = [&](Index k) { return a.w + Index{a.x.columns[k]} * a.o; };
  const auto factor = [&](Index k) { return a.scale * convert<T>(values[k]); };
  for (; e + 4 <= end; e += 4) {
    for (Index k = e + ahead; k < least(e + ahead + 4, end); ++k) fetch(weights(k), a.o);
    add_four<T>(a.o, {factor(e), factor(e + 1), factor(e + 2), factor(e + 3)},
                {weights(e), weights(e + 1), weights(e + 2), weights(e + 3)}, y);
  }
  for (; e < end; ++e) add_scaled(a.o, factor(e), weights(e), y);
}

template <class T>
Status sparse_forward(Context& context, const SparseForward<T>& a) {
  with_floats(a.x.element, [&](auto* type) {
    using From = Pointee<decltype(type)>;
    const Index in_row = count_numbers(a.x, a.rows) / most(a.rows.n, 1) + 1;
    for_ranges(context, a.rows.n, in_row * most(a.o / 8, 1), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        T* const y = a.y + r * a.o;
        for (Index j = 0; j < a.o; ++j) y[j] = a.b != nullptr ? a.b[j] : T(0);
        multiply_row<From>(a, row_at(a.rows, r), y);
      }
    });
  });
  return Status::ok;
}

// The rows of dw whose number is `part`, modulo `parts`, a power of two.
template <class From, class T>
static void add_part(const SparseBackward<T>& a, Index part, Index parts) {
  for (Index row = part; !a.accumulates && row < a.i; row += parts) {
    T* const to = a.dw + row * a.o;
    for (Index j = 0; j < a.o; ++j) to[j] = T(0);
  }
  const From* const values = static_cast<const From*>(a.x.values);
  for (Index r = 0; r < a.rows.n; ++r) {
    const Index row = row_at(a.rows, r);
    const Index end = a.x.starts[row + 1];
    const T* const dz = a.dz + r * a.o;
    for (Index e = a.x.starts[row]; e < end; ++e) {
      const Index column = a.x.columns[e];
      if (e + ahead < end) fetch(a.dw + Index{a.x.columns[e + ahead]} * a.o, a.o);
      if ((column & (parts - 1)) != part) continue;
      add_scaled(a.o, a.scale * convert<T>(values[e]), dz, a.dw + column * a.o);
    }
  }
}

template <class T>
Status sparse_backward(Context& context, const SparseBackward<T>& a) {
  const Index cleared = a.accumulates ? 0 : a.i * a.o / 4;
  const int threads = context.threads(cleared + count_numbers(a.x, a.rows) * most(a.o / 8, 1));
  Index parts = 1;
  while (threads > 1 && parts < 2 * threads) parts *= 2;
  with_floats(a.x.element, [&](auto* type) {
    using From = Pointee<decltype(type)>;
    share_out(context, parts, threads, [&](Index part, int) { add_part<From>(a, part, parts); });
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(gather_sparse, GatherSparse)
FASTNN_INSTANTIATE(sparse_forward, SparseForward)
FASTNN_INSTANTIATE(sparse_backward, SparseBackward)

}  // namespace fastnn::FASTNN_TARGET
