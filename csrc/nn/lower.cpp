#include "nn/lower.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/check.h"
#include "core/loss.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

bool reads(const Node& node, int tensor) {
  return std::find(node.inputs.begin(), node.inputs.end(), tensor) != node.inputs.end();
}

// A rescaling of the input that nothing else reads is left to the gather.
void fold_rescaling(Plan& plan) {
  const auto reads_input = [](const Node& node) { return reads(node, 0); };
  while (!plan.nodes.empty() && plan.nodes.front().kind == NodeKind::affine &&
         plan.nodes.front().input() == 0 &&
         std::count_if(plan.nodes.begin(), plan.nodes.end(), reads_input) == 1) {
    const Node folded = plan.nodes.front();
    plan.nodes.erase(plan.nodes.begin());
    plan.input_offset = folded.scale * plan.input_offset + folded.offset;
    plan.input_scale *= folded.scale;
    for (Node& node : plan.nodes) {
      std::replace(node.inputs.begin(), node.inputs.end(), folded.output, 0);
    }
    if (plan.output == folded.output) plan.output = 0;
  }
}

// Keeps only what the output is made of. Parameters of what is dropped stay as they are: no
// session, whichever way it walks, may decay them.
void drop_unused(Plan& plan) {
  std::vector<bool> used(plan.tensors.size());
  std::vector<bool> has_use(plan.parameters.size());
  used[at(plan.output)] = true;
  for (auto node = plan.nodes.rbegin(); node != plan.nodes.rend(); ++node) {
    if (!used[at(node->output)]) continue;
    for (const int input : node->inputs) used[at(input)] = true;
    for (const int p : node->parameters) {
      if (p != none) has_use[at(p)] = true;
    }
  }
  for (std::size_t p = 0; p < has_use.size(); ++p) {
    if (!has_use[p]) plan.parameters[p].trainable = false;
  }
  std::erase_if(plan.nodes, [&](const Node& node) { return !used[at(node.output)]; });
}

bool is_sigmoid(const Node& node) { return node.activation.is(ActivationKind::sigmoid); }

// Makes a softmax or sigmoid at the end a node of its own, so that there are logits.
void separate_head(Plan& plan) {
  plan.logits = plan.output;
  if (plan.nodes.empty() || plan.nodes.back().output != plan.output) return;
  if (plan.nodes.back().kind == NodeKind::dense && is_sigmoid(plan.nodes.back())) {
    Node& dense = plan.nodes.back();
    const int logits = static_cast<int>(plan.tensors.size());
    plan.tensors.push_back(plan.tensors[at(plan.output)]);
    dense.activation = {};
    dense.output = logits;
    plan.nodes.push_back({.kind = NodeKind::activation,
                          .inputs = {logits},
                          .output = plan.output,
                          .parameters = {},
                          .stream = dense.stream,
                          .activation = {ActivationKind::sigmoid}});
  }
  const Node& head = plan.nodes.back();
  if (head.kind == NodeKind::softmax || (head.kind == NodeKind::activation && is_sigmoid(head))) {
    plan.logits = head.input();
  }
}

bool ends_in_softmax(const Plan& plan) {
  return plan.logits != plan.output && plan.nodes.back().kind == NodeKind::softmax;
}

bool ends_in_sigmoid(const Plan& plan) {
  return plan.logits != plan.output && !ends_in_softmax(plan);
}

}  // namespace

Head head_of(const Plan& plan) {
  if (plan.logits == plan.output) return Head::none;
  return ends_in_softmax(plan) ? Head::softmax : Head::sigmoid;
}

