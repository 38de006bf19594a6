// Steps as a graph: the walk over the nodes is recorded once and launched again and again.
//
// What differs from step to step lies in the device's memory (StepValues), losses and metrics
// are added up there, and a step whose loss is no number stops the rest (Progress): the host
// waits once a run.
#pragma once

#include <functional>
#include <memory>

#include "core/updates.h"
#include "core/walk.h"
#include "cuda/abi.h"
#include "cuda/host/runner.h"

namespace fastnn {

// Products that also take the optimizer's steps, each as soon as its gradient is there.
class UpdatingProducts : public DenseProducts<float> {
 public:
  // Around each step: where its values are, and the form of the optimizer. All is done, or
  // waited for by the machine's context, where it ends.
  virtual void begin_step(const StepPlace& place, const OptimizerSettings& settings) = 0;
  virtual void end_step() = 0;
  // After an exception in between: until nothing of it is left to be done.
  virtual void settle() = 0;
};

// What they are made of: the parameters and where the walk puts the gradients of all.
struct ProductsRequest {
  const Machine& machine;
  Memory& memory;
  const Plan& plan;
  const void* parameters;
  const Updates<float>& updates;
  const float* gradients;
  Index batch_size;
};
using MakeUpdatingProducts =
    std::function<std::unique_ptr<UpdatingProducts>(const ProductsRequest&)>;

// Whether a plan can be trained so: in float, with no more metrics than Collect takes.
bool generic_serves(const Plan& plan);

// `buffers` are the device's. What it refers to must outlive it. Without `products` those of
// the kernel table, with one update at the end.
std::unique_ptr<Runner> make_generic(const Machine& machine, const Plan& plan,
                                     const Buffers& buffers, Index batch_size,
                                     const MakeUpdatingProducts& products = {});

}  // namespace fastnn
