// The kernels of one table, declared under their names there, and the table they make.
// A backend's files include it through its own kernels.h.
#pragma once

#include "core/kernels.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

Status shuffle(Context&, const Shuffle&);
Status scan(Context&, const Scan&);

template <class T>
Status gather(Context&, const Gather<T>&);
template <class T>
Status gather_labels(Context&, const GatherLabels<T>&);
template <class T>
Status dense_forward(Context&, const DenseForward<T>&);
template <class T>
Status dense_backward(Context&, const DenseBackward<T>&);
template <class T>
Status activation_forward(Context&, const ActivationForward<T>&);
template <class T>
Status activation_backward(Context&, const ActivationBackward<T>&);
template <class T>
Status softmax_forward(Context&, const SoftmaxForward<T>&);
template <class T>
Status softmax_backward(Context&, const SoftmaxBackward<T>&);
template <class T>
Status softmax_cross_entropy(Context&, const SoftmaxCrossEntropy<T>&);
template <class T>
Status sigmoid_cross_entropy(Context&, const SigmoidCrossEntropy<T>&);
template <class T>
Status mean_squared_error(Context&, const MeanSquaredError<T>&);
template <class T>
Status weight_sum(Context&, const WeightSum<T>&);
template <class T>
Status metric_rows(Context&, const MetricRows<T>&);
template <class T>
Status dropout(Context&, const Dropout<T>&);
template <class T>
Status affine(Context&, const Affine<T>&);
template <class T>
Status add(Context&, const Add<T>&);
template <class T>
Status optimizer_step(Context&, const OptimizerStep<T>&);
template <class T>
Status fill_uniform(Context&, const Fill<T>&);
template <class T>
Status fill_normal(Context&, const Fill<T>&);

template <class T>
constexpr Kernels<T> make_kernels() {
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

constexpr KernelTable make_table(const char* name) {
  return {
      .name = name,
      .shuffle = shuffle,
      .scan = scan,
      .f32 = make_kernels<float>(),
      .f64 = make_kernels<double>(),
  };
}

}  // namespace fastnn::FASTNN_TARGET

// Both element types of a kernel, at the end of the file that defines it.
#define FASTNN_INSTANTIATE(kernel, Arguments)                \
  template Status kernel(Context&, const Arguments<float>&); \
  template Status kernel(Context&, const Arguments<double>&);
