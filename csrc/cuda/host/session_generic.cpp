#include "cuda/host/session_generic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "core/batch.h"
#include "core/math.h"
#include "core/updates.h"
#include "core/walk.h"
#include "cuda/host/library.h"

namespace fastnn {
namespace {

// Steps in a graph, at most and at least, and steps whose values are brought at once.
constexpr Index most_in_graph = 16;
constexpr Index least_in_graph = 4;
constexpr Index steps_at_once = 64 * most_in_graph;

// Frees a graph; empty at first.
class Graph {
 public:
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() { reset(nullptr); }
  void reset(CudaGraph* graph) {
    if (graph_ != nullptr) cuda_release(graph_);
    graph_ = graph;
  }
  CudaGraph* get() const { return graph_; }

 private:
  CudaGraph* graph_ = nullptr;
};

class Generic final : public Runner {
 public:
  Generic(const Machine& machine, const Plan& plan, const Buffers& buffers, Index batch_size,
          const MakeUpdatingProducts& products);

  Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
          const Rates& rates, Sums sums) override;
  void settle() override {
    if (products_) products_->settle();
  }

 private:
  Context& context() const { return *machine_.context; }
  void order_rows(const Dataset& data, const Epoch& epoch);
  void bring_values(const Epoch& epoch, Index first, Index begin, Index count, const Steps& done,
                    const Rates& rates);
  void run_steps(Index begin, Index count, Index n);
  void step(const StepValues* values, Index n);
  void collect(const StepValues* values, const BatchPart<float>& part, const double* losses);
  void update();
  bool worth_recording(Index count, Index n) const;
  bool recorded_for(Index n) const;
  void record(Index steps, Index n);
  void forget_graph();
  void use_settings(const OptimizerSettings& settings);

  const Machine& machine_;
  const Plan& plan_;
  Memory memory_;
  Batch<float> batch_;
  Updates<float> updates_;
  Walk<float> walk_;
  float* gradients_;
  ParameterGradients<float> places_;
  std::unique_ptr<UpdatingProducts> products_;  // null: the kernel table's
  double* metric_sums_;
  // What a run leaves on the device: how far it came, and its sums.
  Progress* progress_;
  double* totals_;
  StepValues* brought_;   // (steps_at_once)
  StepValues* recorded_;  // (most_in_graph), which the graph reads
  std::vector<StepValues> values_;

  // The data of the run, whose addresses the graph knows, and the order of its rows in the
  // epoch that ordered_ names.
  Dataset data_;
  Index* order_ = nullptr;
  Index order_room_ = 0;
  bool shuffled_ = false;
  std::pair<std::uint64_t, std::uint64_t> ordered_{};

