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

Network::Network(Index width, Element element, std::uint64_t key) {
  check(width >= 1, "width: expected at least 1, got ", width);
  graph_.element = element;
  graph_.key = key;
  add_tensor(width);
}

Network::~Network() = default;

int Network::add_tensor(Index width) {
  graph_.tensors.push_back({width});
  return static_cast<int>(graph_.tensors.size()) - 1;
}

int Network::add_parameter(Index rows, Index columns, Role role) {
  constexpr Index most = Index{1} << 56;
  if (columns > most / rows) throw std::bad_alloc();
  const Index step = parameter_alignment / (element() == Element::f64 ? 8 : 4);
  const Index size = (rows * columns + step - 1) / step * step;
  if (size > most - graph_.parameter_size) throw std::bad_alloc();
  graph_.parameters.push_back({graph_.parameter_size, rows, columns, role, true});
  graph_.parameter_size += size;
  return static_cast<int>(graph_.parameters.size()) - 1;
}

int Network::check_tensor(int tensor) const {
  check(tensor >= 0 && at(tensor) < graph_.tensors.size(), "tensor: expected a number in [0, ",
        graph_.tensors.size(), "), got ", tensor);
  return tensor;
}

Index Network::width(int tensor) const { return graph_.tensors[at(check_tensor(tensor))].width; }

int Network::dense(int input, Index units, std::string_view activation, bool use_bias,
                   std::optional<double> activation_parameter) {
  check(units >= 1, "units: expected at least 1, got ", units);
  const bool softmax = activation == "softmax";
  Node node{.kind = NodeKind::dense, .input = check_tensor(input)};
  if (!softmax) node.activation = activation_named(activation, activation_parameter);
  node.kernel = add_parameter(width(input), units, Role::matrix);
  if (use_bias) node.bias = add_parameter(1, units, Role::vector);
  node.output = add_tensor(units);
  graph_.nodes.push_back(node);
  return softmax ? this->activation(node.output, "softmax", activation_parameter) : node.output;
}

int Network::activation(int input, std::string_view name, std::optional<double> parameter) {
  Node node{.kind = NodeKind::softmax, .input = check_tensor(input)};
  if (name == "softmax") {
    check(!parameter, "activation: softmax has no parameter, got ", parameter.value_or(0));
  } else {
    node.kind = NodeKind::activation;
    node.activation = activation_named(name, parameter);
  }
  node.output = add_tensor(width(input));
  graph_.nodes.push_back(node);
  return node.output;
}

int Network::dropout(int input, double rate) {
  check(rate >= 0 && rate < 1, "rate: expected a number in [0, 1), got ", rate);
  const int output = add_tensor(width(input));
  graph_.nodes.push_back({.kind = NodeKind::dropout,
                          .input = check_tensor(input),
                          .output = output,
                          .rate = rate,
                          .stream = static_cast<std::uint64_t>(output)});
  return output;
}

int Network::rescale(int input, double scale, double offset) {
  const int output = add_tensor(width(input));
  graph_.nodes.push_back({.kind = NodeKind::affine,
                          .input = check_tensor(input),
                          .output = output,
                          .scale = scale,
                          .offset = offset});
  return output;
}

int Network::add(int a, int b) {
  check(width(a) == width(b), "add: expected equal widths, got ", width(a), " and ", width(b));
  const int output = add_tensor(width(a));
  graph_.nodes.push_back({.kind = NodeKind::add, .input = a, .input_b = b, .output = output});
  return output;
}

void Network::set_output(int tensor) {
  const Gate::Changing changing(gate_);
  graph_.output = check_tensor(tensor);
  make_plan();
}

void Network::set_trainable(const std::vector<bool>& flags) {
  check(flags.size() == graph_.parameters.size(), "flags: expected ", graph_.parameters.size(),
        " of them, got ", flags.size());
  for (std::size_t i = 0; i < flags.size(); ++i) graph_.parameters[i].trainable = flags[i];
}

void Network::set_groups(const std::vector<int>& groups) {
  check(groups.size() == graph_.parameters.size(), "groups: expected ", graph_.parameters.size(),
        " numbers, got ", groups.size());
  for (const int group : groups) {
    check(group >= 0 && group < max_groups_of_parameters, "groups: expected numbers in [0, ",
          max_groups_of_parameters, "), got ", group);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) graph_.parameters[i].group = groups[i];
}

void Network::bind(std::shared_ptr<ParameterBuffer> buffer) {
  check(buffer->size() == graph_.parameter_size && buffer->element() == element(),
        "parameters: expected a buffer of ", graph_.parameter_size,
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
  for (const Parameter& p : graph_.parameters) {
    check(at(p.group) < request.update.groups.size(), "groups: expected numbers in [0, ",
          request.update.groups.size(), "), got ", p.group);
  }
  auto plan = std::make_unique<Plan>(lower(graph_, &request));
  std::vector<std::unique_ptr<ParameterBuffer>> slots;
  const int count = portable::slot_count(request.update.optimizer);
  for (int i = 0; i < count + (request.update.averages ? 1 : 0); ++i) {
    slots.push_back(std::make_unique<ParameterBuffer>(graph_.parameter_size, element()));
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
  auto plan = std::make_unique<Plan>(lower(graph_, compiled_ ? &*compiled_ : nullptr));
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
