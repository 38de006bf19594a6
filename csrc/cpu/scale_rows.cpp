// Rows scaled by their own length, and their gradients: see core/scale_rows.h.
#include "core/scale_rows.h"

#include "cpu/group_sums.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

inline constexpr Index cost_of_element = 2;  // see for_ranges

template <class T>
static T squares_of(const T* x, Index c) {
  alignas(64) Lanes<T> squares{};
  for_lanes(c, [&](int k, Index j) { squares[k] = mul_add(x[j], x[j], squares[k]); });
  return joined(squares);
}

template <bool has_gamma, class T>
static void scale(const ScaleRowsForward<T>& a, Index r) {
  const T* const x = a.x + r * a.c;
  T* const y = a.y + r * a.c;
  const T inverse = inverse_length(a.length, squares_of(x, a.c), a.c, a.epsilon);
  FASTNN_INDEPENDENT
  for (Index j = 0; j < a.c; ++j) {
    const T xhat = x[j] * inverse;
    y[j] = has_gamma ? a.gamma[j] * xhat : xhat;
  }
  if (a.inverses != nullptr) a.inverses[r] = inverse;
}

template <class T>
Status scale_rows_forward(Context& context, const ScaleRowsForward<T>& a) {
  for_ranges(context, a.n, a.c * cost_of_element, [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      if (a.gamma != nullptr) {
        scale<true>(a, r);
      } else {
        scale<false>(a, r);
      }
    }
  });
  return Status::ok;
}

// Adds the row's part of dgamma, and writes dx, which may be dy: both need xhat.
template <bool has_gamma, class T>
static void pull_row(const ScaleRowsBackward<T>& a, Index r, T* __restrict__ dgamma) {
  const T* const x = a.x + r * a.c;
  const T* const dy = a.dy + r * a.c;
  const T inverse = a.inverses[r];
  if (a.dx == nullptr) {
    for (Index j = 0; j < a.c; ++j) dgamma[j] = mul_add(dy[j], x[j] * inverse, dgamma[j]);
    return;
  }
  const T* const gamma = a.gamma;
  alignas(64) Lanes<T> sums{};
  for_lanes(a.c, [&](int k, Index j) {
    const T g = has_gamma ? dy[j] * gamma[j] : dy[j];
    sums[k] = mul_add(g, x[j], sums[k]);
  });
  const T factor = slope_factor(a.length, inverse, joined(sums), a.c, a.epsilon);
  T* const dx = a.dx + r * a.c;
  FASTNN_INDEPENDENT
  for (Index j = 0; j < a.c; ++j) {
    const T given = dy[j];
    const T xhat = x[j] * inverse;
    dgamma[j] = mul_add(given, xhat, dgamma[j]);
    dx[j] = inverse * mul_add(-xhat, factor, has_gamma ? given * gamma[j] : given);
  }
}

template <class T>
Status scale_rows_backward(Context& context, const ScaleRowsBackward<T>& a) {
  T* const sums = group_sums<T>(context, a.n, a.c);
  if (sums == nullptr) return Status::out_of_memory;
  for_row_groups(context, a.n, 2 * a.c * cost_of_element,
                 [&](Index group, Index begin, Index end, int) {
                   T* const dgamma = sums + group * a.c;
                   for (Index j = 0; j < a.c; ++j) dgamma[j] = T(0);
                   for (Index r = begin; r < end; ++r) {
                     if (a.gamma != nullptr) {
                       pull_row<true>(a, r, dgamma);
                     } else {
                       pull_row<false>(a, r, dgamma);
                     }
                   }
                 });
  if (a.dgamma != nullptr) {
    join_groups(sums, row_groups(a.n).count, a.c, a.accumulates, a.dgamma);
  }
  return Status::ok;
}

FASTNN_INSTANTIATE(scale_rows_forward, ScaleRowsForward)
FASTNN_INSTANTIATE(scale_rows_backward, ScaleRowsBackward)

}  // namespace fastnn::FASTNN_TARGET
