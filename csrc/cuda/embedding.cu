// Rows of a table, looked up; and the gradient of the table.
#include "core/embedding.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

template <class T>
struct LookUp {
  static constexpr int threads = threads_of_block;
  EmbeddingForward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= a.n * a.k * a.d) return;
    const Cell cell = cell_of(i, a.d);
    const Index row = named_row(a.x[cell.row], a.vocabulary);
    a.y[i] = row >= 0 ? a.table[row * a.d + cell.column] : static_cast<T>(__builtin_nanf(""));
  }
};

// A warp takes 32 columns of the table's rows whose number is `part`, modulo `parts`, and looks
// through all of x for them: each element is one chain of additions.
template <class T>
struct AddRows {
  static constexpr int threads = threads_of_block;
  static constexpr int warps = threads / 32;
  EmbeddingBackward<T> a;
  Index across;  // warps for the columns
  Index parts;   // a power of two

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index place = t.block() * warps + t.warp();
    const Index part = place / across;
    const Index column = place % across * 32 + t.lane();
    if (part >= parts || column >= a.d) return;
    for (Index row = part; !a.accumulates && row < a.vocabulary; row += parts) {
      a.dtable[row * a.d + column] = T(0);
    }
    for (Index i = 0; i < a.n * a.k; ++i) {
      const Index row = named_row(a.x[i], a.vocabulary);
      if (row < 0 || (row & (parts - 1)) != part) continue;
      a.dtable[row * a.d + column] += a.dy[i * a.d + column];
    }
  }
};

}  // namespace

template <class T>
Status embedding_forward(Context& context, const EmbeddingForward<T>& a) {
  return launch(context, ceil_div(a.n * a.k * a.d, threads_of_block), LookUp<T>{a});
}

template <class T>
Status embedding_backward(Context& context, const EmbeddingBackward<T>& a) {
  constexpr Index enough = 2048;  // warps
  const Index across = ceil_div(a.d, 32);
  Index parts = 1;
  while (parts < a.vocabulary && 2 * parts * across <= enough) parts *= 2;
  const Index blocks = ceil_div(parts * across, AddRows<T>::warps);
  return launch(context, blocks, AddRows<T>{a, across, parts});
}

FASTNN_INSTANTIATE(embedding_forward, EmbeddingForward)
FASTNN_INSTANTIATE(embedding_backward, EmbeddingBackward)

}  // namespace fastnn::FASTNN_TARGET
