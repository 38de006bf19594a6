// The calls that build a graph, of a graph alone and of that of a network.
#include <pybind11/stl.h>

#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "bindings/network.h"
#include "nn/network.h"

namespace fastnn::bindings {

namespace {

// (activation, number of its layer or None, number of a layer that changes its outputs or None,
// activation below or None, number of its layer or None)
py::tuple end_of(const Graph& graph) {
  const End end = graph.end();
  const auto number = [](int layer) {
    return layer == none ? py::object(py::none()) : py::object(py::int_(layer));
  };
  const py::object below =
      end.below.empty() ? py::object(py::none()) : py::object(py::str(std::string(end.below)));
  return py::make_tuple(std::string(end.activation), number(end.layer), number(end.changed_by),
                        below, number(end.below_layer));
}

// The builder calls, of a graph alone and of that of a network.
template <class Owner>
void add_building(py::class_<Owner>& owner, Graph& (*graph_of)(Owner&)) {
  using namespace py::literals;
  owner.def(
      "dense",
      [graph_of](Owner& self, int input, Index units, const std::string& activation, bool use_bias,
                 const std::vector<double>& parameters, std::optional<int> like) {
        return graph_of(self).dense(input, units, activation, use_bias, parameters, like);
      },
      "input"_a, "units"_a, "activation"_a, py::kw_only(), "use_bias"_a = true,
      "activation_parameters"_a = py::tuple(), "like"_a = py::none());
  owner.def(
      "grouped_dense",
      [graph_of](Owner& self, int input, Index groups, Index units, bool use_bias,
                 std::optional<int> like) {
        return graph_of(self).grouped_dense(input, groups, units, use_bias, like);
      },
      "input"_a, "groups"_a, "units"_a, "use_bias"_a = true, py::kw_only(), "like"_a = py::none());
  owner.def(
      "activation",
      [graph_of](Owner& self, int input, const std::string& name,
                 const std::vector<double>& parameters) {
        return graph_of(self).activation(input, name, parameters);
      },
      "input"_a, "name"_a, "parameters"_a = py::tuple());
  owner.def(
      "dropout",
      [graph_of](Owner& self, int input, double rate, std::optional<std::uint64_t> key) {
        return graph_of(self).dropout(input, rate, key);
      },
      "input"_a, "rate"_a, "key"_a = py::none());
  for (std::size_t i = 0; i < std::size(noise_names); ++i) {
    const auto kind = static_cast<NoiseKind>(i);
    owner.def(
        noise_names[i],
        [graph_of, kind](Owner& self, int input, double amount, std::optional<std::uint64_t> key) {
          return graph_of(self).noise(input, kind, amount, key);
        },
        "input"_a, "amount"_a, "key"_a = py::none());
  }
  owner.def(
      "rescale",
      [graph_of](Owner& self, int input, double scale, double offset) {
        return graph_of(self).rescale(input, scale, offset);
      },
      "input"_a, "scale"_a, "offset"_a);
  for (std::size_t i = 0; i < std::size(combination_names); ++i) {
    const auto combination = static_cast<Combination>(i);
    owner.def(combination_names[i], [graph_of, combination](Owner& self, const py::args& tensors) {
      return graph_of(self).combine(combination, py::cast<std::vector<int>>(tensors));
    });
  }
  owner.def(
      "concatenate",
      [graph_of](Owner& self, const std::vector<int>& tensors) {
        return graph_of(self).concatenate(tensors);
      },
      "tensors"_a);
  owner.def(
      "logits",
      [graph_of](Owner& self, int tensor) -> std::optional<int> {
        const int made = graph_of(self).logits(tensor);
        return made == none ? std::nullopt : std::optional<int>(made);
      },
      "tensor"_a);
  owner.def(
      "slice",
      [graph_of](Owner& self, int input, Index first, Index width) {
        return graph_of(self).slice(input, first, width);
      },
      "input"_a, "first"_a, "width"_a);
  owner.def(
      "repeat",
      [graph_of](Owner& self, int input, Index times) {
        return graph_of(self).repeat(input, times);
      },
      "input"_a, "times"_a);
  owner.def(
      "sum_pieces",
      [graph_of](Owner& self, int input, Index pieces) {
        return graph_of(self).sum_pieces(input, pieces);
      },
      "input"_a, "pieces"_a);
  owner.def(
      "layer_normalization",
      [graph_of](Owner& self, int input, double epsilon, bool center, bool scale,
                 std::optional<int> like) {
        return graph_of(self).layer_normalization(input, epsilon, center, scale, like);
      },
      "input"_a, "epsilon"_a = 1e-3, "center"_a = true, "scale"_a = true, py::kw_only(),
      "like"_a = py::none());
  owner.def(
      "rms_normalization",
      [graph_of](Owner& self, int input, double epsilon, std::optional<int> like) {
        return graph_of(self).scale_rows(input, RowLength::root_mean_square, epsilon, true, like);
      },
      "input"_a, "epsilon"_a = 1e-6, py::kw_only(), "like"_a = py::none());
  owner.def(
      "unit_normalization",
      [graph_of](Owner& self, int input, double epsilon) {
        return graph_of(self).scale_rows(input, RowLength::norm, epsilon, false);
      },
      "input"_a, "epsilon"_a = 1e-12);
  owner.def(
      "group_normalization",
      [graph_of](Owner& self, int input, Index groups, double epsilon, bool center, bool scale,
                 std::optional<int> like) {
        return graph_of(self).group_normalization(input, groups, epsilon, center, scale, like);
      },
      "input"_a, "groups"_a, "epsilon"_a = 1e-3, "center"_a = true, "scale"_a = true, py::kw_only(),
      "like"_a = py::none());
  owner.def(
      "batch_normalization",
      [graph_of](Owner& self, int input, double momentum, double epsilon, bool center, bool scale,
                 std::optional<int> like) {
        return graph_of(self).batch_normalization(input, momentum, epsilon, center, scale, like);
      },
      "input"_a, "momentum"_a = 0.99, "epsilon"_a = 1e-3, "center"_a = true, "scale"_a = true,
      py::kw_only(), "like"_a = py::none());
  owner.def(
      "normalize",
      [graph_of](Owner& self, int input, double epsilon, bool inverts, std::optional<int> like) {
        return graph_of(self).normalize(input, epsilon, inverts, like);
      },
      "input"_a, "epsilon"_a = 1e-7, "inverts"_a = false, py::kw_only(), "like"_a = py::none());
  owner.def(
      "scale_columns",
      [graph_of](Owner& self, int input, bool bias, std::optional<int> like) {
        return graph_of(self).scale_columns(input, bias, like);
      },
      "input"_a, "bias"_a = false, py::kw_only(), "like"_a = py::none());
  owner.def(
      "permute",
      [graph_of](Owner& self, int input, const std::vector<Index>& shape,
                 const std::vector<int>& order) {
        return graph_of(self).permute(input, shape, order);
      },
      "input"_a, "shape"_a, "order"_a);
  owner.def(
      "categories",
      [graph_of](Owner& self, int input, Index vocabulary, bool counts) {
        return graph_of(self).categories(input, vocabulary, counts);
      },
      "input"_a, "vocabulary"_a, "counts"_a = false);
  owner.def(
      "embedding",
      [graph_of](Owner& self, int input, Index vocabulary, Index dimension,
                 std::optional<int> like) {
        return graph_of(self).embedding(input, vocabulary, dimension, like);
      },
      "input"_a, "vocabulary"_a, "dimension"_a, py::kw_only(), "like"_a = py::none());
  owner.def(
      "encode_columns",
      [graph_of](Owner& self, int input, const std::vector<Index>& levels,
                 const std::vector<bool>& missing, const std::vector<Index>& bins, double bound,
                 std::optional<int> like) {
        return graph_of(self).encode_columns(input, levels, missing, bins, bound, like);
      },
      "input"_a, "levels"_a, "missing"_a, "bins"_a, "bound"_a = 0.0, py::kw_only(),
      "like"_a = py::none());
  owner.def("begin_layer", [graph_of](Owner& self) { graph_of(self).begin_layer(); });
  owner.def_property_readonly("layer", [graph_of](Owner& self) -> std::optional<int> {
    const int layer = graph_of(self).layer();
    return layer == none ? std::nullopt : std::optional<int>(layer);
  });
  owner.def(
      "width", [graph_of](Owner& self, int tensor) { return graph_of(self).width(tensor); },
      "tensor"_a);
  owner.def_property_readonly("end", [graph_of](Owner& self) { return end_of(graph_of(self)); });
}

}  // namespace

void register_building(py::class_<Graph>& graph) {
  add_building<Graph>(graph, [](Graph& self) -> Graph& { return self; });
}

void register_building(py::class_<Network>& network) {
  add_building<Network>(network, [](Network& self) -> Graph& { return self.graph(); });
}

}  // namespace fastnn::bindings
