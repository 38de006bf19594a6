// The key of a node's random numbers.
#pragma once

#include "core/frame.h"
#include "core/random.h"

namespace fastnn {

inline std::uint64_t stream_of(const Plan& plan, const Node& node) {
  if (node.key) return portable::stream_key(*node.key, portable::seeded_dropout_stream);
  return portable::stream_key(plan.key, node.stream);
}

// f(first_row, first, n) for rows first.. of a pass whose places in the batch follow on one
// another.
template <class T, class F>
void each_stretch(const Frame<T>& frame, const F& f) {
  const Index* const places = frame.pass.places;
  if (places == nullptr) {
    f(frame.pass.first_row, Index{0}, frame.n);
    return;
  }
  for (Index first = 0; first < frame.n;) {
    Index end = first + 1;
    while (end < frame.n && places[end] == places[end - 1] + 1) ++end;
    f(places[first], first, end - first);
    first = end;
  }
}

}  // namespace fastnn
