#include "cuda/session_wide.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda/library.h"
#include "cuda/session_generic.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Dense nodes by the kernel table, and updates on a stream of their own.
class WideProducts final : public UpdatingProducts {
 public:
  explicit WideProducts(const ProductsRequest& request);

  void refresh() override {}
  void refresh_trainable() override {}
  void forward(std::size_t node, const DenseForward<float>& arguments) override;
  void backward(std::size_t node, int before, const DenseBackward<float>& arguments) override;
  void begin_step(const StepPlace& place, const OptimizerSettings& settings) override;
  void end_step() override;

 private:
  void update(std::size_t node);
  void step_over(int first, int last);
  Context& context() const { return *machine_.context; }
  Context& beside() const { return *beside_.context; }

  const Machine& machine_;
  const Plan& plan_;
  const Updates<float>& updates_;
  const float* gradients_;
  Machine beside_;  // where the optimizer steps
  OptimizerSettings settings_;
  bool stepped_ = false;  // in this step
};

WideProducts::WideProducts(const ProductsRequest& request)
    : machine_(request.machine),
      plan_(request.updates.plan),
      updates_(request.updates),
      gradients_(request.gradients),
      beside_(cuda_machine()) {}

void WideProducts::forward(std::size_t, const DenseForward<float>& arguments) {
  machine_.call<DenseForward<float>>(machine_.table->f32.dense_forward, arguments);
}

void WideProducts::backward(std::size_t node, int, const DenseBackward<float>& arguments) {
  machine_.call<DenseBackward<float>>(machine_.table->f32.dense_backward, arguments);
  update(node);
}

void WideProducts::begin_step(const StepPlace& place, const OptimizerSettings& settings) {
  settings_ = settings;
  stepped_ = false;
  cuda_library().set_step(&beside(), place);
}

// The node's backward pass is given to the machine: nothing behind that reads its weights,
// and the gradient of its bias came with its own pass or with that of the node above.
void WideProducts::update(std::size_t node) {
  const auto trained = [&](int p) { return p != none && plan_.parameters[at(p)].trainable; };
  const int kernel = plan_.nodes[node].kernel;
  const int bias = plan_.nodes[node].bias;
  if (!trained(kernel) && !trained(bias)) return;
  const CudaLibrary& library = cuda_library();
  machine_.must(library.wait_for(&beside(), library.stream(&context())));
  stepped_ = true;
  if (trained(kernel) && trained(bias) && bias == kernel + 1) {
    step_over(kernel, bias);
    return;
  }
  if (trained(kernel)) step_over(kernel, kernel);
  if (trained(bias)) step_over(bias, bias);
}

// From the first to the last of parameters that adjoin.
void WideProducts::step_over(int first, int last) {
  const Index begin = plan_.parameters[at(first)].offset;
  const Index end = plan_.parameters[at(last)].offset + plan_.parameters[at(last)].size();
  beside_.call<OptimizerStep<float>>(beside_.table->f32.optimizer_step,
                                     updates_.step(begin, end, 0, settings_, gradients_ + begin));
}

void WideProducts::end_step() {
  const CudaLibrary& library = cuda_library();
  // A stream that is not recorded yet cannot be waited for by one that is.
  if (stepped_) machine_.must(library.wait_for(&context(), library.stream(&beside())));
  library.set_step(&beside(), {});
}

}  // namespace

bool wide_pays(const Plan& plan, Index batch_size) {
  constexpr double enough = 2147483648.0;  // operations: a tenth of a millisecond or less
  return std::any_of(plan.parameters.begin(), plan.parameters.end(), [&](const Parameter& p) {
    return !p.vector &&
           2.0 * static_cast<double>(batch_size) * static_cast<double>(p.size()) >= enough;
  });
}

std::unique_ptr<Runner> make_wide(const Machine& machine, const SessionRequest& request) {
  return make_generic(machine, *request.plan, request.buffers, request.batch_size,
                      [](const ProductsRequest& wanted) -> std::unique_ptr<UpdatingProducts> {
                        return std::make_unique<WideProducts>(wanted);
                      });
}

}  // namespace fastnn
