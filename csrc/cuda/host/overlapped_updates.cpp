#include "cuda/host/overlapped_updates.h"

#include <algorithm>
#include <cstddef>

#include "cuda/host/library.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

OverlappedUpdates::OverlappedUpdates(const Machine& machine, const Plan& plan,
                                     const Updates<float>& updates, const float* gradients)
    : machine_(machine),
      plan_(plan),
      updates_(updates),
      gradients_(gradients),
      beside_(cuda_machine()),
      early_(parameters_of_one_dense_node(plan)),
      stepped_(plan.parameters.size()) {}

bool OverlappedUpdates::steps_early(int parameter) const {
  return parameter != none && early_[at(parameter)];
}

void OverlappedUpdates::wait(const Machine& waiting, const Machine& first) const {
  const CudaLibrary& library = cuda_library();
  machine_.must(library.wait_for(waiting.context.get(), library.stream(first.context.get())));
}

void OverlappedUpdates::begin_step(const StepPlace& place, const OptimizerSettings& settings) {
  settings_ = settings;
  std::fill(stepped_.begin(), stepped_.end(), false);
  cuda_library().set_step(beside_.context.get(), place);
}

// Nothing behind the node's backward pass reads its weights, and the gradient of its bias
// came with its own pass or with that of the node above.
void OverlappedUpdates::update(const Node& node) {
  const bool kernel = steps_early(node.kernel());
  const bool bias = steps_early(node.bias());
  if (!kernel && !bias) return;
  wait(beside_, machine_);
  if (kernel && bias && node.bias() == node.kernel() + 1 &&
      plan_.parameters[at(node.kernel())].group == plan_.parameters[at(node.bias())].group) {
    step_over(node.kernel(), node.bias());
    return;
  }
  if (kernel) step_over(node.kernel(), node.kernel());
  if (bias) step_over(node.bias(), node.bias());
}

// From the first to the last of parameters that adjoin, all of one group.
void OverlappedUpdates::step_over(int first, int last) {
  const std::vector<Parameter>& all = plan_.parameters;
  const Index begin = all[at(first)].offset;
  const Index end = all[at(last)].offset + all[at(last)].size();
  beside_.call<OptimizerStep<float>>(
      beside_.table->f32.optimizer_step,
      updates_.step(begin, end, all[at(first)].group, 0, settings_, gradients_ + begin));
  for (int p = first; p <= last; ++p) stepped_[at(p)] = true;
}

void OverlappedUpdates::end_step() {
  const bool begun = std::find(stepped_.begin(), stepped_.end(), true) != stepped_.end();
  bool waited = false;
  for (std::size_t p = 0; p < plan_.parameters.size(); ++p) {
    if (!plan_.parameters[p].trainable || stepped_[p]) continue;
    if (!waited) wait(beside_, machine_);
    waited = true;
    step_over(static_cast<int>(p), static_cast<int>(p));
  }
  // A stream that is not recorded yet cannot be waited for by one that is.
  if (begun || waited) wait(machine_, beside_);
  cuda_library().set_step(beside_.context.get(), {});
}

void OverlappedUpdates::settle() {
  const CudaLibrary& library = cuda_library();
  static_cast<void>(library.wait(beside_.context.get()));
  library.set_step(beside_.context.get(), {});
}

}  // namespace fastnn
