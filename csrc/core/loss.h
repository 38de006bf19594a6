// The list of losses and of metrics, by the names under which Python asks for
// them. Their formulas are in math.h and in the kernels of the same names.
#pragma once

#define FASTNN_LOSSES(use)   \
  use(softmax_cross_entropy) \
  use(sigmoid_cross_entropy) \
  use(mean_squared_error)

// What is counted besides the loss. The value that a metric takes (see Metric in
// plan.h) is the threshold for binary_accuracy and k for top_k_categorical_accuracy.
#define FASTNN_METRICS(use)        \
  use(sparse_categorical_accuracy) \
  use(categorical_accuracy)        \
  use(binary_accuracy)             \
  use(top_k_categorical_accuracy)  \
  use(softmax_cross_entropy)       \
  use(sigmoid_cross_entropy)       \
  use(mean_squared_error)          \
  use(mean_absolute_error)

namespace fastnn {

#define FASTNN_USE(name) name,
enum class LossKind : unsigned char { FASTNN_LOSSES(FASTNN_USE) };
enum class MetricKind : unsigned char { FASTNN_METRICS(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name) #name,
inline constexpr const char* loss_names[] = {FASTNN_LOSSES(FASTNN_USE)};
inline constexpr const char* metric_names[] = {FASTNN_METRICS(FASTNN_USE)};
#undef FASTNN_USE

}  // namespace fastnn
