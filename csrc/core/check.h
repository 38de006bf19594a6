// Errors that print the offending values, for code that faces the user. Kernels check nothing.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace fastnn {

template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

// The caller gave a wrong value: ValueError in Python.
template <class... Parts>
[[noreturn]] void invalid(const Parts&... parts) {
  throw std::invalid_argument(message(parts...));
}

template <class... Parts>
void check(bool holds, const Parts&... parts) {
  if (!holds) invalid(parts...);
}

// The call cannot be made in the present state: RuntimeError in Python.
template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  throw std::runtime_error(message(parts...));
}

}  // namespace fastnn
