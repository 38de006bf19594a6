// The kernel table of one instruction set.
#include "cpu/kernels.h"

#define FASTNN_TEXT_OF(name) #name
#define FASTNN_TEXT(name) FASTNN_TEXT_OF(name)

namespace fastnn::FASTNN_TARGET {

template <class T>
static constexpr Kernels<T> make_kernels() {
  return {
      .gather = gather<T>,
      .gather_labels = gather_labels<T>,
      .dense_forward = dense_forward<T>,
      .dense_backward = dense_backward<T>,
      .activation_forward = activation_forward<T>,
      .activation_backward = activation_backward<T>,
      .softmax_forward = softmax_forward<T>,
      .softmax_backward = softmax_backward<T>,
      .softmax_cross_entropy = softmax_cross_entropy<T>,
      .sigmoid_cross_entropy = sigmoid_cross_entropy<T>,
      .mean_squared_error = mean_squared_error<T>,
      .weight_sum = weight_sum<T>,
      .metric_rows = metric_rows<T>,
      .dropout = dropout<T>,
      .affine = affine<T>,
      .add = add<T>,
      .optimizer_step = optimizer_step<T>,
      .fill_uniform = fill_uniform<T>,
      .fill_normal = fill_normal<T>,
  };
}

extern const KernelTable table;
constexpr KernelTable table{
    .name = FASTNN_TEXT(FASTNN_TARGET),
    .shuffle = shuffle,
    .scan = scan,
    .f32 = make_kernels<float>(),
    .f64 = make_kernels<double>(),
};
static_assert(complete(table), "a kernel is missing");

}  // namespace fastnn::FASTNN_TARGET