namespace {

// Whether a loss is computed from the logits: its own head comes last or, if the loss that the
// network is trained with has the same head, a linear output is taken for logits.
bool looks_at_logits(const Plan& plan, LossKind kind) {
  const Head head = portable::head_of(kind);
  return head != Head::none && (head_of(plan) == head || portable::head_of(plan.loss.kind) == head);
}

// Whether an output is the logit of a probability of its own.
bool gives_logits(const Plan& plan) {
  const bool linear = plan.logits == plan.output;
  return ends_in_sigmoid(plan) || (linear && portable::head_of(plan.loss.kind) == Head::sigmoid);
}

double logit(double probability) { return std::log(probability / (1 - probability)); }

// The outputs that are positive, and the tensor that tells them.
void place_confusion(const Plan& plan, Metric& metric) {
  const Index outputs = plan.output_width();
  metric.classes =
      portable::targets_of(plan.loss.kind) == Targets::classes || ends_in_softmax(plan);
  check(metric.thresholds.size() % static_cast<std::size_t>(outputs) == 0,
        "metrics: thresholds: expected one for each of ", outputs, " outputs, got ",
        metric.thresholds.size());
  metric.top = std::min(metric.top, outputs);
  if (metric.thresholds.empty() && metric.top == 0) {
    if (metric.classes) metric.top = 1;
    if (!metric.classes) metric.thresholds.assign(static_cast<std::size_t>(outputs), metric.value);
  }
  if (metric.classes) {
    check(metric.thresholds.empty() || ends_in_softmax(plan),
          "metrics: thresholds of the probabilities of classes need a network that ends in "
          "softmax");
    // The order of the classes is that of the logits.
    if (metric.thresholds.empty()) metric.tensor = plan.logits;
  } else if (gives_logits(plan)) {
    metric.tensor = plan.logits;
    for (double& threshold : metric.thresholds) threshold = logit(threshold);
  }
}

// Which tensor a metric reads, and its value for that tensor.
Metric place_metric(const Plan& plan, Metric metric) {
  metric.tensor = plan.output;
  const bool of_losses = metric.kind == MetricKind::mean_of;
  check((of_losses ? metric.loss.outputs_of_target : 1) == plan.loss.outputs_of_target,
        "metrics: a metric has another number of outputs for each target than the loss");
  switch (metric.kind) {
    case MetricKind::mean_of: {
      const LossKind kind = metric.loss.kind;
      const auto name = [](auto word, const auto& names) {
        return names[static_cast<std::size_t>(word)];
      };
      if (portable::head_of(kind) == Head::none) break;
      check(looks_at_logits(plan, kind), "metrics: ", name(kind, loss_names),
            " needs a network that ends in ", name(portable::head_of(kind), head_names),
            ", or the loss of that name");
      metric.tensor = plan.logits;
      break;
    }
    case MetricKind::matches:
    case MetricKind::hits:
      // The order of the classes is that of the logits.
      if (ends_in_softmax(plan)) metric.tensor = plan.logits;
      break;
    case MetricKind::confusion:
      place_confusion(plan, metric);
      break;
    case MetricKind::sides:
    case MetricKind::exact:
      if (gives_logits(plan)) {
        metric.tensor = plan.logits;
        metric.value = logit(metric.value);
      }
      break;
    case MetricKind::moments:
      break;
  }
  const Index outputs = plan.output_width();
  metric.width = metric_width(metric.kind, outputs, metric.sets(outputs));
  return metric;
}

}  // namespace

void join_outputs(Plan& graph, const std::vector<Head>& ends) {
  if (ends.empty()) return;
  Node& last = graph.nodes.back();
  check(last.kind == NodeKind::concatenate && last.inputs.size() == ends.size(),
        "ends: expected one for each of the outputs that the last node joins, got ", ends.size());
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (ends[i] == Head::none) continue;
    const auto squashes = [&](const Node& node) {
      const bool right = ends[i] == Head::softmax
                             ? node.kind == NodeKind::softmax
                             : node.kind == NodeKind::activation && is_sigmoid(node);
      return right && node.input() == last.inputs[i];
    };
    const auto found = std::find_if(graph.nodes.begin(), graph.nodes.end(), squashes);
    check(found != graph.nodes.end(), "ends: output ", i, " does not end so");
    last.inputs[i] = found->output;
  }
}

Plan lower(const Plan& graph, const Compile* compile) {
  Plan plan = graph;
  drop_unused(plan);
  fold_rescaling(plan);
  separate_head(plan);
  if (compile == nullptr) return plan;
  plan.has_loss = true;
  plan.loss = compile->loss;
  plan.update = compile->update;
  plan.collects = compile->collects;
  const Head head = portable::head_of(plan.loss.kind);
  plan.folded = head != Head::none && head_of(plan) == head;
  for (const Metric& metric : compile->metrics) plan.metrics.push_back(place_metric(plan, metric));
  return plan;
}

}  // namespace fastnn
