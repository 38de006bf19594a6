// Steps of single parameters as Python makes them: `optimizer.apply_gradients`.
#include "nn/applied.h"

#include <pybind11/stl.h>

#include <cstring>
#include <memory>
#include <string>
#include <tuple>
#include <vector>

#include "bindings/network.h"
#include "bindings/tables.h"
#include "bindings/unlocked.h"
#include "core/names.h"

namespace fastnn::bindings {

namespace {

void check_range(const ParameterBuffer& buffer, Index offset, Index count) {
  check(offset >= 0 && count >= 0 && count <= buffer.size() && offset <= buffer.size() - count,
        "offset: expected a range in [0, ", buffer.size(), "), got ", count, " from ", offset);
}

std::unique_ptr<StepState> make_state(const std::string& optimizer,
                                      std::shared_ptr<ParameterBuffer> parameters, Index offset,
                                      Index count, Index columns) {
  check_range(*parameters, offset, count);
  check(columns >= 1 && count % columns == 0, "columns: expected a divisor of ", count, ", got ",
        columns);
  return std::make_unique<StepState>(
      find_name<OptimizerKind>("optimizer", optimizer_names, optimizer), std::move(parameters),
      offset, count, columns);
}

const void* numbers_of(const StepState& state, const py::array& array, const char* name) {
  check(array.size() == state.count(), name, ": expected ", state.count(), " numbers, got shape ",
        shape_of(array));
  return state.element() == Element::f64 ? static_cast<const void*>(data_of<double>(array, name))
                                         : static_cast<const void*>(data_of<float>(array, name));
}

// In C order, copied if need be.
py::array laid_out(py::array array) {
  constexpr int aligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  constexpr int wanted = py::array::c_style | aligned;
  if ((array.flags() & wanted) == wanted) return array;
  return array.attr("copy")();
}

py::list slots_of(const StepState& state) {
  py::list slots;
  for (std::size_t i = 0; i < state.slot_count(); ++i) {
    // Without a base, NumPy copies.
    slots.append(
        py::array(dtype_of(state.element()), std::vector<Index>{state.count()}, state.slot(i)));
  }
  return slots;
}

void set_slots(StepState& state, const std::vector<py::array>& slots) {
  check(slots.size() == state.slot_count(), "slots: expected ", state.slot_count(), ", got ",
        slots.size());
  std::vector<const void*> values;
  values.reserve(slots.size());
  for (const py::array& slot : slots) values.push_back(numbers_of(state, slot, "slots"));
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::memcpy(state.slot(i), values[i], static_cast<std::size_t>(slots[i].nbytes()));
  }
}

void apply(const py::list& states, const py::list& gradients, const py::dict& given,
           const std::vector<std::tuple<double, double, bool>>& scales) {
  const std::size_t count = states.size();
  check(gradients.size() == count, "gradients: expected ", count, ", got ", gradients.size());
  check(scales.empty() || scales.size() == count, "scales: expected ", count, ", got ",
        scales.size());
  if (count == 0) return;
  std::vector<AppliedGradient> steps;
  steps.reserve(count);
  std::vector<py::array> kept;
  kept.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto* const state = states[i].cast<StepState*>();
    check(state != nullptr && (i == 0 || state->optimizer() == steps.front().state->optimizer()),
          "states: expected those of one optimizer");
    kept.push_back(laid_out(gradients[i].cast<py::array>()));
    steps.push_back({.state = state, .gradient = numbers_of(*state, kept.back(), "gradients")});
    if (!scales.empty()) {
      std::tie(steps.back().rate, steps.back().decay, steps.back().orthogonal) = scales[i];
    }
  }
  const OptimizerSettings settings = settings_of(steps.front().state->optimizer(), given);
  const Unlocked unlocked;
  apply_steps(steps, settings, poll_signals);
}

}  // namespace

void register_applied(py::module_& module) {
  using namespace py::literals;
  py::class_<StepState>(module, "StepState")
      .def(py::init(&make_state), "optimizer"_a, "parameters"_a, "offset"_a, "count"_a,
           "columns"_a = 1)
      .def_readwrite("steps", &StepState::steps)
      .def_property_readonly("slots", slots_of)
      .def("set_slots", set_slots, "slots"_a)
      .def(
          "move",
          [](StepState& self, std::shared_ptr<ParameterBuffer> parameters, Index offset) {
            check_range(*parameters, offset, self.count());
            self.move(std::move(parameters), offset);
          },
          "parameters"_a, "offset"_a);
  module.def("apply_steps", apply, "states"_a, "gradients"_a, "settings"_a,
             "scales"_a = std::vector<std::tuple<double, double, bool>>{});
}

}  // namespace fastnn::bindings
