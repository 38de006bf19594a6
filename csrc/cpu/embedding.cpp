// Rows of a table, looked up; and the gradient of the table.
#include "core/embedding.h"

#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
Status embedding_forward(Context& context, const EmbeddingForward<T>& a) {
  for_ranges(context, a.n * a.k, a.d, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i) {
      T* __restrict__ const y = a.y + i * a.d;
      const Index row = named_row(a.x[i], a.vocabulary);
      if (row >= 0) {
        const T* const from = a.table + row * a.d;
        for (Index j = 0; j < a.d; ++j) y[j] = from[j];
      } else {
        for (Index j = 0; j < a.d; ++j) y[j] = static_cast<T>(__builtin_nanf(""));
      }
    }
  });
  return Status::ok;
}

// The rows of the table whose number is `part`, modulo `parts`, a power of two: tables often
// begin with what is looked up most.
template <class T>
static void add_part(const EmbeddingBackward<T>& a, Index part, Index parts) {
  for (Index row = part; !a.accumulates && row < a.vocabulary; row += parts) {
    T* const to = a.dtable + row * a.d;
    for (Index j = 0; j < a.d; ++j) to[j] = T(0);
  }
  for (Index i = 0; i < a.n * a.k; ++i) {
    const Index row = named_row(a.x[i], a.vocabulary);
    if (row < 0 || (row & (parts - 1)) != part) continue;
    const T* const dy = a.dy + i * a.d;
    T* __restrict__ const to = a.dtable + row * a.d;
    for (Index j = 0; j < a.d; ++j) to[j] += dy[j];
  }
}

template <class T>
Status embedding_backward(Context& context, const EmbeddingBackward<T>& a) {
  const Index cleared = a.accumulates ? 0 : a.vocabulary / 4;
  const int threads = context.threads((a.n * a.k + cleared) * a.d);
  Index parts = 1;
  while (threads > 1 && parts < 2 * threads) parts *= 2;
  share_out(context, parts, threads, [&](Index part, int) { add_part(a, part, parts); });
  return Status::ok;
}

FASTNN_INSTANTIATE(embedding_forward, EmbeddingForward)
FASTNN_INSTANTIATE(embedding_backward, EmbeddingBackward)

}  // namespace fastnn::FASTNN_TARGET
