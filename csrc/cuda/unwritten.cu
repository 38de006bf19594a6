// Kernels that are yet to be written; each goes from here to a file of its own.
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {

#define FASTNN_UNWRITTEN(kernel, Arguments)      \
  template <class T>                             \
  Status kernel(Context&, const Arguments<T>&) { \
    return Status::failed;                       \
  }                                              \
  FASTNN_INSTANTIATE(kernel, Arguments)

FASTNN_UNWRITTEN(metric_rows, MetricRows)

}  // namespace fastnn::FASTNN_TARGET
