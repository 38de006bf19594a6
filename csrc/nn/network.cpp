// The graph of layers, what it is compiled with, and the sessions that run it.
#include "nn/network.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "core/names.h"
#include "nn/checks.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

Network::Network(Graph graph) : graph_(std::move(graph)) {
  check(graph_.plan().input_width() >= 1, "width: expected at least 1, got ",
        graph_.plan().input_width());
}

Network::~Network() = default;

void Network::set_output(int tensor) {
  const Gate::Changing changing(gate_);
  graph_.set_output(tensor);
  make_plan();
}

void Network::bind(std::shared_ptr<ParameterBuffer> buffer) {
  check(buffer->size() == graph_.plan().parameter_size && buffer->element() == element(),
        "parameters: expected a buffer of ", graph_.plan().parameter_size,
        " elements of the network's type, got ", buffer->size());
  const Gate::Changing changing(gate_);
  come_home();
  buffer->bring();  // where another network trained it
  forget_sessions();
  buffer_ = std::move(buffer);
}

void Network::compile(const Compile& request) {
  const Gate::Changing changing(gate_);
  if (!plan_) refuse("the network has no output");
  if (!request.loss.column_weights.empty()) {
    const auto outputs = static_cast<std::size_t>(plan_->output_width());
    check(request.loss.column_weights.size() == outputs, "pos_weight: expected ", outputs,
          " numbers, got ", request.loss.column_weights.size());
  }
  for (const Parameter& p : graph_.plan().parameters) {
    check(at(p.group) < request.update.groups.size(), "groups: expected numbers in [0, ",
          request.update.groups.size(), "), got ", p.group);
  }
  auto plan = std::make_unique<Plan>(lower(graph_.plan(), &request));
  std::vector<std::unique_ptr<ParameterBuffer>> slots;
  const int count = portable::slot_count(request.update.optimizer);
  for (int i = 0; i < count + (request.update.averages ? 1 : 0); ++i) {
    slots.push_back(std::make_unique<ParameterBuffer>(graph_.plan().parameter_size, element()));
  }
  try {
    if (buffer_) buffer_->bring();
  } catch (const Unreadable& why) {
    go_back();
    throw Unreadable(message(why.what(), "; it is now as it was after ", steps_.load(),
                             " steps: ", "compile() it once more"));
  }
  forget_sessions();
  compiled_ = request;
  plan_ = std::move(plan);
  slots_ = std::move(slots);
  updates_ = 0;
  weighed_ = {};
}

std::vector<Index> Network::sum_widths() const {
  check_compiled();
  std::vector<Index> widths{2};
  for (const Metric& metric : plan_->metrics) widths.push_back(metric.width);
  return widths;
}

double Network::check_weight_of(const char* name, const Dataset& data, const Look& look) {
  const Gate::Reading reading(gate_);
  check_compiled();
  const double total = total_weight(*plan_, data, look);
  check(total > 0, name, ": nothing counts: all weights are 0, or all labels missing or ignored");
  return total;
}

SessionKind Network::session(Index batch_size) const {
  check_compiled();
  const bool open = compiled_->session == SessionKind::automatic;
  return open ? backend(device(batch_size)).choose(*plan_, batch_size) : compiled_->session;
}

OptimizerKind Network::optimizer() const {
  check_compiled();
  return compiled_->update.optimizer;
}

Device Network::device(Index batch_size) const {
  check_compiled();
  return compiled_->device ? *compiled_->device : choose_device(*plan_, batch_size);
}

int Network::bf16_parts(Index batch_size) const {
  const SessionKind kind = session(batch_size);
  return backend(device(batch_size))
      .bf16_parts({plan_.get(), {}, batch_size, kind, compiled_->precision});
}

// The plan of the layers as they are. Sessions of the one before are forgotten.
void Network::make_plan() {
  auto plan = std::make_unique<Plan>(lower(graph_.plan(), compiled_ ? &*compiled_ : nullptr));
  come_home();
  forget_sessions();
  plan_ = std::move(plan);
}

