#include "cpu/session_lanes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "core/activation_rows.h"
#include "core/loss.h"
#include "core/memory.h"
#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/lane_batches.h"
#include "cpu/session_cpu.h"

namespace fastnn {
namespace {

std::size_t at(Index index) { return static_cast<std::size_t>(index); }

// A machine whose kernels use the calling thread alone.
Machine alone() {
  Machine machine = cpu_make();
  machine.context = std::make_shared<Context>(true);
  return machine;
}

bool takes_loss(const Loss& loss, Index outputs) {
  if (loss.ignores || loss.by_batch_weight || loss.outputs_of_target != 1) return false;
  if (loss.kind == LossKind::softmax_cross_entropy) return outputs <= 128;
  return !portable::is_of_rows(loss.kind);
}

bool takes_metric(const Plan& plan, const Metric& metric) {
  if (metric.tensor != plan.loss_input()) return false;
  const Index outputs = plan.output_width();
  switch (metric.kind) {
    case MetricKind::mean_of:
      return takes_loss(metric.loss, outputs);
    case MetricKind::matches:
      return outputs <= 128;
    case MetricKind::sides:
      return true;
    default:
      return false;
  }
}

// Layers one after another, each with parameters of its own, which all are trained.
bool is_chain(const Plan& plan) {
  int last = 0;
  std::size_t parameters = 0;
  for (const Node& node : plan.nodes) {
    if (node.inputs.size() != 1 || node.input() != last) return false;
    last = node.output;
    if (plan.folded && node.output == plan.output) continue;  // no pass of training makes it
    if (node.kind != NodeKind::dense && node.kind != NodeKind::activation) return false;
    for (const int p : node.parameters) {
      if (p == none) continue;
      const Parameter& parameter = plan.parameters[at(p)];
      if (!parameter.trainable || at(p) != parameters++) return false;
    }
  }
  return last == plan.output && parameters == plan.parameters.size();
}

template <class T>
class CpuLaneSession final : public LaneSession {
 public:
  CpuLaneSession(const Plan& plan, Index batch_size);

  Index lanes() const override { return net_lanes; }
  void put(Index lane, std::uint64_t key, const Buffers& buffers) override;
  void bring(Index lane, const Buffers& buffers) override;
  void run(std::span<const LaneSteps* const> lanes, Index count, std::span<Ran> ran) override;
  bool finite_parameters(Index lane) override;

 private:
  using Step = LaneStep;

  Index width(int tensor) const { return plan_.tensors[at(tensor)].width; }
  T* value(int tensor) const { return values_[at(tensor)]; }
  Index place(int parameter) const { return places_[at(parameter)]; }
  void step(Step& step, std::span<Ran> ran);
  void forward(Index n);
  void lose(Step& step, std::span<Ran> ran);
  void measure(const Step& step);
  void backward(Index n);
  void sum_rows(Index n, Index c, const T* dz, T* db) const;
  void update(const Step& step);
  LaneLoss<T> loss_of(const Loss& loss, int tensor, Index first, Index n, double* sums) const;
  // f(first, n, sums) for each row group; the totals of its sums, of `width` numbers a lane.
  template <class F>
  std::array<double, 2 * net_lanes> over_groups(Index n, const F& f) const;

  const Plan plan_;
  const Machine machine_;
  const Kernels<T>& kernels_;
  const LaneKernels<T>& lane_kernels_;
  const Index rows_;
  Memory memory_;
  LaneBatches<T> batches_;

