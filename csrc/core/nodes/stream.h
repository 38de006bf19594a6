// The key of a node's random numbers.
#pragma once

#include "core/plan.h"
#include "core/random.h"

namespace fastnn {

inline std::uint64_t stream_of(const Plan& plan, const Node& node) {
  if (node.key) return portable::stream_key(*node.key, portable::seeded_dropout_stream);
  return portable::stream_key(plan.key, node.stream);
}

}  // namespace fastnn
