// Dense layers side by side, each for a group of columns: a thread for each number, since groups
// are narrow.
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

template <class T>
struct Outputs {
  static constexpr int threads = threads_of_block;
  GroupedDenseForward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index place = t.place();
    if (place >= a.n * a.groups * a.o) return;
    const Cell cell = cell_of(place, a.groups * a.o);
    const Index g = cell.column / a.o;
    const T* const x = a.x + (cell.row * a.groups + g) * a.i;
    const T* const w = a.w + g * a.i * a.o + cell.column % a.o;
    T sum = a.b != nullptr ? a.b[cell.column] : T(0);
    for (Index k = 0; k < a.i; ++k) sum = mul_add(x[k], w[k * a.o], sum);
    a.y[place] = sum;
  }
};

template <class T>
struct Inputs {
  static constexpr int threads = threads_of_block;
  GroupedDenseBackward<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index place = t.place();
    if (place >= a.n * a.groups * a.i) return;
    const Cell cell = cell_of(place, a.groups * a.i);
    const T* const dy = a.dy + (cell.row * a.groups + cell.column / a.i) * a.o;
    const T* const w = a.w + cell.column * a.o;
    T sum = T(0);
    for (Index j = 0; j < a.o; ++j) sum = mul_add(dy[j], w[j], sum);
    a.dx[place] = sum;
  }
};

// Each warp adds up an element of dw or, behind these, of db: lane l has rows l, l + 32, ...
template <class T>
struct Weights {
  static constexpr int threads = threads_of_block;
  static constexpr int warps = threads / 32;
  GroupedDenseBackward<T> a;
  Index kernel;  // elements of dw that are wanted

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index place = t.block() * warps + t.warp();
    const Index biases = a.db != nullptr ? a.groups * a.o : 0;
    const bool is_bias = place >= kernel;
    const Index column = is_bias ? 0 : place / a.o;  // of x
    const Index output = is_bias ? place - kernel : column / a.i * a.o + place % a.o;
    const bool wanted = place < kernel + biases;
    T sum = T(0);
    for (Index row = t.lane(); wanted && row < a.n; row += 32) {
      const T dy = a.dy[row * a.groups * a.o + output];
      sum = mul_add(is_bias ? T(1) : a.x[row * a.groups * a.i + column], dy, sum);
    }
    for (int mask = 16; mask > 0; mask /= 2) sum += t.exchange(sum, mask);
    if (!wanted || t.lane() != 0) return;
    T& out = is_bias ? a.db[output] : a.dw[place];
    out = a.accumulates ? out + sum : sum;
  }
};

}  // namespace

template <class T>
Status grouped_dense_forward(Context& context, const GroupedDenseForward<T>& a) {
  return launch(context, ceil_div(a.n * a.groups * a.o, threads_of_block), Outputs<T>{a});
}

template <class T>
Status grouped_dense_backward(Context& context, const GroupedDenseBackward<T>& a) {
  Status status = Status::ok;
  if (a.dx != nullptr) {
    status = launch(context, ceil_div(a.n * a.groups * a.i, threads_of_block), Inputs<T>{a});
  }
  const Index kernel = a.dw != nullptr ? a.groups * a.i * a.o : 0;
  const Index all = kernel + (a.db != nullptr ? a.groups * a.o : 0);
  if (status != Status::ok || all == 0) return status;
  return launch(context, ceil_div(all, Weights<T>::warps), Weights<T>{a, kernel});
}

FASTNN_INSTANTIATE(grouped_dense_forward, GroupedDenseForward)
FASTNN_INSTANTIATE(grouped_dense_backward, GroupedDenseBackward)

}  // namespace fastnn::FASTNN_TARGET
