// The graph of layers, what it is compiled with, and the sessions that run it.
#include "nn/network.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "core/check.h"
#include "core/names.h"
#include "nn/checks.h"

namespace fastnn {

Network::Network(Graph graph) : graph_(std::move(graph)) {
  check(graph_.plan().input_width() >= 1, "width: expected at least 1, got ",
        graph_.plan().input_width());
}

Network::~Network() = default;

void Network::set_output(int tensor) {
  const Gate::Changing changing(parts_.gate());
  graph_.set_output(tensor);
  make_plan();
}

void Network::bind(std::shared_ptr<ParameterBuffer> buffer) {
  check(buffer->size() == graph_.plan().parameter_size && buffer->element() == element(),
        "parameters: expected a buffer of ", graph_.plan().parameter_size,
        " elements of the network's type, got ", buffer->size());
  const Gate::Changing changing(buffer->gate());
  parts_.state.bring();
  buffer->bring();  // where another network trained it
  forget_sessions();
  parts_.state.bind(std::move(buffer));
}

void Network::take(ParameterBuffer& from, const std::vector<Range>& ranges, const Poll& poll) {
  static_cast<void>(parts_.state.buffers());  // throws where there are none
  ParameterBuffer& here = *parts_.state.parameters();
  check(from.element() == element() && &from != &here,
        "parameters: expected another buffer of the network's type");
  const auto within = [](const ParameterBuffer& buffer, Index offset, Index count) {
    return offset >= 0 && count >= 0 && count <= buffer.size() && offset <= buffer.size() - count;
  };
  for (const Range& range : ranges) {
    check(within(here, range.to, range.count) && within(from, range.from, range.count),
          "ranges: expected them in buffers of ", here.size(), " and ", from.size(),
          " elements, got ", range.count, " from ", range.from, " to ", range.to);
  }
  Gate::refuse_within_reading();
  const Gate::Reading reading(from.gate());
  from.bring();
  const Gate::Replacing replacing(here.gate(), poll);
  here.to_write();
  bool changed = false;
  for (const Range& range : ranges) {
    const auto bytes = static_cast<std::size_t>(range.count * here.element_size());
    if (std::memcmp(here.at(range.to), from.at(range.from), bytes) == 0) continue;
    std::memcpy(here.at(range.to), from.at(range.from), bytes);
    changed = true;
  }
  if (!changed) return;
  here.mark_changed();
  parts_.state.took();
}

void Network::compile(const Compile& request) {
  const Gate::Changing changing(parts_.gate());
  check_output();
  check(parts_.plan->output_width() % request.loss.outputs_of_target == 0, "loss: expected ",
        request.loss.outputs_of_target, " outputs for each target, got ",
        parts_.plan->output_width(), " outputs");
  if (!request.loss.column_weights.empty()) {
    const auto outputs = static_cast<std::size_t>(parts_.plan->output_width());
    check(request.loss.column_weights.size() == outputs, "pos_weight: expected ", outputs,
          " numbers, got ", request.loss.column_weights.size());
  }
  for (const Parameter& p : parameters()) {
    check(static_cast<std::size_t>(p.group) < request.update.groups.size(),
          "groups: expected numbers in [0, ", request.update.groups.size(), "), got ", p.group);
  }
  auto plan = std::make_unique<Plan>(lower(graph_.plan(), &request));
  std::vector<std::unique_ptr<ParameterBuffer>> slots;
  const int count = portable::slot_count(request.update.optimizer);
  const bool accumulates = request.update.accumulate > 1;
  for (int i = 0; i < count + (accumulates ? 1 : 0) + (request.update.averages ? 1 : 0); ++i) {
    slots.push_back(std::make_unique<ParameterBuffer>(parameter_size(), element()));
  }
  if (request.update.initial_state != 0) slots.front()->fill(request.update.initial_state);
  bring_or_go_back();
  forget_sessions();
  parts_.compiled = request;
  ++parts_.compilations;
  parts_.plan = std::move(plan);
  parts_.state.set_slots(std::move(slots), request.update.averages, accumulates);
}

void Network::bring() {
  const Gate::Changing changing(parts_.gate());
  bring_or_go_back();
}

void Network::bring_or_go_back() {
  try {
    if (parts_.state.parameters()) parts_.state.parameters()->bring();
  } catch (const Unreadable& why) {
    parts_.state.go_back();
    throw Unreadable(message(why.what(), "; it is now as it was after ", steps(),
                             " steps: ", "compile() it once more"));
  }
}

std::vector<Index> Network::sum_widths() const {
  check_compiled();
  std::vector<Index> widths{2};
  for (const Metric& metric : parts_.plan->metrics) widths.push_back(metric.width);
  return widths;
}

Head Network::head() const {
  check_output();
  return head_of(*parts_.plan);
}

SessionKind Network::session(Index batch_size) const {
  check_compiled();
  const SessionKind given = parts_.compiled->session;
  return given != SessionKind::automatic
             ? given
             : backend(device(batch_size)).choose(*parts_.plan, batch_size);
}

const char* Network::whole_for() const {
  check_compiled();
  return parts_.compiled->update.whole_for();
}

OptimizerKind Network::optimizer() const {
  check_compiled();
  return parts_.compiled->update.optimizer;
}

Device Network::device(Index batch_size) const {
  check_compiled();
  return device_for(*parts_.plan, *parts_.compiled, batch_size);
}

int Network::bf16_parts(Index batch_size) const {
  const SessionKind kind = session(batch_size);
  return backend(device(batch_size))
      .bf16_parts({parts_.plan.get(), {}, batch_size, kind, parts_.compiled->precision});
}

// The plan of the layers as they are. Sessions of the one before are forgotten.
void Network::make_plan() {
  const Compile* const compiled = parts_.compiled ? &*parts_.compiled : nullptr;
  auto plan = std::make_unique<Plan>(lower(graph_.plan(), compiled));
  parts_.state.bring();
  forget_sessions();
  parts_.plan = std::move(plan);
}

void Network::forget_sessions() {
  parts_.sessions.forget();
  parts_.state.forget();
  idle_pass_->forget();
}

void Network::check_compiled() const {
  if (!parts_.compiled) refuse("the network is not compiled");
}

void Network::check_output() const {
  if (!parts_.plan) refuse("the network has no output");
}

Index Network::output_width() {
  const Gate::Reading reading(parts_.gate());
  check_output();
  return parts_.plan->output_width();
}

void Network::check_data(const Dataset& data, const Poll& poll) {
  const Gate::Reading reading(parts_.gate());
  check_compiled();
  fastnn::check_data(*parts_.plan, data, poll);
}

void Network::check_input(const Dataset& data, const Poll& poll) {
  const Gate::Reading reading(parts_.gate());
  check_output();
  fastnn::check_input(*parts_.plan, data, poll);
}

double Network::check_weight_of(const char* name, const Dataset& data, const Poll& poll) {
  const Gate::Reading reading(parts_.gate());
  check_compiled();
  const double total = total_weight(*parts_.plan, data, poll);
  check(total > 0, name,
        ": nothing counts, all weights (sample_weight times class_weight) are 0 or all labels "
        "missing or ignored");
  return total;
}

Plan Network::compiled_plan() {
  const Gate::Reading reading(parts_.gate());
  check_output();
  return *parts_.plan;
}

void Network::optimizer_state(const std::function<void(const ParameterBuffer&)>& each) {
  const Gate::Reading reading(parts_.gate());
  parts_.state.bring_optimizer_state();
  for (const auto& slot : parts_.state.slots()) each(*slot);
}

void Network::set_optimizer_state(const std::vector<const void*>& state) {
  const Gate::Changing changing(parts_.gate());
  parts_.state.write_optimizer_state(state);
}

std::vector<double> Network::evaluate(const Dataset& data, const Poll& poll, void* logits,
                                      std::span<const double> so_far) {
  const Gate::Reading reading(parts_.gate());
  check_compiled();
  std::vector<double> sums(static_cast<std::size_t>(parts_.plan->sums()));
  check(so_far.empty() || so_far.size() == sums.size(), "so_far: expected ", sums.size(),
        " sums, got ", so_far.size());
  std::ranges::copy(so_far, sums.begin());
  Ticker ticker(poll);
  evaluate_into(parts_, data, sums, logits, ticker);
  parts_.sessions.idle().forget_data();
  return sums;
}

void Network::predict(const Dataset& data, void* out, const Poll& poll) {
  const Gate::Reading reading(parts_.gate());
  static_cast<void>(parts_.state.buffers());  // throws where there are none
  std::unique_ptr<Session> session = parts_.sessions.borrow(parts_.needs());
  const Index row_bytes = parts_.plan->output_width() * parts_.state.parameters()->element_size();
  predict_rows(*session, data, row_bytes, out, poll);
  parts_.sessions.give(std::move(session));
}

std::unique_ptr<Predictor> Network::predictor(const std::vector<Head>& ends) {
  const Gate::Reading reading(parts_.gate());
  check_output();
  static_cast<void>(parts_.state.buffers());
  parts_.state.parameters()->bring();
  Plan plan = graph_.plan();
  join_outputs(plan, ends);
  return std::make_unique<Predictor>(lower(plan, nullptr), *parts_.state.parameters());
}

std::unique_ptr<Recorded> Network::record(const Dataset& data, const Recording& how,
                                          const Poll& poll) {
  // Where moving statistics change, nothing else reads them.
  const bool moves = how.training && has_moving_statistics(graph_.plan());
  std::optional<Gate::Reading> reading;
  std::optional<Gate::Replacing> replacing;
  if (moves) {
    Gate::refuse_within_reading();
    replacing.emplace(parts_.gate(), poll);
  } else {
    reading.emplace(parts_.gate());
  }
  check_output();
  static_cast<void>(parts_.state.buffers());
  parts_.state.parameters()->bring();
  fastnn::check_input(*parts_.plan, data, poll);
  std::unique_ptr<PassMemory> memory = idle_pass_->take();
  if (memory == nullptr || !memory->serves(how, data.count)) {
    const std::uint64_t generation = idle_pass_->generation();
    Plan plan = lower(graph_.plan(), nullptr);
    const char* head = nullptr;
    if (how.logits && plan.logits != plan.output) {
      head = plan.nodes.back().kind == NodeKind::softmax ? "softmax" : "sigmoid";
      plan.nodes.pop_back();
      plan.output = plan.logits;
    }
    memory = PassMemory::make(std::move(plan), head, how, parts_.state.parameters(), data.count);
    memory->generation = generation;
  }
  // Each pass in training draws other numbers, as each step of `fit`. Passes of several threads may
  // meet here.
  const std::uint64_t life = how.training ? parts_.state.steps.fetch_add(1) : steps();
  auto recorded = std::make_unique<Recorded>(idle_pass_, std::move(memory), data,
                                             Pass{.random = how.training,
                                                  .life = life,
                                                  .first_row = how.first_row,
                                                  .moves = moves,
                                                  .exchange = how.exchange,
                                                  .batch = how.batch});
  if (moves) parts_.state.parameters()->mark_statistics();
  return recorded;
}

// To a gradient laid out as the parameters that of their penalties.
template <class T>
static void add_penalties(const Plan& plan, const void* parameters, T* gradient) {
  for (const Parameter& p : plan.parameters) {
    const ParameterGroup& group = plan.update.groups[static_cast<std::size_t>(p.group)];
    if (!p.trainable || (group.l1 == 0 && group.l2 == 0)) continue;
    const T* const weights = static_cast<const T*>(parameters) + p.offset;
    for (Index i = 0; i < p.size(); ++i) {
      const T w = weights[i];
      gradient[p.offset + i] +=
          static_cast<T>(2 * group.l2) * w + static_cast<T>(group.l1) * portable::sign_of(w);
    }
  }
}

double Network::gradients(const Dataset& data, bool training, void* gradient, const Poll& poll) {
  const Gate::Reading reading(parts_.gate());
  check_compiled();
  std::vector<double> sums(static_cast<std::size_t>(parts_.plan->sums()));
  // A layer that works on whole batches takes all rows as one.
  const bool whole = training && !is_row_local(*parts_.plan);
  if (whole) parts_.state.parameters()->bring();
  std::unique_ptr<Session> session =
      whole ? backend().prepare(
                  {parts_.plan.get(), parts_.state.buffers(), data.count, SessionKind::plain})
            : parts_.sessions.borrow(parts_.needs());
  Ticker ticker(poll);
  const Index capacity = session->capacity();
  const double total = total_weight(*parts_.plan, data, poll);
  for (Index first = 0; first < data.count; first += capacity) {
    session->add_gradients(data, first, std::min(capacity, data.count - first), total, training,
                           steps(), gradient, sums);
    ticker.done();
  }
  const double penalty = session->penalty();
  session->forget_data();
  if (!whole) parts_.sessions.give(std::move(session));
  parts_.state.parameters()->bring();
  if (element() == Element::f64) {
    add_penalties(*parts_.plan, parts_.state.buffers().parameters, static_cast<double*>(gradient));
  } else {
    add_penalties(*parts_.plan, parts_.state.buffers().parameters, static_cast<float*>(gradient));
  }
  return sums[1] > 0 ? sums[0] / sums[1] + penalty : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace fastnn
