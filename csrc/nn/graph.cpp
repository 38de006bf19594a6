#include "nn/graph.h"

#include <algorithm>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/names.h"
#include "nn/parameters.h"

namespace fastnn {

Graph::Graph(Index width, Element element, std::uint64_t key) {
  check(width >= 0, "width: expected at least 1, got ", width);
  plan_.element = element;
  plan_.key = key;
  add_tensor(width);
}

int Graph::add_tensor(Index width) {
  plan_.tensors.push_back({width});
  return static_cast<int>(plan_.tensors.size()) - 1;
}

int Graph::add_parameter(Index rows, Index columns, Role role) {
  constexpr Index most = Index{1} << 56;
  if (rows > 0 && columns > most / rows) throw std::bad_alloc();
  const Index step = parameter_alignment / (plan_.element == Element::f64 ? 8 : 4);
  const Index size = (rows * columns + step - 1) / step * step;
  if (size > most - plan_.parameter_size) throw std::bad_alloc();
  plan_.parameters.push_back({plan_.parameter_size, rows, columns, role, true});
  plan_.parameter_size += size;
  return static_cast<int>(plan_.parameters.size()) - 1;
}

int Graph::add_node(Node node, Index width) {
  if (!grouped_ || empty_) ++layers_;
  empty_ = false;
  node.stream = static_cast<std::uint64_t>(layers_);
  node.output = add_tensor(width);
  const int output = node.output;
  plan_.nodes.push_back(std::move(node));
  return output;
}

void Graph::begin_layer() {
  grouped_ = true;
  empty_ = true;
}

int Graph::layer() const { return grouped_ && empty_ ? none : layers_; }

int Graph::check_tensor(int tensor) const {
  check(tensor >= 0 && at(tensor) < plan_.tensors.size(), "tensor: expected a number in [0, ",
        plan_.tensors.size(), "), got ", tensor);
  return tensor;
}

int Graph::dense(int input, Index units, std::string_view activation, bool use_bias,
                 std::optional<double> activation_parameter, std::optional<int> like) {
  check(units >= 1, "units: expected at least 1, got ", units);
  const bool softmax = activation == "softmax";
  Node node{.kind = NodeKind::dense, .inputs = {check_tensor(input)}, .parameters = {}};
  if (!softmax) node.activation = activation_named(activation, activation_parameter);
  if (like) {
    node.parameters = shared_parameters(*like, width(input), units);
  } else {
    node.parameters.push_back(add_parameter(width(input), units, Role::matrix));
    node.parameters.push_back(use_bias ? add_parameter(1, units, Role::vector) : none);
  }
  const int output = add_node(std::move(node), units);
  if (!softmax) return output;
  check(!activation_parameter, "activation: softmax has no parameter, got ",
        activation_parameter.value_or(0));
  --layers_;  // the same layer
  const bool grouped = std::exchange(grouped_, false);
  const int result = this->activation(output, "softmax", {});
  grouped_ = grouped;
  return result;
}

std::vector<int> Graph::shared_parameters(int output, Index inputs, Index units) const {
  for (const Node& node : plan_.nodes) {
    if (node.output != output || node.kind != NodeKind::dense) continue;
    const Parameter& kernel = plan_.parameters[at(node.kernel())];
    check(kernel.rows == inputs && kernel.columns == units, "like: expected a kernel of shape (",
          inputs, ", ", units, "), got (", kernel.rows, ", ", kernel.columns, ")");
    return node.parameters;
  }
  invalid("like: tensor ", output, " is no output of a dense node");
}

int Graph::activation(int input, std::string_view name, std::optional<double> parameter) {
  Node node{.kind = NodeKind::softmax, .inputs = {check_tensor(input)}, .parameters = {}};
  if (name == "softmax") {
    check(!parameter, "activation: softmax has no parameter, got ", parameter.value_or(0));
  } else {
    node.kind = NodeKind::activation;
    node.activation = activation_named(name, parameter);
  }
  return add_node(std::move(node), width(input));
}

int Graph::dropout(int input, double rate, std::optional<std::uint64_t> key) {
  check(rate >= 0 && rate < 1, "rate: expected a number in [0, 1), got ", rate);
  return add_node({.kind = NodeKind::dropout,
                   .inputs = {check_tensor(input)},
                   .parameters = {},
                   .rate = rate,
                   .key = key},
                  width(input));
}

int Graph::rescale(int input, double scale, double offset) {
  return add_node({.kind = NodeKind::affine,
                   .inputs = {check_tensor(input)},
                   .parameters = {},
                   .scale = scale,
                   .offset = offset},
                  width(input));
}

int Graph::add(int a, int b) {
  check(width(a) == width(b), "add: expected equal widths, got ", width(a), " and ", width(b));
  return add_node({.kind = NodeKind::add, .inputs = {a, b}, .parameters = {}}, width(a));
}

int Graph::layer_normalization(int input, double epsilon, bool center, bool scale) {
  check(epsilon >= 0, "epsilon: expected at least 0, got ", epsilon);
  const Index columns = width(input);
  const int gamma = scale ? add_parameter(1, columns, Role::vector) : none;
  const int beta = center ? add_parameter(1, columns, Role::vector) : none;
  return add_node({.kind = NodeKind::layer_norm,
                   .inputs = {check_tensor(input)},
                   .parameters = {gamma, beta},
                   .epsilon = epsilon},
                  columns);
}

int Graph::embedding(int input, Index vocabulary, Index dimension) {
  check(vocabulary >= 1, "vocabulary: expected at least 1, got ", vocabulary);
  check(dimension >= 1, "dimension: expected at least 1, got ", dimension);
  const Index columns = width(input);
  return add_node({.kind = NodeKind::embedding,
                   .inputs = {check_tensor(input)},
                   .parameters = {add_parameter(vocabulary, dimension, Role::matrix)}},
                  columns * dimension);
}

void Graph::set_trainable(const std::vector<bool>& flags) {
  check(flags.size() == plan_.parameters.size(), "flags: expected ", plan_.parameters.size(),
        " of them, got ", flags.size());
  for (std::size_t i = 0; i < flags.size(); ++i) plan_.parameters[i].trainable = flags[i];
}

void Graph::set_groups(const std::vector<int>& groups) {
  check(groups.size() == plan_.parameters.size(), "groups: expected ", plan_.parameters.size(),
        " numbers, got ", groups.size());
  for (const int group : groups) {
    check(group >= 0 && group < max_groups_of_parameters, "groups: expected numbers in [0, ",
          max_groups_of_parameters, "), got ", group);
  }
  for (std::size_t i = 0; i < groups.size(); ++i) plan_.parameters[i].group = groups[i];
}

// Follows the graph back from its output, as far as each node has one input, until a node gives its
// outputs an activation.
End Graph::end() const {
  const auto maker = [&](int tensor) -> const Node* {
    for (const Node& node : plan_.nodes) {
      if (node.output == tensor) return &node;
    }
    return nullptr;
  };
  const auto squash = [](const Node& node) -> std::string_view {
    if (node.kind == NodeKind::softmax) return "softmax";
    return activation_names[static_cast<std::size_t>(node.activation.kind)];
  };
  const auto number = [](const Node& node) { return static_cast<int>(node.stream); };
  End end;
  const Node* node = maker(plan_.output);
  for (; node != nullptr; node = maker(node->input())) {
    if (node->kind == NodeKind::dense || node->kind == NodeKind::activation ||
        node->kind == NodeKind::softmax) {
      end.activation = squash(*node);
      end.layer = number(*node);
      break;
    }
    if (node->kind != NodeKind::dropout && node->kind != NodeKind::affine) {
      end.layer = number(*node);  // its outputs are its own, and linear
      if (node->inputs.size() != 1) return end;
      break;
    }
    if (end.changed_by == none) end.changed_by = number(*node);
  }
  if (node == nullptr || node->kind == NodeKind::dense) return end;
  // Below an activation that stands alone, or a layer of another kind; dropout in between changes
  // nothing of that.
  for (node = maker(node->input()); node != nullptr; node = maker(node->input())) {
    if (node->kind == NodeKind::dropout) continue;
    if (node->kind == NodeKind::dense || node->kind == NodeKind::activation ||
        node->kind == NodeKind::softmax) {
      end.below = squash(*node);
      end.below_layer = number(*node);
    }
    break;
  }
  return end;
}

}  // namespace fastnn
