#include "cpu/lane_batches.h"

#include <algorithm>
#include <iterator>
#include <vector>

#include "cpu/isa.h"

namespace fastnn {
namespace {

std::size_t at(Index index) { return static_cast<std::size_t>(index); }

}  // namespace

template <class T>
LaneBatches<T>::LaneBatches(const Machine& machine, const Plan& plan, Index rows)
    : machine_(machine),
      kernels_(kernels<T>(*machine.table)),
      lane_kernels_(lane_kernels_of<T>(*cpu_table().lanes)),
      plan_(plan),
      rows_(rows),
      record_((plan.input_width() + plan.target_width() + lane_record) / lane_record * lane_record),
      memory_(machine_) {
  const Index widest = std::max(plan.input_width(), plan.target_width());
  for (T*& out : rows_of_lane_) out = memory_.take<T>(rows_ * widest);
  labels_ = memory_.take<T>(rows_ * net_lanes);
  targets_ = memory_.take<T>(rows_ * plan.target_width() * net_lanes);
  weights_ = memory_.take<T>(rows_ * net_lanes);
}

// Whether the rows of a lane are kept as records, of which there may be few.
template <class T>
bool LaneBatches<T>::has_records(Lane& net, const LaneSteps& own) {
  constexpr Index most_rows = 4096;
  constexpr Index most = Index{1} << 16;  // numbers
  const Dataset& data = *own.data;
  if (data.count > most_rows || data.count * record_ > most) return false;
  if (net.recorded == &data) return true;
  record(net, own);
  return true;
}

template <class T>
void LaneBatches<T>::record(Lane& net, const LaneSteps& own) {
  const Dataset& data = *own.data;
  const Index count = data.count;
  const Index columns = plan_.input_width();
  const Index targets = data.labels != nullptr ? 1 : plan_.target_width();
  const Rows rows{data.rows, 0, count};
  net.records = net.memory.template take<T>(count * record_);
  net.order = net.memory.template take<Index>(count);
  std::vector<T> x(at(count * columns));
  std::vector<T> y(at(count * targets));
  machine_.call<Gather<T>>(kernels_.gather, {data.x, rows, static_cast<T>(plan_.input_scale),
                                             static_cast<T>(plan_.input_offset), x.data()});
  if (data.labels == nullptr) {
    machine_.call<Gather<T>>(kernels_.gather, {data.targets, rows, T(1), T(0), y.data()});
  }
  for (Index r = 0; r < count; ++r) {
    const Index row = data.rows != nullptr ? data.rows[r] : r;
    T* const out = net.records + r * record_;
    std::copy_n(x.data() + r * columns, columns, out);
    if (data.labels != nullptr) y[at(r)] = static_cast<T>(data.labels[row]);
    std::copy_n(y.data() + r * targets, targets, out + columns);
    out[columns + targets] = data.weights != nullptr ? static_cast<T>(data.weights[row]) : T(1);
  }
  net.recorded = &data;
}

template <class T>
void LaneBatches<T>::gather_records(const LaneStep& step, T* x) {
  LaneRecords<T> all{.n = step.n,
                     .columns = plan_.input_width(),
                     .targets = has_labels_ ? 1 : plan_.target_width(),
                     .width = record_,
                     .records = {},
                     .order = {},
                     .x = x,
                     .y = has_labels_ ? labels_ : targets_,
                     .weights = has_weights_ ? weights_ : nullptr};
  Index some = 0;  // whose rows stand in lanes that rest
  for (Index k = 0; k < net_lanes; ++k) {
    if (!step.active[at(k)]) continue;
    const LaneSteps& own = *step.lanes[at(k)];
    Lane& net = *nets_[at(k)];
    if (net.ordered_for != own.epoch.number + 1) {
      machine_.call<Shuffle>(machine_.table->shuffle,
                             {net.key, own.epoch.number, own.data->count, 0, own.data->count,
                              own.epoch.shuffled, nullptr, net.order});
      net.ordered_for = own.epoch.number + 1;
    }
    all.records[k] = net.records;
    all.order[k] = net.order + (own.first + step.index) * own.epoch.batch_size;
    some = k;
  }
  for (Index k = 0; k < net_lanes; ++k) {
    if (all.records[k] != nullptr) continue;
    all.records[k] = all.records[some];
    all.order[k] = all.order[some];
  }
  lane_kernels_.records(all);
}

// What lanes that rest have is whatever was there.
template <class T>
void LaneBatches<T>::gather(const LaneStep& step, T* x) {
  bool records = true;
  has_weights_ = false;
  for (std::size_t k = 0; k < at(net_lanes); ++k) {
    if (!step.active[k]) continue;
    const LaneSteps& own = *step.lanes[k];
    records = records && has_records(*nets_[k], own);
    has_labels_ = own.data->labels != nullptr;
    has_weights_ = has_weights_ || own.data->weights != nullptr;
  }
  if (records) return gather_records(step, x);
  const auto spread = [&](Index count, T* out) {
    LaneSpread<T> all{count, {}, out};
    std::copy(std::begin(rows_of_lane_), std::end(rows_of_lane_), all.from);
    lane_kernels_.spread(all);
  };
  const auto each = [&](const auto& f) {
    for (Index k = 0; k < net_lanes; ++k) {
      if (step.active[at(k)]) f(*step.lanes[at(k)], *nets_[at(k)], rows_of_lane_[k]);
    }
  };
  each([&](const LaneSteps& own, Lane& net, T* out) {
    const Index start = (own.first + step.index) * own.epoch.batch_size;
    if (!net.batch) {
      net.plan = plan_;
      net.plan.key = net.key;
      net.batch.emplace(machine_, net.memory, net.plan, rows_);
    }
    net.batch->choose(*own.data, &own.epoch, start, step.n);
    net.batch->gather_input(machine_, *own.data, 0, step.n, out);
    net.batch->gather_targets(*own.data);
  });
  spread(step.n * plan_.input_width(), x);
  each([&](const LaneSteps&, const Lane& net, T* out) {
    const BatchPart<T> part = net.batch->part(0, step.n);
    if (part.labels != nullptr) {
      std::copy_n(part.labels, step.n, out);
    } else {
      std::copy_n(part.targets, step.n * plan_.target_width(), out);
    }
  });
  spread(step.n * (has_labels_ ? 1 : plan_.target_width()), has_labels_ ? labels_ : targets_);
  if (!has_weights_) return;
  each([&](const LaneSteps&, const Lane& net, T* out) {
    const BatchPart<T> part = net.batch->part(0, step.n);
    if (part.weights != nullptr) {
      std::copy_n(part.weights, step.n, out);
    } else {
      std::fill_n(out, step.n, T(1));
    }
  });
  spread(step.n, weights_);
}

template class LaneBatches<float>;
template class LaneBatches<double>;

}  // namespace fastnn
