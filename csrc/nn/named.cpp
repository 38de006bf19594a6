// What the columns of the input may hold: see nn/named.h.
#include "nn/named.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace fastnn {
namespace {

std::size_t at(Index index) { return static_cast<std::size_t>(index); }

using Columns =
    std::vector<Index>;  // of the input, for each of a tensor; none: it is no such column

// The place in x of column j of a permuted row.
Index permuted(const Axes& axes, Index j) {
  Index place = 0;
  for (int axis = most_axes - 1; axis >= 0; --axis) {
    place += j % axes.sizes[axis] * axes.strides[axis];
    j /= axes.sizes[axis];
  }
  return place;
}

Columns made_by(const Node& node, const std::vector<Columns>& known, Index width) {
  Columns made;
  const Columns& x = known[at(node.input())];
  switch (node.kind) {
    case NodeKind::slice:
      if (!x.empty()) made.assign(x.begin() + node.first, x.begin() + node.first + width);
      break;
    case NodeKind::concatenate:
      for (const int input : node.inputs) {
        const Columns& part = known[at(input)];
        if (part.empty()) return {};
        made.insert(made.end(), part.begin(), part.end());
      }
      break;
    case NodeKind::repeat:
      while (!x.empty() && static_cast<Index>(made.size()) < width) {
        made.insert(made.end(), x.begin(), x.end());
      }
      break;
    case NodeKind::permute:
      for (Index j = 0; !x.empty() && j < width; ++j) made.push_back(x[at(permuted(node.axes, j))]);
      break;
    default:
      break;
  }
  return made;
}

Columns all_columns(const Plan& plan) {
  Columns columns(at(plan.input_width()));
  std::iota(columns.begin(), columns.end(), Index{0});
  return columns;
}

bool has(const Plan& plan, NodeKind kind) {
  return std::any_of(plan.nodes.begin(), plan.nodes.end(),
                     [&](const Node& node) { return node.kind == kind; });
}

}  // namespace

std::vector<NamedColumn> named_columns(const Plan& plan) {
  std::vector<NamedColumn> found;
  if (plan.input_scale != 1 || plan.input_offset != 0) return found;
  const bool names = has(plan, NodeKind::embedding) || has(plan, NodeKind::categories) ||
                     has(plan, NodeKind::encode_columns);
  if (!names) return found;
  std::vector<Columns> known(plan.tensors.size());
  known.front() = all_columns(plan);
  for (const Node& node : plan.nodes) {
    const Columns& x = known[at(node.input())];
    const Index width = plan.tensors[at(node.output)].width;
    switch (node.kind) {
      case NodeKind::encode_columns:
        for (const EncodedColumn& one : node.encodings) {
          if (x.empty() || one.kind == ColumnKind::number) continue;
          found.push_back({x[at(one.source)], any_vocabulary});
        }
        break;
      case NodeKind::embedding:
        for (const Index column : x) {
          found.push_back({column, plan.parameters[at(node.parameters[0])].rows});
        }
        break;
      case NodeKind::categories:
        for (const Index column : x) found.push_back({column, width});
        break;
      default:
        known[at(node.output)] = made_by(node, known, width);
    }
  }
  return found;
}

std::vector<bool> columns_with_gaps(const Plan& plan) {
  if (!has(plan, NodeKind::encode_columns)) return {};
  std::vector<Columns> known(plan.tensors.size());
  known.front() = all_columns(plan);
  std::vector<bool> encoded(at(plan.input_width()));
  std::vector<bool> otherwise = encoded;
  const auto mark = [&](std::vector<bool>& marks, int tensor) {
    for (const Index column : known[at(tensor)]) marks[at(column)] = true;
  };
  for (const Node& node : plan.nodes) {
    if (node.kind == NodeKind::encode_columns) {
      mark(encoded, node.input());
      continue;
    }
    Columns& made = known[at(node.output)];
    made = made_by(node, known, plan.tensors[at(node.output)].width);
    if (!made.empty()) continue;
    for (const int input : node.inputs) mark(otherwise, input);
  }
  mark(otherwise, plan.output);
  for (std::size_t j = 0; j < encoded.size(); ++j) encoded[j] = encoded[j] && !otherwise[j];
  return encoded;
}

}  // namespace fastnn
