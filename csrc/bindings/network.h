// What the files that bind the network share.
#pragma once

#include <string>

#include "bindings/bindings.h"

namespace fastnn::bindings {

std::string name_of(Element element);  // "float32", "float64"
py::dtype dtype_of(Element element);
Element element_named(const std::string& dtype);

void register_parameters(py::module_& module);

}  // namespace fastnn::bindings
