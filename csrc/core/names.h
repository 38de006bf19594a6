// Conversion of names to kinds: the one lookup in the lists of activations, losses, metrics and
// optimizers.
#pragma once

#include <cstddef>
#include <string_view>

#include "core/check.h"

namespace fastnn {

template <class Kind, std::size_t n>
Kind find_name(const char* what, const char* const (&names)[n], std::string_view name) {
  for (std::size_t i = 0; i < n; ++i) {
    if (name == names[i]) return static_cast<Kind>(i);
  }
  invalid(what, ": unknown name '", name, "'");
}

}  // namespace fastnn
