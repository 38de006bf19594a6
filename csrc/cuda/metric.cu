// Counts for metrics (core/metric.h), by row group.
#include "core/metric.h"

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

// The first of the largest of a row behind number `at` in their order: by value, of equal ones the
// first is the larger. `at` where there is none.
template <class T, int lanes>
FASTNN_DEVICE Index index_behind(const Team<lanes>& team, const T* x, Index c, Index at) {
  Index best = -1;
  for (Index j = team.lane(); j < c; j += lanes) {
    const bool behind = x[j] < x[at] || (x[j] == x[at] && j > at);
    if (behind && (best < 0 || x[j] > x[best])) best = j;
  }
  const T nothing = static_cast<T>(__builtin_nanf(""));
  const T value = best < 0 ? nothing : x[best];
  const T top = team.largest(value);
  // The least index: indices below 2^53 are exact as doubles, which pass between lanes.
  const double here = value == top ? -static_cast<double>(best) : -9e15;
  const double first = team.largest(here);
  return top == top ? static_cast<Index>(-first) : at;
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

  // Elements on the right side, and those whose target is known.
  FASTNN_DEVICE Counted sides() const {
    Counted counted;
    for (Index j = r * a.c + team.lane(); j < r * a.c + c; j += lanes) {
      const T t = a.targets[j];
      if (t != t) continue;
      const bool above = static_cast<double>(a.output[j]) > a.value;
      const double weight = a.weighs_elements ? static_cast<double>(a.weights[j]) : 1.0;
      counted.value += above == (t > T(0.5)) ? weight : 0.0;
      counted.weight += weight;
    }
    return {team.sum(counted.value), team.sum(counted.weight)};
  }

  // Whether all elements whose target is known are on the right side. NaN is on none.
  FASTNN_DEVICE Counted exact() const {
    double wrong = 0;
    double known = 0;
    for (Index j = r * a.c + team.lane(); j < r * a.c + c; j += lanes) {
      const T t = a.targets[j];
      const T y = a.output[j];
      if (t != t) continue;
      const bool above = static_cast<double>(y) > a.value;
      wrong += y == y && above == (t > T(0.5)) ? 0.0 : 1.0;
      known += 1;
    }
    wrong = team.sum(wrong);
    known = team.sum(known);
    return {known > 0 && wrong == 0 ? 1.0 : 0.0, known > 0 ? 1.0 : 0.0};
  }

  FASTNN_DEVICE Counted count() const {
    if (a.kind == MetricKind::matches) return accuracy();
    if (a.kind == MetricKind::hits) return top_k();
    if (a.kind == MetricKind::exact) return exact();
    return sides();
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
      if (r < range.end) {
        const bool of_row = a.weights != nullptr && !a.weighs_elements;
        weight = of_row ? static_cast<double>(a.weights[r]) : 1;
      }
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

// Where the last of the `top` largest outputs of each row is, and its class.
template <class T>
struct FindPlaces {
  static constexpr int threads = 256;
  static constexpr int resident_blocks = 4;  // with room made for more, indices spill
  static constexpr int lanes = 32;
  MetricRows<T> a;
  Index* places;  // (n), then (n) of classes

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Team<lanes> team(t, nullptr);
    const Index r = t.block() * (threads / lanes) + team.number();
    const Index row = r < a.n ? r : 0;
    const Index c = r < a.n ? a.c : 0;
    const T* const output = a.output + row * a.c;
    Index last = 0;
    if (a.top > 0) last = index_of_largest(team, output, c);
    for (Index found = 1; found < a.top; ++found) last = index_behind(team, output, c, last);
    Index label = 0;
    if (a.classes) label = CountedRow<T, lanes>{a, team, row, c}.true_class();
    if (r >= a.n || team.lane() != 0) return;
    places[r] = last;
    places[a.n + r] = label;
  }
};

// Counts by output and set of thresholds: a thread takes one of them for a row group, row by row.
template <class T>
struct CountColumns {
  static constexpr int threads = 128;
  static constexpr int resident_blocks = 8;  // with room made for more, counts spill
  MetricRows<T> a;
  const Index* places;  // of FindPlaces; null: they are not needed
  Index blocks_across;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index group = t.block() / blocks_across;
    const Index column = t.block() % blocks_across * threads + t.index();
    if (column >= a.sets * a.c) return;
    const Index j = column % a.c;
    const RowGroups groups = row_groups(a.n);
    const Index begin = group * groups.rows;
    const Index end = least(begin + groups.rows, a.n);
    double counts[counts_of_moments] = {};
    for (Index r = begin; r < end; ++r) {
      const double weight = a.weights != nullptr ? static_cast<double>(a.weights[r]) : 1;
      if (weight == 0) continue;
      if (a.kind == MetricKind::confusion) {
        confuse(r, column, weight, counts);
      } else {
        add_moments(r, j, weight, counts);
      }
    }
    const int count = a.kind == MetricKind::confusion ? counts_of_confusion : counts_of_moments;
    double* const to = a.sums + (group * a.sets * a.c + column) * count;
    for (int k = 0; k < count; ++k) to[k] = counts[k];
  }

 private:
  FASTNN_DEVICE void confuse(Index r, Index column, double weight, double* counts) const {
    const Index j = column % a.c;
    const T* const output = a.output + r * a.c;
    bool on = false;
    if (a.classes) {
      on = places[a.n + r] == j;
    } else {
      const T t = a.targets[r * a.c + j];
      if (t != t) return;
      on = t > T(0.5);
    }
    bool above = true;
    if (a.top > 0) {
      const Index last = places[r];
      above = output[j] > output[last] || (output[j] == output[last] && j < last) || j == last;
    }
    if (a.thresholds != nullptr) {
      above = above && static_cast<double>(output[j]) > a.thresholds[column];
    }
    counts[(above ? 0 : 2) + (on ? 0 : 1)] += weight;
  }

  FASTNN_DEVICE void add_moments(Index r, Index j, double weight, double* counts) const {
    const auto t = static_cast<double>(a.targets[r * a.c + j]);
    const auto y = static_cast<double>(a.output[r * a.c + j]);
    if (t != t) return;
    counts[0] += weight;
    counts[1] += weight * t;
    counts[2] += weight * t * t;
    counts[3] += weight * y;
    counts[4] += weight * y * y;
    counts[5] += weight * t * y;
    counts[6] += weight * (t - y) * (t - y);
  }
};

