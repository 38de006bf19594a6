// Errors that print the offending values. For code that faces the user; kernels
// check nothing.
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

// A value that the caller gave cannot be meant: ValueError in Python.
template <class... Parts>
[[noreturn]] void invalid(const Parts&... parts) {
  throw std::invalid_argument(message(parts...));
}

template <class... Parts>
void check(bool holds, const Parts&... parts) {
  if (!holds) invalid(parts...);
}

// A call that cannot be made now: RuntimeError in Python.
template <class... Parts>
[[noreturn]] void refuse(const Parts&... parts) {
  throw std::runtime_error(message(parts...));
}

}  // namespace fastnn
