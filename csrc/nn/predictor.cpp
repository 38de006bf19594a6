#include "nn/predictor.h"

#include <utility>

#include "core/backend.h"
#include "nn/checks.h"

namespace fastnn {
namespace {

// The work of one row, in multiply-adds: 2^17 of them take 2 to 10 us, whatever the processor.
Index work_of(const Plan& plan) {
  constexpr Index by_element = 8;  // check, conversion, or an activation
  Index work = by_element * plan.input_width();
  for (const Node& node : plan.nodes) {
    const Index i = plan.tensors[static_cast<std::size_t>(node.input())].width;
    const Index o = plan.tensors[static_cast<std::size_t>(node.output)].width;
    work += by_element * o + (node.kind == NodeKind::dense ? i * o : 0);
  }
  return work;
}

}  // namespace

Predictor::Predictor(Plan plan, const ParameterBuffer& parameters)
    : plan_(std::move(plan)),
      parameters_(parameters.size(), parameters.element()),
      quick_rows_((Index{1} << 17) / work_of(plan_)) {
  parameters_.write(0, parameters.data(), parameters.size());
}

void Predictor::predict(const Dataset& data, void* out, const Poll& poll) {
  check_input(plan_, data, poll);
  std::unique_ptr<Session> session = idle_.take();
  if (session == nullptr) {
    session = backend().prepare({&plan_, {parameters_.data(), {}}, 0});
  }
  predict_rows(*session, data, plan_.output_width() * parameters_.element_size(), out, poll);
  idle_.give(std::move(session));
}

}  // namespace fastnn
