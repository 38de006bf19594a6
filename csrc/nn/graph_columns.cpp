// The call of Graph that adds an encoding of the columns of a table.
#include <utility>

#include "core/check.h"
#include "nn/graph.h"

namespace fastnn {
namespace {

void check_columns(Index columns, const std::vector<Index>& levels,
                   const std::vector<bool>& missing, const std::vector<Index>& bins) {
  const auto sizes = {levels.size(), missing.size(), bins.size()};
  for (const std::size_t size : sizes) {
    check(static_cast<Index>(size) == columns, "levels, missing, bins: expected ", columns,
          " of each, one for each column, got ", levels.size(), ", ", missing.size(), " and ",
          bins.size());
  }
  constexpr Index most = Index{1} << 40;
  for (std::size_t j = 0; j < levels.size(); ++j) {
    check(levels[j] >= 0 && levels[j] < most, "levels: expected at least 0, got ", levels[j],
          " of column ", j);
    check(bins[j] >= 0 && bins[j] < most, "bins: expected at least 0, got ", bins[j], " of column ",
          j);
    check(bins[j] == 0 || levels[j] == 0, "bins: column ", j, " is of categories, and has no bins");
  }
}

struct Layout {
  std::vector<EncodedColumn> columns;
  Index numbers = 0, edges = 0, width = 0;
};

// Outputs: numbers, pieces of numbers, gaps, categories; each in the order of columns.
Layout lay_out(const std::vector<Index>& levels, const std::vector<bool>& missing,
               const std::vector<Index>& bins) {
  Layout layout;
  std::vector<EncodedColumn>& columns = layout.columns;
  for (std::size_t j = 0; j < levels.size(); ++j) {
    if (levels[j] > 0) continue;
    columns.push_back({.kind = ColumnKind::number,
                       .has_missing = missing[j] ? 1 : 0,
                       .source = static_cast<Index>(j),
                       .output = layout.numbers++,
                       .levels = 0,
                       .pieces = 0,
                       .bins = bins[j],
                       .edge = layout.edges,
                       .gap = 0});
    layout.edges += bins[j] > 0 ? bins[j] + 1 : 0;
  }
  layout.width = layout.numbers;
  for (EncodedColumn& column : columns) {
    column.pieces = layout.width;
    layout.width += column.bins;
  }
  for (EncodedColumn& column : columns) {
    if (column.has_missing != 0) column.gap = layout.width++;
  }
  for (std::size_t j = 0; j < levels.size(); ++j) {
    if (levels[j] == 0) continue;
    const bool signs = levels[j] == 2 && !missing[j];
    columns.push_back({.kind = signs ? ColumnKind::signs : ColumnKind::categories,
                       .has_missing = missing[j] ? 1 : 0,
                       .source = static_cast<Index>(j),
                       .output = layout.width,
                       .levels = levels[j],
                       .pieces = 0,
                       .bins = 0,
                       .edge = 0,
                       .gap = 0});
    layout.width += signs ? 1 : levels[j] + (missing[j] ? 1 : 0);
  }
  return layout;
}

}  // namespace

int Graph::encode_columns(int input, const std::vector<Index>& levels,
                          const std::vector<bool>& missing, const std::vector<Index>& bins,
                          double bound, std::optional<int> like) {
  check(bound >= 0, "bound: expected at least 0, got ", bound);
  check_columns(width(input), levels, missing, bins);
  Layout layout = lay_out(levels, missing, bins);
  Node node{.kind = NodeKind::encode_columns, .inputs = {check_tensor(input)}, .parameters = {}};
  node.bound = bound;
  node.encodings = std::move(layout.columns);
  if (like) {
    node.parameters = shared_parameters(*like, NodeKind::encode_columns, 1, layout.numbers);
  } else {
    const auto statistic = [&](Index size) {
      return size > 0 ? add_parameter(1, size, Role::statistic) : none;
    };
    for (const Index size : {layout.numbers, layout.numbers, layout.numbers, layout.edges}) {
      node.parameters.push_back(statistic(size));
    }
  }
  return add_node(std::move(node), layout.width);
}

}  // namespace fastnn
