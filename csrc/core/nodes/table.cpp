// The rules by kind.
#include "core/nodes/rule.h"

namespace fastnn {

template <class T>
const NodeRule<T>& rule_of(NodeKind kind) {
  static const NodeRule<T> rules[] = {
#define FASTNN_USE(name) name##_rule<T>(),
      FASTNN_NODES(FASTNN_USE)
#undef FASTNN_USE
  };
  return rules[static_cast<std::size_t>(kind)];
}

template const NodeRule<float>& rule_of<float>(NodeKind);
template const NodeRule<double>& rule_of<double>(NodeKind);

bool is_row_local(const Plan& plan) {
  for (const Node& node : plan.nodes) {
    if (!rule_of<float>(node.kind).row_local) return false;
  }
  return true;
}

}  // namespace fastnn
