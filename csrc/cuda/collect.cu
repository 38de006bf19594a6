// What a recorded step leaves behind: its loss and metrics, added up on the device.
#include "core/math.h"
#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

struct CollectSums {
  static constexpr int threads = 32;
  Collect a;

  FASTNN_DEVICE static double sum_of(const double* sums, Index n, Index stride) {
    double total = 0;
    for (Index group = 0; group < row_groups(n).count; ++group) total += sums[group * stride];
    return total;
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double value = 0;
    double weight = 0;
    if (t.index() < a.count) {
      const Collect::Item& item = a.items[t.index()];
      value = sum_of(item.sums, a.n, item.stride);
      weight = item.weights != nullptr ? sum_of(item.weights, a.n, item.stride) : item.weight;
    }
    const bool stopped = a.progress->stopped >= 0;
    const bool bad = !is_finite(t.from_lane(value, 0));
    t.warp_barrier();  // all have read it
    if (bad && !stopped && t.index() == 0) {
      a.progress->stopped = a.values->number;
      a.progress->bad_loss = value / weight;
    }
    if (stopped || bad || t.index() >= a.count) return;
    a.totals[2 * t.index()] += value;
    a.totals[2 * t.index() + 1] += weight;
  }
};
static_assert(Collect::most <= CollectSums::threads);

}  // namespace

Status collect(Context& context, const Collect& a) { return launch(context, 1, CollectSums{a}); }

}  // namespace fastnn::FASTNN_TARGET
