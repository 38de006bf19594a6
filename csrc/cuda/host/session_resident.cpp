#include "cuda/host/session_resident.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "core/activation.h"
#include "core/loss.h"
#include "cuda/host/library.h"

namespace fastnn {

namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

constexpr Index round_up(Index n, Index to) { return (n + to - 1) / to * to; }

// Widths and batches so large that one block would be no match for a whole GPU, though
// they fit: what passes through all weights, in a step.
constexpr Index most_work = Index{1} << 19;
constexpr Index most_rows = 1024;
constexpr Index most_width = 4096;

// -- from a plan to layers --------------------------------------------------

// A plan's nodes as a chain of dense layers, which an activation behind one joins.
class Chain {
 public:
  explicit Chain(const Plan& plan) : plan_(plan) {
    if (plan.element != Element::f32 || !plan.has_loss) return;
    int last = 0;
    for (const Node& node : plan.nodes) {
      // A folded head is run only where the output is wanted.
      if (plan.folded && last == plan.loss_input()) break;
      if (node.input() != last || !take(node)) return;
      last = node.output;
    }
    if (layers_.empty() || last != plan.loss_input()) return;
    valid_ = std::all_of(plan.metrics.begin(), plan.metrics.end(),
                         [&](const Metric& metric) { return serves(metric); });
    valid_ = valid_ && plan.metrics.size() < Resident::most_items;
  }

  bool valid() const { return valid_; }
  const std::vector<Node>& layers() const { return layers_; }
  // Whether a metric reads what the last layer's activation is applied to.
  bool measures_logits() const {
    return std::any_of(plan_.metrics.begin(), plan_.metrics.end(),
                       [&](const Metric& metric) { return metric.tensor != plan_.loss_input(); });
  }

 private:
  bool take(const Node& node) {
    if (node.kind == NodeKind::activation && node.activation.is_fused() && !layers_.empty() &&
        layers_.back().activation.is(ActivationKind::linear)) {
      before_activation_ = node.input();
      layers_.back().activation = node.activation;
      layers_.back().output = node.output;
      return true;
    }
    if (node.kind != NodeKind::dense || layers_.size() == Resident::most_layers) return false;
    // A layer that is called twice has one gradient, of two sums.
    const bool again = std::any_of(layers_.begin(), layers_.end(), [&](const Node& layer) {
      return layer.kernel() == node.kernel();
    });
    if (again) return false;
    before_activation_ = none;
    layers_.push_back(node);
    return true;
  }

  bool serves(const Metric& metric) const {
    const bool counted =
        metric.kind == MetricKind::matches || metric.kind == MetricKind::sides ||
        (metric.kind == MetricKind::mean_of && portable::head_of(metric.loss.kind) == Head::none &&
         !portable::is_of_rows(metric.loss.kind) && metric.loss.outputs_of_target == 1);
    return counted && (metric.tensor == plan_.loss_input() || metric.tensor == before_activation_);
  }

  const Plan& plan_;
  std::vector<Node> layers_;
  int before_activation_ = none;  // of the last layer, where a node of its own applied it
  bool valid_ = false;
};

// -- from layers to places in shared memory ---------------------------------

class Places {
 public:
  // At 0 lies nothing: it says that something is not kept.
  Resident::SharedBlock take(Index rows, Index stride, std::size_t bytes = sizeof(float)) {
    const Index place = next_;
    next_ += round_up(rows * stride * static_cast<Index>(bytes / sizeof(float)), 4);
    return {static_cast<int>(std::min(place, beyond)), static_cast<int>(stride)};
  }
  Index floats() const { return next_; }

