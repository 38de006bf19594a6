// The graph of layers, the plan made of it, and the sessions that run it.
#include "nn/network.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/check.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

Activation find_activation(std::string_view name) {
  const auto* const found =
      std::find(std::begin(activation_names), std::end(activation_names), name);
  check(found != std::end(activation_names), "activation: unknown name '", name, "'");
  return static_cast<Activation>(found - std::begin(activation_names));
}

// A rescaling of the input that nothing else reads is left to the gather.
void fold_rescaling(Plan& plan) {
  const auto reads_input = [](const Node& node) { return node.input == 0 || node.input_b == 0; };
  while (!plan.nodes.empty() && plan.nodes.front().kind == NodeKind::affine &&
         plan.nodes.front().input == 0 &&
         std::count_if(plan.nodes.begin(), plan.nodes.end(), reads_input) == 1) {
    const Node folded = plan.nodes.front();
    plan.nodes.erase(plan.nodes.begin());
    plan.input_offset = folded.scale * plan.input_offset + folded.offset;
    plan.input_scale *= folded.scale;
    for (Node& node : plan.nodes) {
      if (node.input == folded.output) node.input = 0;
      if (node.input_b == folded.output) node.input_b = 0;
    }
    if (plan.output == folded.output) plan.output = 0;
  }
}

// Only what the output is made of.
void drop_unused(Plan& plan) {
  std::vector<bool> used(plan.tensors.size());
  used[at(plan.output)] = true;
  for (auto node = plan.nodes.rbegin(); node != plan.nodes.rend(); ++node) {
    if (!used[at(node->output)]) continue;
    for (const int input : {node->input, node->input_b}) {
      if (input != none) used[at(input)] = true;
    }
  }
  std::erase_if(plan.nodes, [&](const Node& node) { return !used[at(node.output)]; });
}

bool is_sigmoid(const Node& node) { return node.activation == Activation::sigmoid; }

// Makes a softmax or sigmoid at the end a node of its own, so that there are logits.
void separate_head(Plan& plan) {
  plan.logits = plan.output;
  if (plan.nodes.empty() || plan.nodes.back().output != plan.output) return;
  if (plan.nodes.back().kind == NodeKind::dense && is_sigmoid(plan.nodes.back())) {
    Node& dense = plan.nodes.back();
    const int logits = static_cast<int>(plan.tensors.size());
    plan.tensors.push_back(plan.tensors[at(plan.output)]);
    dense.activation = Activation::linear;
    dense.output = logits;
    plan.nodes.push_back({.kind = NodeKind::activation,
                          .input = logits,
                          .output = plan.output,
                          .activation = Activation::sigmoid});
  }
  const Node& head = plan.nodes.back();
  if (head.kind == NodeKind::softmax || (head.kind == NodeKind::activation && is_sigmoid(head))) {
    plan.logits = head.input;
  }
}

bool ends_in_softmax(const Plan& plan) {
  return plan.logits != plan.output && plan.nodes.back().kind == NodeKind::softmax;
}

// Which tensor a metric looks at, and its value for that tensor.
Metric place_metric(const Plan& plan, const Compile::Metric& metric) {
  Metric placed{metric.kind, metric.value, metric.weighted, plan.output};
  const bool headless = plan.logits == plan.output;
  switch (metric.kind) {
    case MetricKind::softmax_cross_entropy:
    case MetricKind::sigmoid_cross_entropy:
      placed.tensor = plan.logits;
      break;
    case MetricKind::sparse_categorical_accuracy:
    case MetricKind::categorical_accuracy:
    case MetricKind::top_k_categorical_accuracy:
      // The order of the classes is that of the logits.
      if (ends_in_softmax(plan)) placed.tensor = plan.logits;
      break;
    case MetricKind::binary_accuracy: {
      const bool logits_at_end = headless && plan.loss.kind == LossKind::sigmoid_cross_entropy;
      const bool sigmoid_at_end = !headless && !ends_in_softmax(plan);
      if (logits_at_end || sigmoid_at_end) {
        placed.tensor = plan.logits;
        placed.value = std::log(metric.value / (1 - metric.value));
      }
      break;
    }
    case MetricKind::mean_squared_error:
    case MetricKind::mean_absolute_error:
      break;
  }
  return placed;
}

}  // namespace

Network::Network(Index width, Element element, std::uint64_t key) {
  check(width >= 1, "width: expected at least 1, got ", width);
  graph_.element = element;
  graph_.key = key;
  add_tensor(width);
}

Network::~Network() = default;

int Network::add_tensor(Index width) {
  forget_sessions();
  graph_.tensors.push_back({width});
  return static_cast<int>(graph_.tensors.size()) - 1;
}

int Network::add_parameter(Index rows, Index columns, bool vector) {
  constexpr Index most = Index{1} << 56;
  if (columns > most / rows) throw std::bad_alloc();
  const Index step = parameter_alignment / (element() == Element::f64 ? 8 : 4);
  const Index size = (rows * columns + step - 1) / step * step;
  if (size > most - graph_.parameter_size) throw std::bad_alloc();
  graph_.parameters.push_back({graph_.parameter_size, rows, columns, vector, true});
  graph_.parameter_size += size;
  return static_cast<int>(graph_.parameters.size()) - 1;
}

