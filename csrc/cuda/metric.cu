// What is counted besides the loss. Cross-entropies as metrics are the losses without
// their gradients.
#include "core/loss.h"

#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_sums.h"
#include "cuda/team.h"

namespace fastnn::FASTNN_TARGET {
namespace {

template <class T>
struct Largest {
  T value;
  Index at;
};

// The first of the largest of a row. NaN is passed over, unless it comes first: each lane
// begins with the first number, which then nothing exceeds.
template <class T, int lanes>
FASTNN_DEVICE Index index_of_largest(const Team<lanes>& team, const T* x, Index c) {
  Largest<T> best{c > 0 ? x[0] : T(0), 0};
  for (Index j = team.lane(); j < c; j += lanes) {
    if (x[j] > best.value) best = {x[j], j};
  }
  const T top = team.joined(best.value, [](T a, T b) { return a > b || b != b ? a : b; });
  // Indices below 2^53 are exact as doubles, which pass between lanes.
  const double here = best.value == top ? static_cast<double>(best.at) : 9e15;
  const double first = team.joined(here, [](double a, double b) { return a < b ? a : b; });
  return top == top ? static_cast<Index>(first) : 0;
}

// A row of `c` numbers, or of none where it is left out.
template <class T, int lanes>
struct CountedRow {
  const MetricRows<T>& a;
  const Team<lanes>& team;
  Index r;
  Index c;

  FASTNN_DEVICE Index true_class() const {
    if (a.labels == nullptr) return index_of_largest(team, a.targets + r * a.c, c);
    return c > 0 ? a.labels[r] : 0;
  }

  FASTNN_DEVICE Counted accuracy() const {
    const Index guess = index_of_largest(team, a.output + r * a.c, c);
    return {guess == true_class() ? 1.0 : 0.0, 1};
  }

  FASTNN_DEVICE Counted top_k() const {
    const T* const output = a.output + r * a.c;
    const Index label = true_class();
    const T own = c > 0 ? output[label] : T(0);
    double above = 0;
    for (Index j = team.lane(); j < c; j += lanes) above += output[j] > own ? 1 : 0;
    above = team.sum(above);
    return {own == own && above < a.value ? 1.0 : 0.0, 1};
  }

  // Elements whose target is known and met by f(output, target).
  template <class F>
  FASTNN_DEVICE Counted over_elements(const F& f) const {
    Counted counted;
    for (Index j = r * a.c + team.lane(); j < r * a.c + c; j += lanes) {
      const T t = a.targets[j];
      if (t != t) continue;
      counted.value += f(static_cast<double>(a.output[j]), static_cast<double>(t));
      counted.weight += 1;
    }
    return {team.sum(counted.value), team.sum(counted.weight)};
  }

  FASTNN_DEVICE Counted mean_of(const Counted& sum) const {
    return sum.weight > 0 ? Counted{sum.value / sum.weight, 1} : Counted{};
  }

  FASTNN_DEVICE Counted count() const {
    switch (a.kind) {
      case MetricKind::sparse_categorical_accuracy:
      case MetricKind::categorical_accuracy:
        return accuracy();
      case MetricKind::top_k_categorical_accuracy:
        return top_k();
      case MetricKind::binary_accuracy:
        return over_elements(
            [&](double y, double t) { return (y > a.value) == (t > 0.5) ? 1.0 : 0.0; });
      case MetricKind::mean_squared_error:
        return mean_of(over_elements([](double y, double t) { return (y - t) * (y - t); }));
      case MetricKind::mean_absolute_error:
        return mean_of(over_elements([](double y, double t) { return abs(y - t); }));
      case MetricKind::softmax_cross_entropy:
      case MetricKind::sigmoid_cross_entropy:
        break;
    }
    return {};
  }
};

template <class T, int lanes>
struct CountRows {
  static constexpr int threads = lanes > 32 ? lanes : 256;
  // With room made for more, doubles spill on sm_100.
  static constexpr int resident_blocks = sizeof(T) == 4 ? 0 : 1024 / threads;
  static constexpr int step = threads / lanes;
  MetricRows<T> a;
  GroupSums sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double* const room = t.shared<Shared>().room;
    const Team<lanes> team(t, room);
    const Range range = sums.parts.range(t.block());
    Counted total;
    for (Index base = range.begin; base < range.end; base += step) {
      const Index r = base + team.number();
      double weight = 0;
      if (r < range.end) weight = a.weights != nullptr ? static_cast<double>(a.weights[r]) : 1;
      const CountedRow<T, lanes> row{a, team, r, weight == 0 ? 0 : a.c};
      const Counted counted = row.count();
      total.value += weigh(weight, counted.value);
      total.weight += weigh(weight, counted.weight);
    }
    sums.add(t, team.lane() == 0 ? total : Counted{}, room);
  }
};

template <class T, int lanes>
Status count_rows(Context& context, const MetricRows<T>& a) {
  using Kernel = CountRows<T, lanes>;
  GroupSums sums{};
  const Parts parts = parts_of_rows(a.n, Kernel::step);
  const Status status = prepare(context, parts, a.sums, 2, sums);
  if (status != Status::ok) return status;
  return launch(context, parts.blocks(), Kernel{a, sums});
}

}  // namespace

template <class T>
Status metric_rows(Context& context, const MetricRows<T>& a) {
  if (a.kind == MetricKind::softmax_cross_entropy) {
    return softmax_cross_entropy<T>(context,
                                    {.n = a.n,
                                     .c = a.c,
                                     .logits = a.output,
                                     .labels = a.labels,
                                     .targets = a.targets,
                                     .weights = a.weights,
                                     .scale = T(0),
                                     .label_smoothing = T(0),
                                     .sums = a.sums,
                                     .dlogits = nullptr},
                                    2);
  }
  if (a.kind == MetricKind::sigmoid_cross_entropy) {
    return sigmoid_cross_entropy<T>(context,
                                    {.n = a.n,
                                     .c = a.c,
                                     .logits = a.output,
                                     .targets = a.targets,
                                     .weights = a.weights,
                                     .pos_weight = nullptr,
                                     .scale = T(0),
                                     .label_smoothing = T(0),
                                     .sums = a.sums,
                                     .dlogits = nullptr},
                                    2);
  }
  if (a.c <= 32) return count_rows<T, 4>(context, a);
  if (a.c <= 4096) return count_rows<T, 32>(context, a);
  return count_rows<T, 128>(context, a);
}

FASTNN_INSTANTIATE(metric_rows, MetricRows)

}  // namespace fastnn::FASTNN_TARGET
