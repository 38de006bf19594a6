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
    const Collect::Item& loss = a.items[0];
    const double weight = sum_of(loss.sums + 1, a.n, loss.width);
    double penalty = 0;
    for (Index k = 0; k < a.penalty_sums; ++k) penalty += a.penalty[k];
    const double added = a.penalty_sums > 0 ? penalty * (a.divisor > 0 ? a.divisor : weight) : 0;
    const double value = sum_of(loss.sums, a.n, loss.width) + added;
    const bool stopped = a.progress->stopped >= 0;
    const bool bad = !is_finite(value);
    t.warp_barrier();  // all have read it
    if (bad && !stopped && t.index() == 0) {
      a.progress->stopped = a.values->number;
      a.progress->bad_loss = value / weight;
    }
    if (stopped || bad) return;
    const double share = a.divisor > 0 && weight > 0 ? static_cast<double>(a.n) / weight : 1;
    double* totals = a.totals;
    for (int i = 0; i < a.count; ++i) {
      const Collect::Item& item = a.items[i];
      for (Index k = t.index(); k < item.width; k += threads) {
        const double sum = sum_of(item.sums + k, a.n, item.width) + (i == 0 && k == 0 ? added : 0);
        totals[k] += i == 0 ? share * sum : sum;
      }
      totals += item.width;
    }
  }
};

}  // namespace

Status collect(Context& context, const Collect& a) { return launch(context, 1, CollectSums{a}); }

}  // namespace fastnn::FASTNN_TARGET
