#include "nn/lower.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "core/check.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

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

// Only what the output is made of. Parameters of what is dropped stay as they are: no
// session, whichever way it walks, may decay them.
void drop_unused(Plan& plan) {
  std::vector<bool> used(plan.tensors.size());
  used[at(plan.output)] = true;
  for (auto node = plan.nodes.rbegin(); node != plan.nodes.rend(); ++node) {
    if (!used[at(node->output)]) continue;
    for (const int input : {node->input, node->input_b}) {
      if (input != none) used[at(input)] = true;
    }
  }
  for (const Node& node : plan.nodes) {
    if (used[at(node.output)]) continue;
    for (const int parameter : {node.kernel, node.bias}) {
      if (parameter != none) plan.parameters[at(parameter)].trainable = false;
    }
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
                          .input = logits,
                          .output = plan.output,
                          .activation = {ActivationKind::sigmoid}});
  }
  const Node& head = plan.nodes.back();
  if (head.kind == NodeKind::softmax || (head.kind == NodeKind::activation && is_sigmoid(head))) {
    plan.logits = head.input;
  }
}

bool ends_in_softmax(const Plan& plan) {
  return plan.logits != plan.output && plan.nodes.back().kind == NodeKind::softmax;
}

bool ends_in_sigmoid(const Plan& plan) {
  return plan.logits != plan.output && !ends_in_softmax(plan);
}

// The logits that a cross-entropy as a metric looks at: those below its own head
// or, where its own loss takes a linear output for logits, the output.
int logits_for(const Plan& plan, MetricKind kind) {
  const bool softmax = kind == MetricKind::softmax_cross_entropy;
  const LossKind own = softmax ? LossKind::softmax_cross_entropy : LossKind::sigmoid_cross_entropy;
  check((softmax ? ends_in_softmax(plan) : ends_in_sigmoid(plan)) || plan.loss.kind == own,
        "metrics: ", softmax ? "softmax" : "sigmoid",
        "_cross_entropy needs a network that ends in ", softmax ? "softmax" : "sigmoid",
        ", or the loss of that name");
  return plan.logits;
}

// Which tensor a metric looks at, and its value for that tensor.
Metric place_metric(const Plan& plan, const Compile::Metric& metric) {
  Metric placed{metric.kind, metric.value, metric.weighted, plan.output};
  switch (metric.kind) {
    case MetricKind::softmax_cross_entropy:
    case MetricKind::sigmoid_cross_entropy:
      placed.tensor = logits_for(plan, metric.kind);
      break;
    case MetricKind::sparse_categorical_accuracy:
    case MetricKind::categorical_accuracy:
    case MetricKind::top_k_categorical_accuracy:
      // The order of the classes is that of the logits.
      if (ends_in_softmax(plan)) placed.tensor = plan.logits;
      break;
    case MetricKind::binary_accuracy: {
      const bool linear = plan.logits == plan.output;
      if (ends_in_sigmoid(plan) || (linear && plan.loss.kind == LossKind::sigmoid_cross_entropy)) {
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

Plan lower(const Plan& graph, const Compile* compile) {
  Plan plan = graph;
  drop_unused(plan);
  fold_rescaling(plan);
  separate_head(plan);
  if (compile == nullptr) return plan;
  plan.has_loss = true;
  plan.loss = compile->loss;
  plan.optimizer = compile->optimizer;
  plan.folded = (ends_in_softmax(plan) && plan.loss.kind == LossKind::softmax_cross_entropy) ||
                (ends_in_sigmoid(plan) && plan.loss.kind == LossKind::sigmoid_cross_entropy);
  for (const Compile::Metric& metric : compile->metrics) {
    plan.metrics.push_back(place_metric(plan, metric));
  }
  return plan;
}

}  // namespace fastnn