  OptimizerSettings settings_;
  double row_weight_ = 0;  // see Epoch; the graph knows it
  Graph graph_;
  Index graph_rows_ = 0;  // of each of its steps
  double graph_penalties_ = 1;
  Index graph_steps_ = 0;
};

Generic::Generic(const Machine& machine, const Plan& plan, const Buffers& buffers, Index batch_size,
                 const MakeUpdatingProducts& products)
    : machine_(machine),
      plan_(plan),
      memory_(machine),
      batch_(machine, memory_, plan, batch_size),
      updates_(machine, memory_, plan, buffers),
      walk_(machine, memory_, plan, static_cast<float*>(buffers.parameters), batch_size),
      gradients_(memory_.take<float>(plan.parameter_size)),
      metric_sums_(memory_.take<double>(plan.sums() * max_groups)),
      progress_(memory_.take<Progress>(1)),
      totals_(memory_.take<double>(plan.sums())),
      brought_(memory_.take<StepValues>(steps_at_once)),
      recorded_(memory_.take<StepValues>(most_in_graph)) {
  walk_.allocate_gradients();
  for (const Parameter& parameter : plan.parameters) {
    places_.place.push_back(parameter.trainable ? gradients_ + parameter.offset : nullptr);
  }
  if (products)
    products_ =
        products({machine, memory_, plan, buffers.parameters, updates_, gradients_, batch_size});
  walk_.use(products_.get());
}

void Generic::forget_graph() {
  if (graph_.get() != nullptr) cuda_wait(context());
  graph_.reset(nullptr);
  graph_steps_ = 0;
}

// Rates come with the values of a step; which form the optimizer has is part of the graph, and so
// is what penalties are multiplied by (`recorded_for`): the last batch of an epoch has another
// factor, and no graph.
void Generic::use_settings(const OptimizerSettings& settings) {
  const OptimizerKind kind = plan_.update.optimizer;
  const bool same = portable::kept_slots(kind, settings) == portable::kept_slots(kind, settings_) &&
                    settings.weighs_penalties == settings_.weighs_penalties;
  if (!same) forget_graph();
  settings_ = settings;
}

// Whether a graph that reads the one reads the other. A data set may have been brought once
// more, to places of which some are others.
bool same_places(const Dataset& a, const Dataset& b) {
  return a.id == b.id && a.x.data == b.x.data && a.sparse.starts == b.sparse.starts &&
         a.targets.data == b.targets.data && a.labels == b.labels && a.weights == b.weights &&
         a.element_weights.data == b.element_weights.data;
}

// The whole order of an epoch, which one kernel draws.
void Generic::order_rows(const Dataset& data, const Epoch& epoch) {
  if (!same_places(data, data_) || shuffled_ != epoch.shuffled || row_weight_ != epoch.row_weight) {
    forget_graph();
  }
  data_ = data;
  shuffled_ = epoch.shuffled;
  if (!epoch.shuffled) return;
  if (data.count > order_room_) {
    forget_graph();
    order_ = memory_.take<Index>(data.count);
    order_room_ = data.count;
  }
  const std::pair wanted{epoch.number, data.id};
  if (ordered_ == wanted) return;
  ordered_ = {};
  machine_.call<Shuffle>(machine_.table->shuffle, {plan_.key, epoch.number, data.count, 0,
                                                   data.count, true, nullptr, order_});
  ordered_ = wanted;
}

// Copies the values of steps begin..begin+count of the run, whose first is `first` of the epoch.
void Generic::bring_values(const Epoch& epoch, Index first, Index begin, Index count,
                           const Steps& done, const Rates& rates) {
  values_.resize(static_cast<std::size_t>(count));
  for (Index i = 0; i < count; ++i) {
    const auto steps = static_cast<std::uint64_t>(begin + i);
    StepValues& values = values_[static_cast<std::size_t>(i)];
    values = {};
    values.first = (first + begin + i) * epoch.batch_size;
    values.life = done.life + steps;
    values.number = begin + i;
    for (std::size_t g = 0; g < plan_.update.groups.size(); ++g) {
      const OptimizerStep<float> step = updates_.step(
          0, 0, static_cast<int>(g), done.updates + steps, rates.at(begin + i), nullptr);
      values.group[g] = {portable::rates_of<float>(step.kind, step.settings, step.step),
                         step.extras.average_momentum};
    }
  }
  machine_.write(context(), brought_, values_.data(), values_.size() * sizeof(StepValues));
}

Ran Generic::run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                 const Steps& done, const Rates& rates, Sums sums) {
  order_rows(data, epoch);
  use_settings(rates.settings);
  // Others may have trained the parameters, or written them.
  if (products_) products_->refresh();
  Progress progress{-1, 0};
  machine_.write(context(), progress_, &progress, sizeof progress);
  // Sums go on from where they are, so that they do not depend on where runs end.
  machine_.write(context(), totals_, sums.data(), sums.size_bytes());
  row_weight_ = epoch.row_weight;
  for (Index begin = 0; begin < count; begin += steps_at_once) {
    const Index some = std::min(steps_at_once, count - begin);
    bring_values(epoch, first, begin, some, done, rates);
    // All have the same number of rows but for the last of an epoch.
    const Index end = first + begin + some;
    const Index last = std::min(epoch.batch_size, data.count - (end - 1) * epoch.batch_size);
    const Index whole = last == epoch.batch_size ? some : some - 1;
    run_steps(0, whole, epoch.batch_size);
    run_steps(whole, some - whole, last);
  }
  machine_.read(context(), &progress, progress_, sizeof progress);
  machine_.read(context(), sums.data(), totals_, sums.size_bytes());
  if (progress.stopped < 0) return {count, std::nullopt};
  return {progress.stopped, progress.bad_loss};
}

