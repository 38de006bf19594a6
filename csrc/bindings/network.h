// What the files that bind the network share.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "bindings/bindings.h"

namespace fastnn {
class Graph;
class Network;
}  // namespace fastnn

namespace fastnn::bindings {

std::string name_of(Element element);  // "float32", "float64"
py::dtype dtype_of(Element element);
Element element_named(const std::string& dtype);
inline py::array_t<double> array_of(std::span<const double> sums) {
  return py::array_t<double>(static_cast<py::ssize_t>(sums.size()), sums.data());  // a copy
}

// Where a pass over so many rows may write its logits: an array (rows, outputs) of the type of the
// network. Null for None; ValueError for another array.
void* logits_of(Network& network, const std::optional<py::array>& array, Index rows);

void register_parameters(py::module_& module);
// The calls that build a graph.
void register_building(py::class_<Graph>& graph);
void register_building(py::class_<Network>& network);
// The steps of single parameters in loops that Python writes.
void register_applied(py::module_& module);
void register_predictor(py::module_& module);
// Methods of the network that begin one, and its class.
void register_run(py::module_& module, py::class_<Network>& network);
void register_recorded(py::module_& module, py::class_<Network>& network);
// The class of several runs whose steps are made side by side.
void register_lanes(py::module_& module);

// A Predictor of the network as it is now. `inputs`, `outputs`: (kind, names, shapes), as Structure
// has them; `ends`: names of the activations of Network::predictor. `convert` makes an array that
// native code can read of whatever else is given for x, or raises.
py::object make_predictor(Network& network, const py::tuple& inputs, const py::tuple& outputs,
                          const std::vector<std::string>& ends, py::object convert);

}  // namespace fastnn::bindings
