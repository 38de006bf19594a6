// What the files that bind the network share.
#pragma once

#include <string>
#include <vector>

#include "bindings/bindings.h"

namespace fastnn {
class Network;
}

namespace fastnn::bindings {

std::string name_of(Element element);  // "float32", "float64"
py::dtype dtype_of(Element element);
Element element_named(const std::string& dtype);

void register_parameters(py::module_& module);
void register_predictor(py::module_& module);

// A Predictor of the network as it is now. `convert` makes an array that native code can
// read of whatever else is given for x, or raises.
py::object make_predictor(Network& network, std::vector<py::ssize_t> input_shape,
                          std::vector<py::ssize_t> output_shape, py::object convert);

}  // namespace fastnn::bindings
