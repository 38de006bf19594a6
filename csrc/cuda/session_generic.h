// Steps as a graph: the walk over the nodes is recorded once and launched again and again.
//
// What differs from step to step lies in the device's memory (StepValues), losses and metrics
// are added up there, and a step whose loss is no number stops the rest (Progress): the host
// waits once a run.
#pragma once

#include <memory>

#include "cuda/runner.h"

namespace fastnn {

// Whether a plan can be trained so: in float, with no more metrics than Collect takes.
bool generic_serves(const Plan& plan);

// `buffers` are the device's. What it refers to must outlive it.
std::unique_ptr<Runner> make_generic(const Machine& machine, const Plan& plan,
                                     const Buffers& buffers, Index batch_size);

}  // namespace fastnn
