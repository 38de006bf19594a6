// Kernels that are yet to be written; each goes from here to a file of its own.
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {

#define FASTNN_UNWRITTEN(kernel, Arguments)      \
  template <class T>                             \
  Status kernel(Context&, const Arguments<T>&) { \
    return Status::failed;                       \
  }                                              \
  FASTNN_INSTANTIATE(kernel, Arguments)

FASTNN_UNWRITTEN(dense_forward, DenseForward)
FASTNN_UNWRITTEN(dense_backward, DenseBackward)
FASTNN_UNWRITTEN(softmax_forward, SoftmaxForward)
FASTNN_UNWRITTEN(softmax_backward, SoftmaxBackward)
FASTNN_UNWRITTEN(softmax_cross_entropy, SoftmaxCrossEntropy)
FASTNN_UNWRITTEN(sigmoid_cross_entropy, SigmoidCrossEntropy)
FASTNN_UNWRITTEN(mean_squared_error, MeanSquaredError)
FASTNN_UNWRITTEN(weight_sum, WeightSum)
FASTNN_UNWRITTEN(metric_rows, MetricRows)

}  // namespace fastnn::FASTNN_TARGET