  // By tensor and by node, for all lanes.
  std::vector<T*> values_, gradients_, kept_;
  std::vector<Index> places_;  // by parameter: where it begins, in elements
  Index size_ = 0;             // of all parameters
  T* parameters_ = nullptr;
  T* slots_[rule_slots] = {};
  T* dparameters_ = nullptr;
  T* column_weights_ = nullptr;
  alignas(64) T scale_[net_lanes] = {};
};

template <class T>
CpuLaneSession<T>::CpuLaneSession(const Plan& plan, Index batch_size)
    : plan_(plan),
      machine_(alone()),
      kernels_(kernels<T>(*machine_.table)),
      lane_kernels_(lane_kernels_of<T>(*cpu_table().lanes)),
      rows_(batch_size),
      memory_(machine_),
      batches_(machine_, plan_, batch_size),
      kept_(plan.nodes.size()) {
  const auto take = [&](Index count) { return memory_.take<T>(count * net_lanes); };
  for (const TensorShape& tensor : plan_.tensors) {
    values_.push_back(take(rows_ * tensor.width));
    gradients_.push_back(take(rows_ * tensor.width));
  }
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    if (node.kind != NodeKind::dense || !portable::needs_preactivation(node.activation)) continue;
    kept_[i] = take(rows_ * width(node.output));
  }
  for (const Parameter& parameter : plan_.parameters) {
    places_.push_back(size_ * net_lanes);
    size_ += parameter.size();
  }
  parameters_ = take(size_);
  dparameters_ = take(size_);
  for (T*& slot : slots_) slot = take(size_);
  const std::vector<double>& given = plan_.loss.column_weights;
  if (given.empty()) return;
  column_weights_ = memory_.take<T>(plan_.output_width());
  std::copy(given.begin(), given.end(), column_weights_);
}

template <class T>
void CpuLaneSession<T>::put(Index lane, std::uint64_t key, const Buffers& buffers) {
  batches_.enter(lane, key);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Parameter& parameter = plan_.parameters[i];
    const auto copy = [&](const void* from, T* to) {
      if (from == nullptr) return;
      const T* const first = static_cast<const T*>(from) + parameter.offset;
      for (Index e = 0; e < parameter.size(); ++e) to[places_[i] + e * net_lanes + lane] = first[e];
    };
    copy(buffers.parameters, parameters_);
    for (int slot = 0; slot < rule_slots; ++slot) copy(buffers.slots[slot], slots_[slot]);
  }
}

template <class T>
void CpuLaneSession<T>::bring(Index lane, const Buffers& buffers) {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const Parameter& parameter = plan_.parameters[i];
    const auto copy = [&](const T* from, void* to) {
      if (to == nullptr) return;
      T* const first = static_cast<T*>(to) + parameter.offset;
      for (Index e = 0; e < parameter.size(); ++e) {
        first[e] = from[places_[i] + e * net_lanes + lane];
      }
    };
    copy(parameters_, buffers.parameters);
    for (int slot = 0; slot < rule_slots; ++slot) copy(slots_[slot], buffers.slots[slot]);
  }
}

template <class T>
bool CpuLaneSession<T>::finite_parameters(Index lane) {
  bool finite = true;
  for (Index e = 0; e < size_; ++e) {
    finite = finite && portable::is_finite(parameters_[e * net_lanes + lane]);
  }
  return finite;
}

// -- a step -----------------------------------------------------------------

template <class T>
void CpuLaneSession<T>::run(std::span<const LaneSteps* const> lanes, Index count,
                            std::span<Ran> ran) {
  for (Ran& one : ran) one = {0, std::nullopt};
  for (Index index = 0; index < count; ++index) {
    std::array<Index, net_lanes> rows{};  // that a lane has left to do; 0: none
    for (std::size_t k = 0; k < at(net_lanes); ++k) {
      if (lanes[k] == nullptr || ran[k].bad_loss) continue;
      const LaneSteps& own = *lanes[k];
      const Index start = (own.first + index) * own.epoch.batch_size;
      rows[k] = std::min(own.epoch.batch_size, own.data->count - start);
    }
    // Lanes with other numbers of rows have a step of their own: sums depend on the number.
    while (true) {
      const Index n = *std::max_element(rows.begin(), rows.end());
      if (n == 0) break;
      Step one{lanes, index, n, {}};
      for (std::size_t k = 0; k < at(net_lanes); ++k) {
        one.active[k] = rows[k] == n;
        if (one.active[k]) rows[k] = 0;
      }
      step(one, ran);
    }
  }
}

template <class T>
void CpuLaneSession<T>::step(Step& step, std::span<Ran> ran) {
  batches_.gather(step, value(0));
  forward(step.n);
  lose(step, ran);
  measure(step);
  backward(step.n);
  update(step);
  for (std::size_t k = 0; k < at(net_lanes); ++k) ran[k].steps += step.active[k] ? 1 : 0;
}

template <class T>
void CpuLaneSession<T>::forward(Index n) {
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    if (plan_.folded && node.output == plan_.output) break;
    const T* x = value(node.input());
    T* const y = value(node.output);
    const Index o = width(node.output);
    if (node.kind == NodeKind::dense) {
      T* const z = kept_[i] != nullptr ? kept_[i] : y;
      const Index input = width(node.input());
      lane_kernels_.product(
          {.m = n,
           .n = o,
           .k = input,
           .a = x,
           .a_row = input,
           .a_column = 1,
           .b = parameters_ + place(node.kernel()),
           .b_row = o,
           .b_column = 1,
           .start = node.bias() != none ? parameters_ + place(node.bias()) : nullptr,
           .c = z});
      if (node.activation.is(ActivationKind::linear)) continue;
      x = z;
    }
    machine_.call<ActivationForward<T>>(kernels_.activation_forward,
                                        {node.activation, n * o * net_lanes, x, y});
  }
}

