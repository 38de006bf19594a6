// The optimizer's steps on a stream of their own, while the backward pass of the layers below
// goes on: steps read and write memory while products keep the multipliers busy.
#pragma once

#include <vector>

#include "core/machine.h"
#include "core/updates.h"
#include "cuda/abi.h"

namespace fastnn {

class OverlappedUpdates {
 public:
  // What it refers to must outlive it; the gradients of all parameters are laid out as these.
  OverlappedUpdates(const Machine& machine, const Plan& plan, const Updates<float>& updates,
                    const float* gradients);

  void begin_step(const StepPlace& place, const OptimizerSettings& settings);
  // Steps over the parameters of a dense node, whose backward pass the machine has been given;
  // a parameter that other nodes use too waits for end_step.
  void update(const Node& node);
  // Steps over every trainable parameter that `update` did not. The machine's later work waits
  // for all steps.
  void end_step();
  // Waits for the steps, also after a failed one.
  void settle();

  // The machine of the steps, for work that follows an update.
  const Machine& machine() const { return beside_; }

 private:
  bool steps_early(int parameter) const;
  void step_over(int first, int last);
  void wait(const Machine& waiting, const Machine& first) const;

  const Machine& machine_;
  const Plan& plan_;
  const Updates<float>& updates_;
  const float* gradients_;
  Machine beside_;
  std::vector<bool> early_;    // by parameter: one dense node alone makes its gradient
  std::vector<bool> stepped_;  // by parameter, in this step
  OptimizerSettings settings_;
};

}  // namespace fastnn
