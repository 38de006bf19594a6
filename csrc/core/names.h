// Conversion of names to kinds: the one lookup in the lists of activations, losses, metrics and
// optimizers.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "core/activation.h"
#include "core/check.h"

namespace fastnn {

template <class Kind, std::size_t n>
Kind find_name(const char* what, const char* const (&names)[n], std::string_view name) {
  for (std::size_t i = 0; i < n; ++i) {
    if (name == names[i]) return static_cast<Kind>(i);
  }
  invalid(what, ": unknown name '", name, "'");
}

// An activation by name, with its parameter: the default, unless one is given.
inline Activation activation_named(std::string_view name, std::optional<double> parameter) {
  const auto kind = find_name<ActivationKind>("activation", activation_names, name);
  const ActivationParameter& known = portable::activation_parameters[static_cast<int>(kind)];
  if (!parameter) return {kind, known.initial};
  check(known.name != nullptr, "activation: ", name, " has no parameter, got ", *parameter);
  check(*parameter >= known.low && *parameter <= known.high, known.name, ": expected a number in [",
        known.low, ", ", known.high, "], got ", *parameter);
  return {kind, *parameter};
}

}  // namespace fastnn