template <class T>
template <class F>
std::array<double, 2 * net_lanes> CpuLaneSession<T>::over_groups(Index n, const F& f) const {
  std::array<double, 2 * net_lanes> total{};
  const RowGroups groups = row_groups(n);
  for (Index group = 0; group < groups.count; ++group) {
    std::array<double, 2 * net_lanes> sums{};
    const Index first = group * groups.rows;
    f(first, std::min(groups.rows, n - first), sums.data());
    for (std::size_t k = 0; k < total.size(); ++k) total[k] += sums[k];
  }
  return total;
}

// A loss of rows first..first+n, without a gradient.
template <class T>
LaneLoss<T> CpuLaneSession<T>::loss_of(const Loss& loss, int tensor, Index first, Index n,
                                       double* sums) const {
  const Index row = first * net_lanes;
  const Index c = width(tensor);
  LaneLoss<T> all{.kind = loss.kind,
                  .by_element = false,
                  .n = n,
                  .c = c,
                  .outputs = value(tensor) + row * c,
                  .labels = batches_.labels() != nullptr ? batches_.labels() + row : nullptr,
                  .targets = batches_.targets() + row * plan_.target_width(),
                  .weights = nullptr,
                  .column_weights = nullptr,
                  .scale = scale_,
                  .options = {},
                  .sums = sums,
                  .gradient = nullptr};
  std::copy(std::begin(loss.options), std::end(loss.options), all.options);
  return all;
}

// A lane whose loss is no number makes no step.
template <class T>
void CpuLaneSession<T>::lose(Step& step, std::span<Ran> ran) {
  for (Index k = 0; k < net_lanes; ++k) {
    if (!step.active[at(k)]) continue;
    const double divisor = static_cast<double>(step.n) * step.lanes[at(k)]->epoch.row_weight;
    scale_[k] = divisor > 0 ? static_cast<T>(1 / divisor) : T(0);
  }
  const int tensor = plan_.loss_input();
  const bool of_rows = plan_.loss.kind == LossKind::softmax_cross_entropy;
  const auto total = over_groups(step.n, [&](Index first, Index n, double* sums) {
    LaneLoss<T> all = loss_of(plan_.loss, tensor, first, n, sums);
    all.by_element = plan_.loss.by_element;
    if (batches_.weights() != nullptr) all.weights = batches_.weights() + first * net_lanes;
    all.column_weights = column_weights_;
    all.gradient = gradients_[at(tensor)] + first * net_lanes * width(tensor);
    (of_rows ? lane_kernels_.softmax_cross_entropy : lane_kernels_.element_loss)(all);
  });
  for (std::size_t k = 0; k < at(net_lanes); ++k) {
    if (!step.active[k]) continue;
    const double loss = total[k];
    const double weight = total[k + at(net_lanes)];
    if (!std::isfinite(loss)) {
      ran[k].bad_loss = loss / weight;
      step.active[k] = false;
      continue;
    }
    step.lanes[k]->sums[0] += loss;
    step.lanes[k]->sums[1] += weight;
  }
}

template <class T>
void CpuLaneSession<T>::measure(const Step& step) {
  std::size_t place = 2;
  for (const Metric& metric : plan_.metrics) {
    const bool weighs = metric.weighted && batches_.weights() != nullptr;
    const auto total = over_groups(step.n, [&](Index first, Index n, double* sums) {
      LaneLoss<T> rows = loss_of(metric.loss, metric.tensor, first, n, sums);
      if (weighs) rows.weights = batches_.weights() + first * net_lanes;
      if (metric.kind == MetricKind::mean_of) {
        const bool of_rows = portable::is_of_rows(metric.loss.kind);
        rows.by_element = !of_rows;
        (of_rows ? lane_kernels_.softmax_cross_entropy : lane_kernels_.element_loss)(rows);
        return;
      }
      lane_kernels_.metric({.kind = metric.kind,
                            .value = metric.value,
                            .n = n,
                            .c = rows.c,
                            .outputs = rows.outputs,
                            .labels = rows.labels,
                            .targets = rows.targets,
                            .weights = rows.weights,
                            .sums = sums});
    });
    for (std::size_t k = 0; k < at(net_lanes); ++k) {
      if (!step.active[k]) continue;
      step.lanes[k]->sums[place] += total[k];
      step.lanes[k]->sums[place + 1] += total[k + at(net_lanes)];
    }
    place += 2;
  }
}

