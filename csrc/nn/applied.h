// Steps of single parameters by gradients that the caller has, for loops that Python writes.
//
// The state of a parameter (velocity, moments, the number of its steps) is an object of its own.
// Its steps are made in place, on the CPU, whatever buffer the parameter lies in.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/memory.h"
#include "core/optimizer.h"
#include "nn/gate.h"
#include "nn/parameters.h"

namespace fastnn {

class StepState {
 public:
  // The state of `count` elements from `offset` on, rows of so many columns: zeros, before the
  // first step. Throws bad_alloc.
  StepState(OptimizerKind optimizer, std::shared_ptr<ParameterBuffer> parameters, Index offset,
            Index count, Index columns);

  OptimizerKind optimizer() const { return optimizer_; }
  ParameterBuffer& parameters() const { return *parameters_; }
  Index offset() const { return offset_; }
  Index count() const { return count_; }
  Index columns() const { return columns_; }
  Element element() const { return parameters_->element(); }
  // The parameter lies elsewhere from now on; its numbers have the same type.
  void move(std::shared_ptr<ParameterBuffer> parameters, Index offset);

  std::size_t slot_count() const { return slots_.size(); }
  void* slot(std::size_t index) const { return slots_[index].get(); }

  std::uint64_t steps = 0;

 private:
  OptimizerKind optimizer_;
  std::shared_ptr<ParameterBuffer> parameters_;
  Index offset_, count_, columns_;
  std::vector<OwnedMemory> slots_;
};

struct AppliedGradient {
  StepState* state;
  const void* gradient;     // as many elements, of the same type
  double rate = 1;          // the learning rate is multiplied by it
  double decay = 1;         // the weight decay
  bool orthogonal = false;  // Muon's own step, else that of Adam
};

// A step of each parameter, in order; a parameter that is named twice makes two. No other thread
// reads or changes the parameters meanwhile: readers are waited for. Throws std::runtime_error
// before any step where a buffer is being trained.
void apply_steps(std::span<const AppliedGradient> steps, const OptimizerSettings& settings,
                 const Poll& poll);

}  // namespace fastnn
