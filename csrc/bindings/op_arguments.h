// Checks of what ops are given: types, axes and shapes.
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "bindings/place.h"

namespace fastnn::bindings {

using Optional = std::optional<Array>;
using Weights = std::optional<py::array>;  // checked on the host, wherever the others lie

// f.operator()<float>() or <double>(), by the type of the array that leads.
template <class F>
auto with_type(const Array& leader, const F& f) {
  return leader.is_double() ? f.template operator()<double>() : f.template operator()<float>();
}

inline void check_axes(const Array& array, const char* name, py::ssize_t axes) {
  check(array.ndim() == axes, name, ": expected ", axes, " axes, got shape ", shape_of(array));
}

template <class A>
void check_shape(const A& array, const char* name, std::initializer_list<Index> shape) {
  bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t axis = 0;
  for (const Index length : shape) same = same && array.shape(axis++) == length;
  if (same) return;
  std::string text;
  for (const Index length : shape) text += (text.empty() ? "" : ", ") + std::to_string(length);
  invalid(name, ": expected shape (", text, shape.size() == 1 ? ",)" : ")", ", got ",
          shape_of(array));
}

inline void check_like(const Array& array, const char* name, const Array& other,
                       const char* other_name) {
  bool same = array.ndim() == other.ndim();
  for (py::ssize_t axis = 0; same && axis < array.ndim(); ++axis) {
    same = array.shape(axis) == other.shape(axis);
  }
  check(same, name, ": expected the shape of ", other_name, ", ", shape_of(other), ", got ",
        shape_of(array));
}

}  // namespace fastnn::bindings
