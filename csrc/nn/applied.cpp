#include "nn/applied.h"

#include <algorithm>
#include <functional>
#include <new>
#include <span>
#include <utility>

#include "core/backend.h"
#include "core/check.h"
#include "core/machine.h"
#include "core/whole_steps.h"

namespace fastnn {

StepState::StepState(OptimizerKind optimizer, std::shared_ptr<ParameterBuffer> parameters,
                     Index offset, Index count, Index columns)
    : optimizer_(optimizer),
      parameters_(std::move(parameters)),
      offset_(offset),
      count_(count),
      columns_(columns) {
  const auto bytes = static_cast<std::size_t>(count * parameters_->element_size());
  for (int i = 0; i < portable::slot_count(optimizer); ++i) {
    slots_.emplace_back(allocate_zeroed(bytes));
    if (slots_.back() == nullptr) throw std::bad_alloc();
  }
}

void StepState::move(std::shared_ptr<ParameterBuffer> parameters, Index offset) {
  check(parameters->element() == element(), "parameters: expected numbers of the same type");
  parameters_ = std::move(parameters);
  offset_ = offset;
}

namespace {

template <class T>
void step(const Machine& machine, const AppliedGradient& given, OptimizerSettings settings) {
  StepState& state = *given.state;
  const WholeShape shape{state.count() / state.columns(), state.columns(), given.orthogonal};
  if (state.optimizer() == OptimizerKind::muon && !given.orthogonal) {
    settings.weight_decay = settings.own[portable::Muon::adam_weight_decay];
  }
  settings.learning_rate *= given.rate;
  settings.weight_decay *= given.decay;
  OptimizerStep<T> one{.kind = state.optimizer(),
                       .n = state.count(),
                       .param = static_cast<T*>(state.parameters().at(state.offset())),
                       .grad = static_cast<const T*>(given.gradient),
                       .slots = {},
                       .settings = settings,
                       .step = state.steps + 1};
  for (std::size_t i = 0; i < state.slot_count(); ++i)
    one.slots[i] = static_cast<T*>(state.slot(i));
  if (portable::steps_whole(state.optimizer())) {
    Memory memory(machine);
    WholeSteps<T>(machine, memory, std::span(&shape, 1)).step(one, shape);
  } else {
    machine.call<OptimizerStep<T>>(kernels<T>(*machine.table).optimizer_step, one);
  }
  ++state.steps;
  state.parameters().mark_changed();
}

}  // namespace

void apply_steps(std::span<const AppliedGradient> steps, const OptimizerSettings& settings,
                 const Poll& poll) {
  // In the order of addresses, so that two threads do not wait for each other.
  std::vector<ParameterBuffer*> buffers;
  for (const AppliedGradient& one : steps) buffers.push_back(&one.state->parameters());
  std::sort(buffers.begin(), buffers.end(), std::less<>());
  buffers.erase(std::unique(buffers.begin(), buffers.end()), buffers.end());
  std::vector<std::unique_ptr<Gate::Stepping>> held;
  for (ParameterBuffer* const buffer : buffers) {
    held.push_back(std::make_unique<Gate::Stepping>(buffer->gate(), poll));
  }
  for (ParameterBuffer* const buffer : buffers) buffer->to_write();
  const Machine& machine = backend().here();
  for (const AppliedGradient& one : steps) {
    if (one.state->element() == Element::f64) {
      step<double>(machine, one, settings);
    } else {
      step<float>(machine, one, settings);
    }
  }
}

}  // namespace fastnn
