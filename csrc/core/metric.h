// What native code counts for metrics. Python gives counts a name and finishes them: an accuracy
// is a ratio of two of them, an F1 score is made of four, a coefficient of determination of five.
//
//   mean_of     a loss of the table, without its gradient: sum of weighted losses, and weight
//   matches     rows whose first largest output is at their class: weight of hits, and of all
//   hits        rows whose class is among the `value` largest outputs: the same
//   sides       elements on the right side: output above `value` where the target is above 1/2
//   exact       rows all of whose known elements are on the right side: weight of those, and of all
//               that have one
//   confusion   for each set of thresholds and each output: weights of true positives, false
//               positives, false negatives and true negatives. An output is positive above its
//               threshold and among the `top` largest of its row, as far as these are given. With
//               classes the target is positive at the row's class, else above 1/2.
//   moments     for each output: sums of w, w t, w t^2, w y, w y^2, w t y, w (t - y)^2 (y the
//               output, t the target)
#pragma once

#include "core/arrays.h"

#define FASTNN_METRICS(use) \
  use(mean_of)              \
  use(matches)              \
  use(hits)                 \
  use(sides)                \
  use(exact)                \
  use(confusion)            \
  use(moments)

namespace fastnn {

#define FASTNN_USE(name) name,
enum class MetricKind : unsigned char { FASTNN_METRICS(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name) #name,
inline constexpr const char* metric_names[] = {FASTNN_METRICS(FASTNN_USE)};
#undef FASTNN_USE

inline constexpr int counts_of_confusion = 4;
inline constexpr int counts_of_moments = 7;

// Numbers that a metric adds up, of c outputs and so many sets of thresholds.
constexpr Index metric_width(MetricKind kind, Index c, Index sets) {
  if (kind == MetricKind::confusion) return sets * c * counts_of_confusion;
  if (kind == MetricKind::moments) return c * counts_of_moments;
  return 2;
}

}  // namespace fastnn
