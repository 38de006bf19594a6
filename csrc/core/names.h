// Conversion of names to kinds: the one lookup in the lists of activations, losses, metrics and
// optimizers.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/activation_rows.h"
#include "core/check.h"

namespace fastnn {

template <class Kind, std::size_t n>
Kind find_name(const char* what, const char* const (&names)[n], std::string_view name) {
  for (std::size_t i = 0; i < n; ++i) {
    if (name == names[i]) return static_cast<Kind>(i);
  }
  invalid(what, ": unknown name '", name, "'");
}

// An activation by name, with its parameters in the order of the row: the defaults, unless they are
// given.
inline Activation activation_named(std::string_view name, const std::vector<double>& parameters) {
  const auto kind = find_name<ActivationKind>("activation", activation_names, name);
  const portable::ActivationTraits& row = portable::traits_of({kind});
  const auto count = static_cast<std::size_t>(row.count);
  check(count > 0 || parameters.empty(), "activation: ", name, " has no parameter, got ",
        parameters.empty() ? 0 : parameters[0]);
  check(parameters.empty() || parameters.size() == count, "activation: ", name, " has ", count,
        " parameters, got ", parameters.size());
  double values[most_activation_parameters] = {};
  for (std::size_t i = 0; i < count; ++i) {
    const ActivationParameter& known = row.parameters[i];
    const double value = parameters.empty() ? known.initial : parameters[i];
    check(value >= known.low && value <= known.high, known.name, ": expected a number in [",
          known.low, ", ", known.high, "], got ", value);
    values[i] = value;
  }
  return {kind, values[0], values[1], values[2]};
}

}  // namespace fastnn