// Steps of n rows each, whose values are brought_[begin] and those behind it.
void Generic::run_steps(Index begin, Index count, Index n) {
  Index i = begin;
  const Index end = begin + count;
  if (worth_recording(count, n)) {
    // In the first step kernels find the memory that they need: none can be had while
    // they are recorded.
    step(brought_ + i++, n);
    record(std::min(most_in_graph, count - 1), n);
  }
  if (recorded_for(n) && graph_steps_ > 0) {
    const auto size = static_cast<std::size_t>(graph_steps_) * sizeof(StepValues);
    for (; i + graph_steps_ <= end; i += graph_steps_) {
      machine_.must(cuda_library().copy(&context(), recorded_, brought_ + i, size));
      machine_.must(cuda_library().launch_graph(&context(), graph_.get()));
    }
  }
  for (; i < end; ++i) step(brought_ + i, n);
}

// Whether there is no graph for such steps, or one of much fewer than could be.
bool Generic::worth_recording(Index count, Index n) const {
  if (count <= least_in_graph) return false;
  return !recorded_for(n) || 2 * graph_steps_ < std::min(most_in_graph, count - 1);
}

bool Generic::recorded_for(Index n) const {
  return graph_rows_ == n && graph_penalties_ == settings_.penalties;
}

void Generic::record(Index steps, Index n) {
  forget_graph();
  machine_.must(cuda_library().begin_graph(&context()));
  try {
    for (Index i = 0; i < steps; ++i) step(recorded_ + i, n);
  } catch (...) {
    if (CudaGraph* const part = cuda_library().end_graph(&context())) {
      cuda_library().release_graph(part);
    }
    throw;
  }
  graph_.reset(cuda_library().end_graph(&context()));
  if (graph_.get() == nullptr) machine_.must(Status::failed);
  graph_rows_ = n;
  graph_penalties_ = settings_.penalties;
  graph_steps_ = steps;
}

// Starts the kernels of one step.
void Generic::step(const StepValues* values, Index n) {
  const StepPlace place{values, progress_};
  cuda_library().set_step(&context(), place);
  if (products_) products_->begin_step(place, settings_);
  // Before the step's own first row comes what values say.
  batch_.choose(Rows{shuffled_ ? order_ : nullptr, 0, n});
  walk_.gather(batch_, data_, 0, n);
  batch_.gather_targets(data_);
  const BatchPart<float> part = batch_.part(0, n);
  const Pass pass{true, 0, 0, true};
  walk_.forward(pass, n, walk_.needs_output());
  const double divisor = static_cast<double>(n) * row_weight_;
  const double* const losses = walk_.start_loss(part, divisor, true);
  updates_.weigh_batch(losses, n, divisor);
  collect(values, part, losses);
  walk_.backward(pass, n, places_);
  if (products_) {
    products_->end_step();
  } else {
    update();
  }
  cuda_library().set_step(&context(), {});
}

void Generic::collect(const StepValues* values, const BatchPart<float>& part,
                      const double* losses) {
  Collect all{};
  all.n = part.n;
  all.count = 1 + static_cast<int>(plan_.metrics.size());
  all.items[0] = {losses, 2};
  double* metric = metric_sums_;
  for (std::size_t i = 0; i < plan_.metrics.size(); ++i) {
    walk_.start_metric(i, part, metric);
    all.items[i + 1] = {metric, plan_.metrics[i].width};
    metric += plan_.metrics[i].width * max_groups;
  }
  if (updates_.penalizes()) {
    all.penalty = updates_.start_penalty(settings_.penalties);
    all.penalty_sums = updates_.penalty_sums();
  }
  if (updates_.averages_batches(settings_)) {
    all.divisor = static_cast<double>(part.n) * row_weight_;
  }
  all.totals = totals_;
  all.values = values;
  all.progress = progress_;
  machine_.must(cuda_library().collect(&context(), &all));
}

void Generic::update() { updates_.all(0, settings_, gradients_); }

}  // namespace

bool generic_serves(const Plan& plan) {
  return plan.element == Element::f32 && plan.has_loss && !plan.update.needs_host() &&
         plan.metrics.size() < static_cast<std::size_t>(Collect::most);
}

std::unique_ptr<Runner> make_generic(const Machine& machine, const Plan& plan,
                                     const Buffers& buffers, Index batch_size,
                                     const MakeUpdatingProducts& products) {
  return std::make_unique<Generic>(machine, plan, buffers, batch_size, products);
}

}  // namespace fastnn
