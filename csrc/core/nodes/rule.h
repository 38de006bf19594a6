// The rules of nodes: what each kind computes, forward and back, by kernels of the table.
//
// To add a kind: a file here with its rule, and its line in FASTNN_NODES (core/plan.h). A rule
// says whether it is row-local: whether an output row depends on the input row of its number
// alone. Only runs of row-local nodes may be cut into tiles of rows.
#pragma once

#include "core/frame.h"

namespace fastnn {

inline Index keeps_nothing(const Plan&, const Node&) { return 0; }

template <class T>
struct NodeRule {
  bool row_local;
  // Numbers of T that it keeps of each row from the forward pass for the backward pass.
  Index (*kept)(const Plan& plan, const Node& node);
  void (*forward)(Frame<T>& frame, std::size_t index);
  // From the gradient at its output, which is there, to those of its inputs and parameters.
  void (*backward)(Frame<T>& frame, std::size_t index);
  // Numbers of T that it keeps of all rows together.
  Index (*kept_of_all)(const Plan& plan, const Node& node) = keeps_nothing;
};

#define FASTNN_USE(name) \
  template <class T>     \
  NodeRule<T> name##_rule();
FASTNN_NODES(FASTNN_USE)
#undef FASTNN_USE

template <class T>
const NodeRule<T>& rule_of(NodeKind kind);

// Both element types of a rule, at the end of the file that defines it.
#define FASTNN_RULE(name)          \
  template NodeRule<float> name(); \
  template NodeRule<double> name();

}  // namespace fastnn