template <class T>
void CpuLaneSession<T>::sum_rows(Index n, Index c, const T* dz, T* db) const {
  const RowGroups groups = row_groups(n);
  for (Index group = 0; group < groups.count; ++group) {
    const Index first = group * groups.rows;
    lane_kernels_.row_sum(
        {std::min(groups.rows, n - first), c, dz + first * c * net_lanes, db, group > 0});
  }
}

template <class T>
void CpuLaneSession<T>::backward(Index n) {
  for (std::size_t i = plan_.nodes.size(); i-- > 0;) {
    const Node& node = plan_.nodes[i];
    if (plan_.folded && node.output == plan_.output) continue;
    const Index o = width(node.output);
    const Index input = width(node.input());
    T* const dy = gradients_[at(node.output)];
    T* const dx = gradients_[at(node.input())];
    const T* const x = value(node.input());
    const bool dense = node.kind == NodeKind::dense;
    if (!dense || !node.activation.is(ActivationKind::linear)) {
      machine_.call<ActivationBackward<T>>(
          kernels_.activation_backward,
          {node.activation, n * o * net_lanes, dy, dense ? kept_[i] : x, value(node.output),
           dense ? dy : dx});
    }
    if (!dense) continue;
    if (node.bias() != none) sum_rows(n, o, dy, dparameters_ + place(node.bias()));
    if (node.input() != 0) {
      lane_kernels_.product({.m = n,
                             .n = input,
                             .k = o,
                             .a = dy,
                             .a_row = o,
                             .a_column = 1,
                             .b = parameters_ + place(node.kernel()),
                             .b_row = 1,
                             .b_column = o,
                             .start = nullptr,
                             .c = dx});
    }
    lane_kernels_.product({.m = input,
                           .n = o,
                           .k = n,
                           .a = x,
                           .a_row = 1,
                           .a_column = input,
                           .b = dy,
                           .b_row = o,
                           .b_column = 1,
                           .start = nullptr,
                           .c = dparameters_ + place(node.kernel())});
  }
}

template <class T>
void CpuLaneSession<T>::update(const Step& step) {
  std::array<OptimizerSettings, net_lanes> settings{};
  std::array<std::uint64_t, net_lanes> steps{};
  LaneUpdate<T> all{.kind = plan_.update.optimizer,
                    .kept = 0,
                    .n = size_,
                    .param = parameters_,
                    .grad = dparameters_,
                    .slots = {},
                    .settings = settings.data(),
                    .steps = steps.data(),
                    .active = step.active.data()};
  std::copy(std::begin(slots_), std::end(slots_), all.slots);
  for (std::size_t k = 0; k < at(net_lanes); ++k) {
    if (!step.active[k]) continue;
    const LaneSteps& own = *step.lanes[k];
    settings[k] = own.rates.at(step.index);
    steps[k] = own.done.updates + static_cast<std::uint64_t>(step.index) + 1;
    all.kept = portable::kept_slots(all.kind, settings[k]);
  }
  lane_kernels_.update(all);
}

}  // namespace

bool cpu_takes_lanes(const Plan& plan, Index batch_size) {
  // One block of a chain of products, in both passes; see block_terms in gemm.h.
  constexpr Index most_terms = 256;
  // Weights times rows. Larger products fill vectors by themselves, and lanes are no faster.
  constexpr Index most_work = 20000;
  if (!plan.has_loss || plan.collects || batch_size < 1 || batch_size > most_terms) return false;
  if (plan.parameter_size * batch_size > most_work || !plan.update.is_plain()) return false;
  if (choose_cpu_session(plan, batch_size) != SessionKind::plain) return false;
  for (const TensorShape& tensor : plan.tensors) {
    if (tensor.width > most_terms || tensor.width < 1) return false;
  }
  if (!is_chain(plan) || !takes_loss(plan.loss, plan.output_width())) return false;
  return std::all_of(plan.metrics.begin(), plan.metrics.end(),
                     [&](const Metric& metric) { return takes_metric(plan, metric); });
}

std::unique_ptr<LaneSession> prepare_cpu_lanes(const Plan& plan, Index batch_size) {
  if (!cpu_takes_lanes(plan, batch_size)) return nullptr;
  if (plan.element == Element::f64)
    return std::make_unique<CpuLaneSession<double>>(plan, batch_size);
  return std::make_unique<CpuLaneSession<float>>(plan, batch_size);
}

}  // namespace fastnn
