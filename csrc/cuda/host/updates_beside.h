// The optimizer's steps on a stream of their own, beside the backward pass of the layers below.
//
// They read and write memory while products keep the multipliers busy.
#pragma once

#include "core/machine.h"
#include "core/updates.h"
#include "cuda/abi.h"

namespace fastnn {

class UpdatesBeside {
 public:
  // What it refers to must outlive it; the gradients of all parameters are laid out as these.
  UpdatesBeside(const Machine& machine, const Updates<float>& updates, const float* gradients);

  void begin_step(const StepPlace& place, const OptimizerSettings& settings);
  // Of the parameters of a dense node, whose backward pass was given to the machine.
  void update(const Node& node);
  // What the machine is given from now on waits for all of them.
  void end_step();
  // Waits for them, whatever became of the step.
  void settle();

  // For what is to follow an update.
  const Machine& machine() const { return beside_; }

 private:
  bool trained(int parameter) const;
  void step_over(int first, int last);
  void wait(const Machine& waiting, const Machine& first) const;

  const Machine& machine_;
  const Updates<float>& updates_;
  const float* gradients_;
  Machine beside_;
  OptimizerSettings settings_;
  bool stepped_ = false;  // in this step
};

}  // namespace fastnn
