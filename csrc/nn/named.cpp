// Numbers of rows of a table among the columns of the input: see nn/named.h.
#include "nn/named.h"

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

}  // namespace

std::vector<NamedColumn> named_columns(const Plan& plan) {
  std::vector<NamedColumn> found;
  if (plan.input_scale != 1 || plan.input_offset != 0) return found;
  bool names = false;
  for (const Node& node : plan.nodes) {
    names = names || node.kind == NodeKind::embedding || node.kind == NodeKind::categories;
  }
  if (!names) return found;
  std::vector<Columns> known(plan.tensors.size());
  known.front().resize(at(plan.input_width()));
  std::iota(known.front().begin(), known.front().end(), Index{0});
  for (const Node& node : plan.nodes) {
    const Index width = plan.tensors[at(node.output)].width;
    if (node.kind != NodeKind::embedding && node.kind != NodeKind::categories) {
      known[at(node.output)] = made_by(node, known, width);
      continue;
    }
    const Index vocabulary =
        node.kind == NodeKind::categories ? width : plan.parameters[at(node.parameters[0])].rows;
    for (const Index column : known[at(node.input())]) found.push_back({column, vocabulary});
  }
  return found;
}

}  // namespace fastnn