void Network::check_compiled() const {
  if (!compiled_) refuse("the network is not compiled");
}

Index Network::output_width() {
  const Gate::Reading reading(gate_);
  if (!plan_) refuse("the network has no output");
  return plan_->output_width();
}

void Network::check_data(const Dataset& data, const Look& look) {
  const Gate::Reading reading(gate_);
  check_compiled();
  fastnn::check_data(*plan_, data, look);
}

void Network::check_input(const Dataset& data, const Look& look) {
  const Gate::Reading reading(gate_);
  if (!plan_) refuse("the network has no output");
  fastnn::check_input(*plan_, data, look);
}

void Network::optimizer_state(const std::function<void(const ParameterBuffer&)>& each) {
  const Gate::Reading reading(gate_);
  if (there_ != nullptr) there_->bring_optimizer_state();
  for (const auto& slot : slots_) each(*slot);
}

void Network::set_optimizer_state(const std::vector<const void*>& state) {
  check(state.size() == slots_.size(), "optimizer state: expected ", slots_.size(), " arrays, got ",
        state.size());
  const Gate::Changing changing(gate_);
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i]->write(0, state[i], slots_[i]->size());
  if (there_ != nullptr) there_->optimizer_state_changed();
  snapshots_.forget();
}

// -- sessions ---------------------------------------------------------------

// To the last copy of the state.
void Network::go_back() {
  if (snapshots_.held()) {
    const Steps steps = snapshots_.restore(state());
    steps_ = steps.life;
    updates_ = steps.updates;
  }
  buffer_->leave(nullptr);
  buffer_->mark_changed();
  if (there_ != nullptr) there_->optimizer_state_changed();
}

// Brings what training left elsewhere, for sessions that start from what is here.
void Network::come_home() {
  if (there_ == nullptr) return;
  buffer_->bring();
  there_->bring_optimizer_state();
}

void Network::forget_sessions() {
  training_session_.reset();
  training_device_.reset();
  there_.reset();
  idle_.clear();
  snapshots_.forget();
}

Buffers Network::buffers() {
  if (!buffer_) refuse("the network has no parameters bound");
  Buffers buffers{buffer_->data(), {}};
  if (slots_.empty()) return buffers;
  const bool averages = compiled_->update.averages;
  const std::size_t count = slots_.size() - (averages ? 1 : 0);
  for (std::size_t i = 0; i < count; ++i) buffers.slots[i] = slots_[i]->data();
  if (averages) buffers.slots[average_slot] = slots_.back()->data();
  return buffers;
}

Session& Network::training_session(Index batch_size) {
  if (!training_session_ || training_batch_ != batch_size) {
    come_home();  // the next may be elsewhere, or fail
    training_session_.reset();
    const std::optional<Device> before = std::exchange(training_device_, std::nullopt);
    const Device device = this->device(batch_size);
    training_session_ = backend(device).prepare(
        {plan_.get(), buffers(), batch_size, compiled_->session, compiled_->precision});
    training_batch_ = batch_size;
    if (device != before) idle_.clear();  // they follow it: its parameters are there
    training_device_ = device;
    const std::shared_ptr<Elsewhere> there = training_session_->elsewhere();
    // Sessions that do not train may have put there what it was before.
    if (there != nullptr && there != there_) there->optimizer_state_changed();
    there_ = there;
  }
  return *training_session_;
}

std::unique_ptr<Session> Network::borrow_session() {
  std::unique_ptr<Session> session = idle_.take();
  if (session == nullptr) {
    // Where training is, or would be told to be.
    const Device device = training_device_                 ? *training_device_
                          : compiled_ && compiled_->device ? *compiled_->device
                                                           : default_device();
    if (device == Device::cpu) buffer_->bring();
    session = backend(device).prepare({plan_.get(), buffers(), 0});
  }
  session->parameters_at(buffer_->version());
  return session;
}

}  // namespace fastnn
