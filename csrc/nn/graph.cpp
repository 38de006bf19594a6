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
  plan_.parameters.push_back({plan_.parameter_size, rows, columns, role, role != Role::statistic});
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

namespace {

bool is_of_rows(NodeKind kind) {
  return kind == NodeKind::softmax || kind == NodeKind::log_softmax;
}

// A node without inputs, of an elementwise activation or of one of rows.
Node activation_node(std::string_view name, const std::vector<double>& parameters) {
  Node node{.kind = NodeKind::softmax, .inputs = {}, .parameters = {}};
  if (name == "log_softmax") node.kind = NodeKind::log_softmax;
  if (name == "softmax" || name == "log_softmax") {
    check(parameters.empty(), "activation: ", name, " has no parameter, got ",
          parameters.empty() ? 0 : parameters[0]);
  } else {
    node.kind = NodeKind::activation;
    node.activation = activation_named(name, parameters);
  }
  return node;
}

}  // namespace

int Graph::dense(int input, Index units, std::string_view activation, bool use_bias,
                 const std::vector<double>& activation_parameters, std::optional<int> like) {
  check(units >= 1, "units: expected at least 1, got ", units);
  Node node{.kind = NodeKind::dense, .inputs = {check_tensor(input)}, .parameters = {}};
  const Node after = activation_node(activation, activation_parameters);
  const bool fused = after.kind == NodeKind::activation && after.activation.is_fused();
  if (fused) node.activation = after.activation;
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::dense, width(input), units);
  } else {
    node.parameters.push_back(add_parameter(width(input), units, Role::matrix));
    node.parameters.push_back(use_bias ? add_parameter(1, units, Role::vector) : none);
  }
  const int output = add_node(std::move(node), units);
  if (fused) return output;
  --layers_;  // the same layer
  const bool grouped = std::exchange(grouped_, false);
  const int result = this->activation(output, activation, activation_parameters);
  grouped_ = grouped;
  return result;
}

int Graph::grouped_dense(int input, Index groups, Index units, bool use_bias,
                         std::optional<int> like) {
  check(units >= 1, "units: expected at least 1, got ", units);
  const Index columns = width(input);
  check(groups >= 1 && columns % groups == 0, "groups: expected a divisor of ", columns,
        " columns, got ", groups);
  check(units < (Index{1} << 40) / groups, "units: expected fewer outputs, got ", units,
        " for each of ", groups, " groups");
  Node node{.kind = NodeKind::grouped_dense, .inputs = {check_tensor(input)}, .parameters = {}};
  node.groups = groups;
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::grouped_dense, columns, units);
  } else {
    node.parameters = {add_parameter(columns, units, Role::matrix),
                       use_bias ? add_parameter(1, groups * units, Role::vector) : none};
  }
  return add_node(std::move(node), groups * units);
}

// Those of the node of this kind in the layer that made `output`. The first that is there has the
// given shape.
std::vector<int> Graph::shared_parameters(int output, NodeKind kind, Index rows,
                                          Index columns) const {
  const Node* const last = maker(check_tensor(output));
  for (const Node& node : plan_.nodes) {
    if (last == nullptr || node.stream != last->stream || node.kind != kind) continue;
    for (const int p : node.parameters) {
      if (p == none) continue;
      const Parameter& parameter = plan_.parameters[at(p)];
      check(parameter.rows == rows && parameter.columns == columns,
            "like: expected parameters of shape (", rows, ", ", columns, "), got (", parameter.rows,
            ", ", parameter.columns, ")");
      break;
    }
    return node.parameters;
  }
  invalid("like: tensor ", output, " is no output of a node of this kind");
}

