#include "nn/recorded.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/backend.h"
#include "core/check.h"
#include "core/walk.h"

namespace fastnn {

PassMemory::PassMemory(Plan plan, const char* head, const Recording& how,
                       std::shared_ptr<ParameterBuffer> parameters, Index rows)
    : plan_(std::move(plan)),
      head_(head),
      how_(how),
      parameters_(std::move(parameters)),
      rows_(rows) {}

bool PassMemory::serves(const Recording& how, Index rows) const {
  return how.logits == how_.logits && how.input_gradient == how_.input_gradient && rows <= rows_;
}

bool PassMemory::worth_keeping() const {
  constexpr Index most_bytes = Index{64} << 20U;
  Index widths = 0;
  for (const TensorShape& tensor : plan_.tensors) widths += tensor.width;
  const Index bytes = 2 * parameters_->element_size();  // a value and a gradient
  return rows_ <= most_bytes / std::max<Index>(widths * bytes, 1);
}

namespace {

template <class T>
class Typed final : public PassMemory {
 public:
  Typed(Plan plan, const char* head, const Recording& how,
        std::shared_ptr<ParameterBuffer> parameters, Index rows)
      : PassMemory(std::move(plan), head, how, std::move(parameters), rows),
        machine_(backend().make()),
        memory_(machine_),
        batch_(machine_, memory_, plan_, rows),
        walk_(machine_, memory_, plan_, static_cast<T*>(this->parameters().data()), rows) {
    walk_.allocate_gradients(how.input_gradient);
  }

  void forward(const Dataset& data, const Pass& pass) override {
    n_ = data.count;
    pass_ = pass;
    batch_.choose(data, nullptr, 0, n_);
    walk_.gather(batch_, data, 0, n_);
    walk_.forward(pass_, n_, true);
  }

  const void* outputs() const override { return walk_.output(); }

  void pull(const void* dy, void* dx, void* dparameters) override {
    auto* const first = static_cast<T*>(dparameters);
    ParameterGradients<T> gradients;
    for (const Parameter& parameter : plan_.parameters) {
      gradients.place.push_back(parameter.trainable ? first + parameter.offset : nullptr);
    }
    // Null: nothing that is wanted leads to the output.
    const bool goes_back = walk_.output_gradient() != nullptr && n_ > 0;
    if (goes_back) {
      std::memcpy(walk_.output_gradient(), dy,
                  static_cast<std::size_t>(n_ * plan_.output_width()) * sizeof(T));
      walk_.backward(pass_, n_, gradients);
    }
    for (std::size_t p = 0; p < plan_.parameters.size(); ++p) {
      if (goes_back && gradients.place[p] != nullptr && walk_.has_parameter_gradient(p)) continue;
      const Parameter& parameter = plan_.parameters[p];
      std::fill_n(first + parameter.offset, parameter.size(), T(0));
    }
    if (dx != nullptr) pull_input(static_cast<T*>(dx), goes_back);
  }

 private:
  void pull_input(T* dx, bool goes_back) const {
    const Index elements = n_ * plan_.input_width();
    const T* const inputs = goes_back ? walk_.input_gradient() : nullptr;
    if (inputs == nullptr) {  // nothing that has a gradient reads them
      std::fill_n(dx, elements, T(0));
      return;
    }
    // The gather rescales, and leaves the plan no node for it.
    for (Index i = 0; i < elements; ++i) dx[i] = static_cast<T>(plan_.input_scale) * inputs[i];
  }

  Machine machine_;
  Memory memory_;
  Index n_ = 0;
  Pass pass_;
  Batch<T> batch_;
  Walk<T> walk_;
};

}  // namespace

std::unique_ptr<PassMemory> PassMemory::make(Plan plan, const char* head, const Recording& how,
                                             std::shared_ptr<ParameterBuffer> parameters,
                                             Index rows) {
  const Index least = std::max<Index>(rows, 1);
  if (plan.element == Element::f64) {
    return std::make_unique<Typed<double>>(std::move(plan), head, how, std::move(parameters),
                                           least);
  }
  return std::make_unique<Typed<float>>(std::move(plan), head, how, std::move(parameters), least);
}

IdlePass::~IdlePass() { delete waiting_.load(); }

std::unique_ptr<PassMemory> IdlePass::take() {
  std::unique_ptr<PassMemory> memory(waiting_.exchange(nullptr));
  if (memory != nullptr && memory->generation != generation()) memory.reset();
  return memory;
}

void IdlePass::give(std::unique_ptr<PassMemory> memory) {
  if (memory->generation != generation() || !memory->worth_keeping()) return;
  // The last one waits: its size is likely to be that of the next pass.
  delete waiting_.exchange(memory.release());
}

void IdlePass::forget() {
  generation_.fetch_add(1);
  delete waiting_.exchange(nullptr);
}

Recorded::Recorded(std::shared_ptr<IdlePass> idle, std::unique_ptr<PassMemory> memory,
                   const Dataset& data, const Pass& pass)
    : idle_(std::move(idle)),
      memory_(std::move(memory)),
      rows_(data.count),
      version_(memory_->parameters().weights_version()) {
  memory_->forward(data, pass);
}

Recorded::~Recorded() { idle_->give(std::move(memory_)); }

void Recorded::check_unchanged() const {
  if (memory_->parameters().weights_version() == version_) return;
  refuse("gradient: the parameters were changed after they were used; take the gradient before ",
         "weights are changed");
}

void Recorded::pull(const void* dy, void* dx, void* dparameters) {
  const std::lock_guard lock(pulling_);
  const Gate::Reading reading(memory_->parameters().gate());
  check_unchanged();
  memory_->pull(dy, dx, dparameters);
  check_unchanged();  // `assign` in another thread does not wait
}

}  // namespace fastnn
