#include "nn/recorded.h"

#include <cstring>
#include <utility>

#include "core/backend.h"
#include "core/walk.h"

namespace fastnn {

class Recorded::Pass_ {
 public:
  Pass_() = default;
  Pass_(const Pass_&) = delete;
  Pass_& operator=(const Pass_&) = delete;
  virtual ~Pass_() = default;
  virtual const void* outputs() const = 0;
  virtual void pull(const void* dy, void* dx, void* dparameters) = 0;
};

template <class T>
class Recorded::Typed final : public Recorded::Pass_ {
 public:
  Typed(const Plan& plan, T* parameters, const Dataset& data, const Pass& pass, bool input_gradient)
      : plan_(plan),
        machine_(backend().make()),
        memory_(machine_),
        n_(data.count),
        pass_(pass),
        batch_(machine_, memory_, plan, std::max<Index>(n_, 1)),
        walk_(machine_, memory_, plan, parameters, std::max<Index>(n_, 1)) {
    walk_.allocate_gradients(input_gradient);
    batch_.choose(data, nullptr, 0, n_);
    batch_.gather_input(machine_, data, 0, n_, walk_.input());
    walk_.forward(pass_, n_, true);
  }

  const void* outputs() const override { return walk_.output(); }

  void pull(const void* dy, void* dx, void* dparameters) override {
    const auto size = static_cast<std::size_t>(plan_.parameter_size) * sizeof(T);
    std::memset(dparameters, 0, size);
    ParameterGradients<T> gradients;
    for (const Parameter& parameter : plan_.parameters) {
      T* const place = static_cast<T*>(dparameters) + parameter.offset;
      gradients.place.push_back(parameter.trainable ? place : nullptr);
    }
    if (walk_.output_gradient() == nullptr) return;  // nothing that is wanted leads to the output
    std::memcpy(walk_.output_gradient(), dy,
                static_cast<std::size_t>(n_ * plan_.output_width()) * sizeof(T));
    walk_.backward(pass_, n_, gradients);
    if (dx == nullptr) return;
    const Index elements = n_ * plan_.input_width();
    auto* const out = static_cast<T*>(dx);
    const T* const inputs = walk_.input_gradient();
    if (inputs == nullptr) {  // nothing that has a gradient reads them
      std::memset(out, 0, static_cast<std::size_t>(elements) * sizeof(T));
      return;
    }
    // The gather rescales, and leaves the plan no node for it.
    for (Index i = 0; i < elements; ++i) out[i] = static_cast<T>(plan_.input_scale) * inputs[i];
  }

 private:
  const Plan& plan_;
  Machine machine_;
  Memory memory_;
  Index n_;
  Pass pass_;
  Batch<T> batch_;
  Walk<T> walk_;
};

Recorded::Recorded(Plan plan, const char* head, const ParameterBuffer& parameters,
                   const Dataset& data, const Pass& pass, bool input_gradient)
    : plan_(std::move(plan)),
      head_(head),
      input_gradient_(input_gradient),
      rows_(data.count),
      parameters_(parameters.size(), parameters.element()) {
  parameters_.write(0, parameters.data(), parameters.size());
  if (plan_.element == Element::f64) {
    pass_ = std::make_unique<Typed<double>>(plan_, static_cast<double*>(parameters_.data()), data,
                                            pass, input_gradient);
  } else {
    pass_ = std::make_unique<Typed<float>>(plan_, static_cast<float*>(parameters_.data()), data,
                                           pass, input_gradient);
  }
}

Recorded::~Recorded() = default;

const void* Recorded::outputs() const { return pass_->outputs(); }

void Recorded::pull(const void* dy, void* dx, void* dparameters) {
  const std::lock_guard lock(pulling_);
  pass_->pull(dy, dx, dparameters);
}

}  // namespace fastnn