int Network::check_tensor(int tensor) const {
  check(tensor >= 0 && at(tensor) < graph_.tensors.size(), "tensor: expected a number in [0, ",
        graph_.tensors.size(), "), got ", tensor);
  return tensor;
}

Index Network::width(int tensor) const { return graph_.tensors[at(check_tensor(tensor))].width; }

int Network::dense(int input, Index units, std::string_view activation, bool use_bias) {
  check(units >= 1, "units: expected at least 1, got ", units);
  const bool softmax = activation == "softmax";
  Node node{.kind = NodeKind::dense, .input = check_tensor(input)};
  if (!softmax) node.activation = find_activation(activation);
  node.kernel = add_parameter(width(input), units, false);
  if (use_bias) node.bias = add_parameter(1, units, true);
  node.output = add_tensor(units);
  graph_.nodes.push_back(node);
  return softmax ? this->activation(node.output, "softmax") : node.output;
}

int Network::activation(int input, std::string_view name) {
  Node node{.kind = NodeKind::softmax, .input = check_tensor(input)};
  if (name != "softmax") {
    node.kind = NodeKind::activation;
    node.activation = find_activation(name);
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
  graph_.output = check_tensor(tensor);
  forget_sessions();
}

void Network::set_trainable(const std::vector<bool>& flags) {
  check(flags.size() == graph_.parameters.size(), "flags: expected ", graph_.parameters.size(),
        " of them, got ", flags.size());
  for (std::size_t i = 0; i < flags.size(); ++i) graph_.parameters[i].trainable = flags[i];
}

void Network::bind(std::shared_ptr<ParameterBuffer> buffer) {
  check(buffer->size() == graph_.parameter_size && buffer->element() == element(),
        "parameters: expected a buffer of ", graph_.parameter_size,
        " elements of the network's type, got ", buffer->size());
  forget_sessions();
  buffer_ = std::move(buffer);
}

void Network::compile(const Compile& request) {
  std::vector<std::unique_ptr<ParameterBuffer>> slots;
  for (int i = 0; i < slot_count(request.optimizer); ++i) {
    slots.push_back(std::make_unique<ParameterBuffer>(graph_.parameter_size, element()));
  }
  forget_sessions();
  compiled_ = request;
  slots_ = std::move(slots);
  steps.updates = 0;
}

const Plan& Network::plan() {
  if (plan_) return *plan_;
  Plan plan = graph_;
  drop_unused(plan);
  fold_rescaling(plan);
  separate_head(plan);
  if (compiled_) {
    plan.has_loss = true;
    plan.loss = compiled_->loss;
    plan.optimizer = compiled_->optimizer;
    const bool softmax = ends_in_softmax(plan);
    const bool sigmoid = plan.logits != plan.output && !softmax;
    plan.folded = (softmax && plan.loss.kind == LossKind::softmax_cross_entropy) ||
                  (sigmoid && plan.loss.kind == LossKind::sigmoid_cross_entropy);
    for (const Compile::Metric& metric : compiled_->metrics) {
      plan.metrics.push_back(place_metric(plan, metric));
    }
  }
  plan_ = std::move(plan);
  return *plan_;
}

const Plan& Network::compiled_plan() {
  if (!compiled_) refuse("the network is not compiled");
  return plan();
}

std::size_t Network::columns() const { return 1 + (compiled_ ? compiled_->metrics.size() : 0); }

std::vector<ParameterBuffer*> Network::optimizer_state() {
  std::vector<ParameterBuffer*> state;
  for (const auto& slot : slots_) state.push_back(slot.get());
  return state;
}

void Network::set_optimizer_state(const std::vector<const void*>& state) {
  check(state.size() == slots_.size(), "optimizer state: expected ", slots_.size(), " arrays, got ",
        state.size());
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i]->write(0, state[i], slots_[i]->size());
  snapshots_.forget();
}

// -- sessions ---------------------------------------------------------------

void Network::forget_sessions() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (writing_ || readers_ > 0) refuse("the model is in use in another thread");
  training_session_.reset();
  idle_.clear();
  plan_.reset();
  snapshots_.forget();
}

Buffers Network::buffers() {
  if (!buffer_) refuse("the network has no parameters bound");
  Buffers buffers{buffer_->data(), {nullptr, nullptr}};
  for (std::size_t i = 0; i < slots_.size(); ++i) buffers.slots[i] = slots_[i]->data();
  return buffers;
}

Session& Network::training_session(Index batch_size) {
  if (!training_session_ || training_batch_ != batch_size) {
    training_session_.reset();
    training_session_ = backend().prepare({&plan(), buffers(), batch_size});
    training_batch_ = batch_size;
  }
  return *training_session_;
}

std::unique_ptr<Session> Network::borrow_session() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!idle_.empty()) {
      std::unique_ptr<Session> session = std::move(idle_.back());
      idle_.pop_back();
      return session;
    }
  }
  return backend().prepare({&*plan_, buffers(), 0});
}

void Network::give_back(std::unique_ptr<Session> session) {
  const std::lock_guard<std::mutex> lock(mutex_);
  idle_.push_back(std::move(session));
}

}  // namespace fastnn
