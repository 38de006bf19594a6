// The normalizations of a graph. Its other nodes are in graph.cpp.
#include <utility>

#include "core/check.h"
#include "nn/graph.h"

namespace fastnn {

int Graph::layer_normalization(int input, double epsilon, bool center, bool scale,
                               std::optional<int> like) {
  check(epsilon >= 0, "epsilon: expected at least 0, got ", epsilon);
  const Index columns = width(input);
  Node node{.kind = NodeKind::layer_norm, .inputs = {check_tensor(input)}, .parameters = {}};
  node.epsilon = epsilon;
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::layer_norm, 1, columns);
  } else {
    node.parameters.push_back(scale ? add_parameter(1, columns, Role::vector) : none);
    node.parameters.push_back(center ? add_parameter(1, columns, Role::vector) : none);
  }
  return add_node(std::move(node), columns);
}

int Graph::scale_rows(int input, RowLength length, double epsilon, bool scale,
                      std::optional<int> like) {
  check(epsilon >= 0, "epsilon: expected at least 0, got ", epsilon);
  const Index columns = width(input);
  Node node{.kind = NodeKind::scale_rows, .inputs = {check_tensor(input)}, .parameters = {}};
  node.epsilon = epsilon;
  node.length = length;
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::scale_rows, 1, columns);
  } else {
    node.parameters.push_back(scale ? add_parameter(1, columns, Role::vector) : none);
  }
  return add_node(std::move(node), columns);
}

int Graph::group_normalization(int input, Index groups, double epsilon, bool center, bool scale,
                               std::optional<int> like) {
  check(epsilon >= 0, "epsilon: expected at least 0, got ", epsilon);
  const Index columns = width(input);
  check(groups >= 1 && columns % groups == 0, "groups: expected a divisor of ", columns,
        " columns, got ", groups);
  const bool grouped = std::exchange(grouped_, true);
  empty_ = empty_ || !grouped;  // the nodes of this call are of one layer
  Node norm{.kind = NodeKind::layer_norm,
            .inputs = {check_tensor(input)},
            .parameters = {none, none},
            .epsilon = epsilon,
            .groups = groups};
  int output = add_node(std::move(norm), columns);
  if (center || scale) {
    Node node{.kind = NodeKind::normalize_columns, .inputs = {output}, .parameters = {}};
    if (like) {
      node.parameters = shared_parameters(*like, NodeKind::normalize_columns, 1, columns);
    } else {
      node.parameters = {none, none, scale ? add_parameter(1, columns, Role::vector) : none,
                         center ? add_parameter(1, columns, Role::vector) : none};
    }
    output = add_node(std::move(node), columns);
  }
  grouped_ = grouped;
  return output;
}

int Graph::batch_normalization(int input, double momentum, double epsilon, bool center, bool scale,
                               std::optional<int> like) {
  check(epsilon >= 0, "epsilon: expected at least 0, got ", epsilon);
  check(momentum >= 0 && momentum <= 1, "momentum: expected a number in [0, 1], got ", momentum);
  const Index columns = width(input);
  Node node{.kind = NodeKind::batch_norm, .inputs = {check_tensor(input)}, .parameters = {}};
  node.epsilon = epsilon;
  node.momentum = momentum;
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::batch_norm, 1, columns);
  } else {
    node.parameters.push_back(scale ? add_parameter(1, columns, Role::vector) : none);
    node.parameters.push_back(center ? add_parameter(1, columns, Role::vector) : none);
    for (int i = 0; i < 2; ++i) {
      node.parameters.push_back(add_parameter(1, columns, Role::statistic));
    }
  }
  return add_node(std::move(node), columns);
}

int Graph::normalize(int input, double epsilon, bool inverts, std::optional<int> like) {
  check(epsilon >= 0, "epsilon: expected at least 0, got ", epsilon);
  const Index columns = width(input);
  Node node{.kind = NodeKind::normalize_columns, .inputs = {check_tensor(input)}, .parameters = {}};
  node.epsilon = epsilon;
  node.scaling = inverts ? ColumnScaling::inverted : ColumnScaling::at_least_epsilon;
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::normalize_columns, 1, columns);
  } else {
    for (int i = 0; i < 2; ++i) {
      node.parameters.push_back(add_parameter(1, columns, Role::statistic));
    }
    node.parameters.insert(node.parameters.end(), {none, none});
  }
  return add_node(std::move(node), columns);
}

int Graph::scale_columns(int input, bool bias, std::optional<int> like) {
  const Index columns = width(input);
  Node node{.kind = NodeKind::normalize_columns, .inputs = {check_tensor(input)}, .parameters = {}};
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::normalize_columns, 1, columns);
  } else {
    node.parameters = {none, none, add_parameter(1, columns, Role::vector),
                       bias ? add_parameter(1, columns, Role::vector) : none};
  }
  return add_node(std::move(node), columns);
}

}  // namespace fastnn
