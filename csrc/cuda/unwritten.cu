// Kernels that are yet to be written; each goes from here to a file of its own.
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {

#define FASTNN_UNWRITTEN(kernel, Arguments)      \
  template <class T>                             \
  Status kernel(Context&, const Arguments<T>&) { \
    return Status::failed;                       \
  }                                              \
  FASTNN_INSTANTIATE(kernel, Arguments)

Status shuffle(Context&, const Shuffle&) { return Status::failed; }
Status scan(Context&, const Scan&) { return Status::failed; }
FASTNN_UNWRITTEN(gather, Gather)
FASTNN_UNWRITTEN(gather_labels, GatherLabels)
FASTNN_UNWRITTEN(dropout, Dropout)
FASTNN_UNWRITTEN(fill_uniform, Fill)
FASTNN_UNWRITTEN(fill_normal, Fill)
FASTNN_UNWRITTEN(softmax_forward, SoftmaxForward)
FASTNN_UNWRITTEN(softmax_backward, SoftmaxBackward)
FASTNN_UNWRITTEN(softmax_cross_entropy, SoftmaxCrossEntropy)
FASTNN_UNWRITTEN(sigmoid_cross_entropy, SigmoidCrossEntropy)
FASTNN_UNWRITTEN(mean_squared_error, MeanSquaredError)
FASTNN_UNWRITTEN(weight_sum, WeightSum)
FASTNN_UNWRITTEN(metric_rows, MetricRows)
FASTNN_UNWRITTEN(optimizer_step, OptimizerStep)

}  // namespace fastnn::FASTNN_TARGET