template <class T>
Status count_columns(Context& context, const MetricRows<T>& a) {
  Index* places = nullptr;
  if (a.kind == MetricKind::confusion && (a.classes || a.top > 0)) {
    const auto bytes = static_cast<size_t>(most(2 * a.n, 1)) * sizeof(Index);
    places = static_cast<Index*>(context.scratch(Context::sums, bytes));
    if (places == nullptr) return Status::out_of_memory;
    using Find = FindPlaces<T>;
    const Index rows = Find::threads / Find::lanes;
    const Status status = launch(context, ceil_div(a.n, rows), Find{a, places});
    if (status != Status::ok) return status;
  }
  using Count = CountColumns<T>;
  const Index across = ceil_div(a.sets * a.c, Count::threads);
  return launch(context, row_groups(a.n).count * across, Count{a, places, across});
}

}  // namespace

template <class T>
Status metric_rows(Context& context, const MetricRows<T>& a) {
  if (a.kind == MetricKind::confusion || a.kind == MetricKind::moments) {
    return count_columns(context, a);
  }
  if (a.c <= 32) return count_rows<T, 4>(context, a);
  if (a.c <= 4096) return count_rows<T, 32>(context, a);
  return count_rows<T, 128>(context, a);
}

FASTNN_INSTANTIATE(metric_rows, MetricRows)

}  // namespace fastnn::FASTNN_TARGET