 private:
  static constexpr Index beyond = Index{1} << 30;
  Index next_ = 4;
};

Resident::Layer describe(const Plan& plan, const Node& node) {
  const Parameter& kernel = plan.parameters[at(node.kernel())];
  Resident::Layer layer{};
  layer.i = static_cast<int>(kernel.rows);
  layer.o = static_cast<int>(kernel.columns);
  layer.activation = node.activation;
  layer.has_bias = node.bias() != none;
  layer.size = static_cast<int>(kernel.size());
  layer.trains_kernel = kernel.trainable;
  layer.kernel = kernel.offset;
  if (layer.has_bias) {
    const Parameter& bias = plan.parameters[at(node.bias())];
    layer.trains_bias = bias.trainable;
    layer.bias = bias.offset;
    layer.size += layer.o;
  }
  return layer;
}

void place_weights(const Plan& plan, Resident& a, Places& places) {
  a.weights = places.take(0, 0);
  for (int k = 0; k < a.layers; ++k) {
    Resident::Layer& l = a.layer[k];
    l.w = places.take(round_up(l.i + 1, 4), Index{l.o} | 1);
  }
  const Index size = places.floats() - a.weights.at;
  const int slots = portable::slot_count(plan.update.optimizer);
  for (int s = 0; s < slots; ++s) a.state_of[s] = places.take(size, 1);
}

// The first layer's x counts from the batch's own place; the first batch has its at 0.
void place_batches(const Plan& plan, Resident& a, Index rows, Places& places) {
  const Index begin = places.floats();
  a.layer[0].x = places.take(rows, round_up(a.layer[0].i + 1, 4));
  a.batch.targets = places.take(rows, plan.target_width());
  a.batch.labels = places.take(rows, 1);
  a.batch.weights = places.take(rows, 1);
  a.batch.present = places.take(rows, 1);
  a.batch.numbers = places.take(rows, 1, sizeof(Index));
  a.batch.stride = places.floats() - begin;
  places.take(a.batch.stride, 1);
}

void place_values(const Chain& chain, Resident& a, Index rows, Places& places) {
  for (int k = 0; k < a.layers; ++k) {
    Resident::Layer& l = a.layer[k];
    const bool last = k + 1 == a.layers;
    const Index stride = round_up(l.o, 4);
    l.y = places.take(rows, last ? stride : round_up(l.o + 1, 4));
    if (!last) a.layer[k + 1].x = l.y;
    l.dz = places.take(rows, stride);
    if (portable::needs_preactivation(l.activation) || (last && chain.measures_logits())) {
      l.z = places.take(rows, stride);
    }
  }
}

void place_metrics(const Plan& plan, Resident& a) {
  const Resident::Layer& last = a.layer[std::max(a.layers, 1) - 1];  // there is one at least
  a.items = 1;
  for (const Metric& metric : plan.metrics) {
    const int k = a.items++ - 1;
    const bool output = metric.tensor == plan.loss_input();
    a.metrics.kind[k] = metric.kind;
    a.metrics.loss[k] = metric.loss.kind;
    std::copy(std::begin(metric.loss.options), std::end(metric.loss.options), a.metrics.options[k]);
    a.metrics.weighted[k] = metric.weighted;
    a.metrics.output[k] = output ? last.y : last.z;
    a.metrics.value[k] = metric.value;
  }
}

// All that depends on shape; nothing where the plan is not such a chain, or is too large.
std::optional<Resident> lay_out(const Plan& plan, Index batch_size) {
  const Chain chain(plan);
  if (!chain.valid() || batch_size < 1 || batch_size > most_rows) return std::nullopt;
  if (!plan.update.is_plain() || plan.loss.by_batch_weight) return std::nullopt;
  for (const TensorShape& tensor : plan.tensors) {
    if (tensor.width > most_width) return std::nullopt;
  }
  if (plan.parameter_size * batch_size > most_work) return std::nullopt;
  Resident a{};
  for (const Node& node : chain.layers()) a.layer[a.layers++] = describe(plan, node);
  const Index rows = round_up(batch_size, Resident::row_multiple);
  Places places;
  place_weights(plan, a, places);
  place_batches(plan, a, rows, places);
  place_values(chain, a, rows, places);
  place_metrics(plan, a);
  if (!plan.loss.column_weights.empty()) a.column_weight = places.take(1, plan.output_width());
  a.row_losses = places.take(rows, 1, sizeof(double));
  a.rates = places.take(Resident::rate_steps, most_rates);
  constexpr Index lanes = 32;
  a.totals = places.take(lanes, Index{2} * a.items, sizeof(double));
  a.scale = places.take(1, 1);
  a.stop = places.take(1, 1);
  if (places.floats() * static_cast<Index>(sizeof(float)) >
      static_cast<Index>(Resident::most_bytes)) {
    return std::nullopt;
  }
  a.floats = places.floats();
  a.rows = batch_size;
  a.loss = plan.loss.kind;
  a.by_element = plan.loss.by_element;
  a.targets_of_row = static_cast<int>(plan.target_width());
  std::copy(std::begin(plan.loss.options), std::end(plan.loss.options), a.loss_options);
  a.ignore_class = plan.loss.ignore_class;
  a.ignores = plan.loss.ignores;
  a.input_scale = static_cast<float>(plan.input_scale);
  a.input_offset = static_cast<float>(plan.input_offset);
  a.optimizer = plan.update.optimizer;
  return a;
}

// -- running ----------------------------------------------------------------

// What a run leaves on the device, read back at once.
struct Left {
  static constexpr int lanes = 32;
  Progress progress;
  double sums[lanes * 2 * Resident::most_items];

  double total(int k, int items) const {
    double sum = 0;
    for (int lane = 0; lane < lanes; ++lane) sum += sums[lane * 2 * items + k];
    return sum;
  }
};

class ResidentRunner final : public Runner {
 public:
  ResidentRunner(const Machine& machine, Memory& memory, const Plan& plan, const Buffers& buffers,
                 const Resident& layout)
      : machine_(machine), memory_(memory), plan_(plan), buffers_(buffers), a_(layout) {
    left_ = memory_.take<Left>(1);
    a_.sums = left_->sums;
    a_.progress = &left_->progress;
    a_.parameters = static_cast<float*>(buffers.parameters);
    const std::vector<double>& given = plan.loss.column_weights;
    if (given.empty()) return;
    const std::vector<float> weights(given.begin(), given.end());
    auto* const there = memory_.take<float>(static_cast<Index>(weights.size()));
    machine.write(*machine.context, there, weights.data(), weights.size() * sizeof(float));
    a_.column_weights = there;
  }

  Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
          const Rates& rates, Sums sums) override;

