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
FASTNN_UNWRITTEN(dense_forward, DenseForward)
FASTNN_UNWRITTEN(dense_backward, DenseBackward)
FASTNN_UNWRITTEN(optimizer_step, OptimizerStep)

}  // namespace fastnn::FASTNN_TARGET