int Graph::activation(int input, std::string_view name, const std::vector<double>& parameters) {
  Node node = activation_node(name, parameters);
  node.inputs = {check_tensor(input)};
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

int Graph::noise(int input, NoiseKind kind, double amount, std::optional<std::uint64_t> key) {
  if (kind == NoiseKind::gaussian_noise) {
    check(amount >= 0 && amount - amount == 0,
          "stddev: expected a finite number of at least 0, got ", amount);
  } else {
    check(amount >= 0 && amount < 1, "rate: expected a number in [0, 1), got ", amount);
  }
  return add_node({.kind = NodeKind::noise,
                   .inputs = {check_tensor(input)},
                   .parameters = {},
                   .rate = amount,
                   .noise = kind,
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

void Graph::check_tensors(std::string_view what, const std::vector<int>& tensors) const {
  check(!tensors.empty(), what, ": expected at least one tensor, got none");
  for (const int tensor : tensors) check_tensor(tensor);
}

// "9, 12"
std::string Graph::widths(const std::vector<int>& tensors) const {
  std::string list;
  for (const int tensor : tensors) {
    if (!list.empty()) list += ", ";
    list += std::to_string(width(tensor));
  }
  return list;
}

// Widths of 0 are not known.
int Graph::combine(Combination combination, std::vector<int> inputs) {
  const char* const name = combination_names[static_cast<std::size_t>(combination)];
  check_tensors(name, inputs);
  check(inputs.size() <= most_operands, name, ": expected at most ", most_operands,
        " tensors, got ", inputs.size());
  check(combination != Combination::subtract || inputs.size() == 2, name,
        ": expected two tensors, got ", inputs.size());
  Index columns = 0;
  for (const int input : inputs) columns = std::max(columns, width(input));
  for (const int input : inputs) {
    check(width(input) <= 1 || width(input) == columns, name,
          ": expected equal widths, or some of 1, got ", widths(inputs));
  }
  const bool grouped = std::exchange(grouped_, true);
  empty_ = empty_ || !grouped;  // the nodes of this call are of one layer
  for (int& input : inputs) {
    if (width(input) == 1 && columns > 1) input = repeat(input, columns);
  }
  const int output = add_node({.kind = NodeKind::combine,
                               .inputs = std::move(inputs),
                               .parameters = {},
                               .combination = combination},
                              columns);
  grouped_ = grouped;
  return output;
}

int Graph::repeat(int input, Index times) {
  constexpr Index most = Index{1} << 56;
  check(times >= 1, "times: expected at least 1, got ", times);
  const Index columns = width(input);
  if (columns > most / times) throw std::bad_alloc();
  return add_node({.kind = NodeKind::repeat, .inputs = {input}, .parameters = {}}, columns * times);
}

int Graph::sum_pieces(int input, Index pieces) {
  check(pieces >= 1, "pieces: expected at least 1, got ", pieces);
  const Index columns = width(input);
  check(columns % pieces == 0, "pieces: expected a divisor of ", columns, " columns, got ", pieces);
  return add_node({.kind = NodeKind::sum_pieces, .inputs = {input}, .parameters = {}},
                  columns / pieces);
}

int Graph::concatenate(const std::vector<int>& inputs) {
  check_tensors("concatenate", inputs);
  constexpr Index most = Index{1} << 56;
  Index columns = 0;
  bool known = true;
  for (const int input : inputs) {
    known = known && width(input) > 0;
    if (width(input) > most - columns) throw std::bad_alloc();
    columns += width(input);
  }
  return add_node({.kind = NodeKind::concatenate, .inputs = inputs, .parameters = {}},
                  known ? columns : 0);
}

int Graph::slice(int input, Index first, Index width) {
  const Index columns = this->width(input);
  check(first >= 0, "first: expected at least 0, got ", first);
  check(width >= 1, "width: expected at least 1, got ", width);
  check(columns == 0 || (first < columns && width <= columns - first),
        "slice: expected columns of ", columns, ", got ", width, " from column ", first, " on");
  return add_node({.kind = NodeKind::slice, .inputs = {input}, .parameters = {}, .first = first},
                  width);
}

int Graph::permute(int input, const std::vector<Index>& shape, const std::vector<int>& order) {
  check(shape.size() == order.size() && shape.size() <= most_axes, "shape: expected at most ",
        most_axes, " axes and a place for each, got ", shape.size(), " and ", order.size());
  Node node{.kind = NodeKind::permute, .inputs = {check_tensor(input)}, .parameters = {}};
  std::vector<Index> strides(shape.size());
  Index columns = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    check(shape[axis] >= 1, "shape: expected sizes of at least 1, got ", shape[axis]);
    strides[axis] = columns;
    columns *= shape[axis];
  }
  check(width(input) == 0 || columns == width(input), "shape: expected ", width(input),
        " columns, got ", columns);
  std::fill_n(node.axes.sizes, most_axes, Index{1});
  std::fill_n(node.axes.strides, most_axes, Index{0});
  std::vector<bool> seen(shape.size());
  for (std::size_t axis = 0; axis < order.size(); ++axis) {
    const int from = order[axis];
    check(from >= 0 && at(from) < shape.size() && !seen[at(from)], "order: expected each of ",
          shape.size(), " axes once, got ", from);
    seen[at(from)] = true;
    node.axes.sizes[axis] = shape[at(from)];
    node.axes.strides[axis] = strides[at(from)];
  }
  return add_node(std::move(node), width(input));
}

int Graph::categories(int input, Index vocabulary, bool counts) {
  check(vocabulary >= 1, "vocabulary: expected at least 1, got ", vocabulary);
  return add_node({.kind = NodeKind::categories,
                   .inputs = {check_tensor(input)},
                   .parameters = {},
                   .counts = counts},
                  vocabulary);
}

int Graph::embedding(int input, Index vocabulary, Index dimension, std::optional<int> like) {
  check(vocabulary >= 1, "vocabulary: expected at least 1, got ", vocabulary);
  check(dimension >= 1, "dimension: expected at least 1, got ", dimension);
  const Index columns = width(input);
  Node node{.kind = NodeKind::embedding, .inputs = {check_tensor(input)}, .parameters = {}};
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::embedding, vocabulary, dimension);
  } else {
    node.parameters.push_back(add_parameter(vocabulary, dimension, Role::matrix));
  }
  return add_node(std::move(node), columns * dimension);
}

void Graph::set_trainable(const std::vector<bool>& flags) {
  check(flags.size() == plan_.parameters.size(), "flags: expected ", plan_.parameters.size(),
        " of them, got ", flags.size());
  for (std::size_t i = 0; i < flags.size(); ++i) {
    Parameter& parameter = plan_.parameters[i];
    parameter.moves = flags[i];
    parameter.trainable = flags[i] && parameter.role != Role::statistic;
  }
}

bool Graph::set_moving(const std::vector<bool>& flags) {
  check(flags.size() == plan_.parameters.size(), "flags: expected ", plan_.parameters.size(),
        " of them, got ", flags.size());
  bool changed = false;
  for (std::size_t i = 0; i < flags.size(); ++i) {
    Parameter& parameter = plan_.parameters[i];
    if (parameter.role != Role::statistic || parameter.moves == flags[i]) continue;
    parameter.moves = flags[i];
    changed = true;
  }
  return changed;
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

int Graph::maker_at(int tensor) const {
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    if (plan_.nodes[i].output == tensor) return static_cast<int>(i);
  }
  return none;
}

const Node* Graph::maker(int tensor) const {
  const int place = maker_at(tensor);
  return place == none ? nullptr : &plan_.nodes[at(place)];
}

int Graph::logits(int tensor) {
  const int place = maker_at(check_tensor(tensor));
  if (place == none) return none;
  Node& node = plan_.nodes[at(place)];
  if (node.kind == NodeKind::softmax) return node.input();
  if (!node.activation.is(ActivationKind::sigmoid)) return none;
  if (node.kind == NodeKind::activation) return node.input();
  if (node.kind != NodeKind::dense) return none;
  const int made = add_tensor(width(tensor));
  Node squash{.kind = NodeKind::activation,
              .inputs = {made},
              .output = tensor,
              .parameters = {},
              .stream = node.stream,
              .activation = node.activation};
  node.activation = {};
  node.output = made;
  plan_.nodes.insert(plan_.nodes.begin() + place + 1, std::move(squash));
  return made;
}

namespace {

bool has_activation(const Node& node) {
  return node.kind == NodeKind::dense || node.kind == NodeKind::activation || is_of_rows(node.kind);
}

std::string_view activation_of(const Node& node) {
  if (node.kind == NodeKind::softmax) return "softmax";
  if (node.kind == NodeKind::log_softmax) return "log_softmax";
  return activation_names[static_cast<std::size_t>(node.activation.kind)];
}

bool is_squashed(std::string_view activation) {
  return activation == "softmax" || activation == "sigmoid";
}

int number_of(const Node& node) { return static_cast<int>(node.stream); }

}  // namespace

// The activation below a node, where all that it is made of has one: the same, or softmax and
// sigmoid. Nodes in between that only drop or move numbers change nothing of that.
void Graph::look_below(const Node& node, End& end) const {
  std::vector<int> tensors(node.inputs.rbegin(), node.inputs.rend());
  std::vector<bool> seen(plan_.tensors.size());
  const Node* found = nullptr;
  while (!tensors.empty()) {
    const int tensor = tensors.back();
    tensors.pop_back();
    if (seen[at(tensor)]) continue;
    seen[at(tensor)] = true;
    const Node* const below = maker(tensor);
    if (below == nullptr) return;
    if (below->kind == NodeKind::dropout || below->kind == NodeKind::noise ||
        below->kind == NodeKind::concatenate || below->kind == NodeKind::slice ||
        below->kind == NodeKind::repeat) {
      tensors.insert(tensors.end(), below->inputs.rbegin(), below->inputs.rend());
      continue;
    }
    if (!has_activation(*below)) return;
    if (found == nullptr) found = below;
    const std::string_view one = activation_of(*found);
    const std::string_view other = activation_of(*below);
    if (one != other && !(is_squashed(one) && is_squashed(other))) return;
  }
  if (found == nullptr) return;
  end.below = activation_of(*found);
  end.below_layer = number_of(*found);
}

// Follows the graph back from its output until a layer has outputs of its own.
End Graph::end() const {
  End end;
  const Node* node = maker(plan_.output);
  const auto changes = [](const Node& behind) {
    return behind.kind == NodeKind::dropout || behind.kind == NodeKind::noise ||
           behind.kind == NodeKind::affine;
  };
  while (node != nullptr && changes(*node)) {
    if (end.changed_by == none) end.changed_by = number_of(*node);
    node = maker(node->input());
  }
  if (node == nullptr) return end;
  end.layer = number_of(*node);
  if (has_activation(*node)) end.activation = activation_of(*node);  // else linear
  if (node->kind != NodeKind::dense) look_below(*node, end);
  return end;
}

}  // namespace fastnn