 private:
  const Index* order_of(const Dataset& data, const Epoch& epoch);
  const double* bring_rates(const Rates& rates, Index count);

  const Machine& machine_;
  Memory& memory_;
  const Plan& plan_;
  Buffers buffers_;
  Resident a_;
  Left* left_;

  // What a run told, which those of the next go on from where they are given to it, and what
  // was given to the first of them.
  std::vector<double> told_, before_;

  // The order of rows of the epoch and data that ordered_for_ names.
  Index* order_ = nullptr;
  Index order_room_ = 0;
  std::pair<std::uint64_t, std::uint64_t> ordered_for_{};

  double* rates_ = nullptr;  // of a run's steps, where they differ
  Index rates_room_ = 0;
};

const double* ResidentRunner::bring_rates(const Rates& rates, Index count) {
  if (rates.rates == nullptr) return nullptr;
  if (count > rates_room_) {
    rates_room_ = std::max(count, 2 * rates_room_);
    rates_ = memory_.take<double>(rates_room_);
  }
  machine_.write(*machine_.context, rates_, rates.rates,
                 static_cast<std::size_t>(count) * sizeof(double));
  return rates_;
}

const Index* ResidentRunner::order_of(const Dataset& data, const Epoch& epoch) {
  if (!epoch.shuffled) return data.rows;
  const std::pair wanted{epoch.number, data.id};
  if (wanted == ordered_for_) return order_;
  if (data.count > order_room_) {
    order_room_ = std::max(data.count, 2 * order_room_);
    order_ = memory_.take<Index>(order_room_);
  }
  ordered_for_ = {};
  machine_.call<Shuffle>(machine_.table->shuffle, {plan_.key, epoch.number, data.count, 0,
                                                   data.count, true, data.rows, order_});
  ordered_for_ = wanted;
  return order_;
}

Ran ResidentRunner::run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                        const Steps& done, const Rates& rates, Sums sums) {
  if (count <= 0) return {0, std::nullopt};
  Resident a = a_;
  a.count = data.count;
  a.first = first;
  a.steps = count;
  a.order = order_of(data, epoch);
  a.x = data.x;
  a.targets = data.targets;
  a.labels = data.labels;
  a.row_weights = data.weights;
  a.element_weights = static_cast<const double*>(data.element_weights.data);
  a.by_element = a.by_element || a.element_weights != nullptr;
  a.row_weight = epoch.row_weight;
  a.settings = rates.settings;
  a.learning_rates = bring_rates(rates, count);
  a.updates = done.updates;
  const unsigned kept = portable::kept_slots(a.optimizer, rates.settings);
  for (int s = 0; s < rule_slots; ++s) {
    if ((kept >> static_cast<unsigned>(s) & 1U) != 0) {
      a.state[s] = static_cast<float*>(buffers_.slots[s]);
    }
  }
  a.continues = std::ranges::equal(sums, told_);
  if (!a.continues) before_.assign(sums.begin(), sums.end());
  told_.clear();
  machine_.must(cuda_library().resident(machine_.context.get(), &a));
  Left left;
  const std::size_t used = offsetof(Left, sums) + sizeof(double) * Left::lanes * 2 * at(a.items);
  machine_.read(*machine_.context, &left, left_, used);
  for (int k = 0; k < 2 * a.items; ++k) sums[at(k)] = before_[at(k)] + left.total(k, a.items);
  told_.assign(sums.begin(), sums.end());
  if (left.progress.stopped < 0) return {count, std::nullopt};
  return {left.progress.stopped, left.progress.bad_loss};
}

}  // namespace

bool resident_serves(const Plan& plan, Index batch_size) {
  return lay_out(plan, batch_size).has_value();
}

std::size_t resident_bytes(const Plan& plan, Index batch_size) {
  const std::optional<Resident> layout = lay_out(plan, batch_size);
  return layout ? static_cast<std::size_t>(layout->floats) * sizeof(float) : 0;
}

std::unique_ptr<Runner> make_resident(const Machine& machine, Memory& memory, const Plan& plan,
                                      const Buffers& buffers, Index batch_size) {
  const std::optional<Resident> layout = lay_out(plan, batch_size);
  if (!layout) throw std::logic_error("make_resident: not a plan that it serves");
  return std::make_unique<ResidentRunner>(machine, memory, plan, buffers, *layout);
}

}  // namespace fastnn
