#include "cuda/host/updates_beside.h"

#include <cstddef>
#include <vector>

#include "cuda/host/library.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

}  // namespace

UpdatesBeside::UpdatesBeside(const Machine& machine, const Updates<float>& updates,
                             const float* gradients)
    : machine_(machine), updates_(updates), gradients_(gradients), beside_(cuda_machine()) {}

bool UpdatesBeside::trained(int parameter) const {
  return parameter != none && updates_.plan.parameters[at(parameter)].trainable;
}

void UpdatesBeside::wait(const Machine& waiting, const Machine& first) const {
  const CudaLibrary& library = cuda_library();
  machine_.must(library.wait_for(waiting.context.get(), library.stream(first.context.get())));
}

void UpdatesBeside::begin_step(const StepPlace& place, const OptimizerSettings& settings) {
  settings_ = settings;
  stepped_ = false;
  cuda_library().set_step(beside_.context.get(), place);
}

// Nothing behind the node's backward pass reads its weights, and the gradient of its bias
// came with its own pass or with that of the node above.
void UpdatesBeside::update(const Node& node) {
  if (!trained(node.kernel) && !trained(node.bias)) return;
  wait(beside_, machine_);
  stepped_ = true;
  if (trained(node.kernel) && trained(node.bias) && node.bias == node.kernel + 1) {
    step_over(node.kernel, node.bias);
    return;
  }
  if (trained(node.kernel)) step_over(node.kernel, node.kernel);
  if (trained(node.bias)) step_over(node.bias, node.bias);
}

// From the first to the last of parameters that adjoin.
void UpdatesBeside::step_over(int first, int last) {
  const std::vector<Parameter>& all = updates_.plan.parameters;
  const Index begin = all[at(first)].offset;
  const Index end = all[at(last)].offset + all[at(last)].size();
  beside_.call<OptimizerStep<float>>(beside_.table->f32.optimizer_step,
                                     updates_.step(begin, end, 0, settings_, gradients_ + begin));
}

void UpdatesBeside::end_step() {
  // A stream that is not recorded yet cannot be waited for by one that is.
  if (stepped_) wait(machine_, beside_);
  cuda_library().set_step(beside_.context.get(), {});
}

void UpdatesBeside::settle() {
  const CudaLibrary& library = cuda_library();
  static_cast<void>(library.wait(beside_.context.get()));
  library.set_step(beside_.context.get(), {});
}

}  // namespace fastnn
