// From the layers as they were added to the plan that a session runs.
#pragma once

#include <optional>
#include <vector>

#include "core/backend.h"

namespace fastnn {

// What a network is trained with.
struct Compile {
  Loss loss;
  Update update;
  std::vector<Metric> metrics;  // tensor and width are found out
  bool collects = false;        // see Plan
  SessionKind session = SessionKind::automatic;
  Precision precision = Precision::highest;
  std::optional<Device> device;  // none: of shape
};

// `graph` is a plan without a loss, its nodes one for each layer. Drops what the
// output is not made of, leaves a rescaling that comes first to the gather, makes
// a softmax or sigmoid at the end a node of its own and, with a loss that is
// its own, folds it. Throws where a metric cannot be had from this network.
Plan lower(const Plan& graph, const Compile* compile);

// The activation that ends the network; none: the outputs are the logits.
Head head_of(const Plan& plan);

// The last node of a plan without a loss may join the logits of several outputs. This lets it join
// the outputs themselves. `ends` has the activation after each, and `none` where what is joined is
// the output; it is empty where no output has an activation.
void join_outputs(Plan& graph, const std::vector<Head>& ends);

}  // namespace fastnn
