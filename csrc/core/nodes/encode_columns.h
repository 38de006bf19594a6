// The arguments of an encoding of columns, for its own rule and for that of a dense node that
// encodes them itself.
#pragma once

#include "core/frame.h"

namespace fastnn {

template <class T>
EncodeColumns<T> encoding_of(const Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const int fill = node.parameters[0];
  return {frame.n,
          frame.width(node.input()),
          frame.width(node.output),
          static_cast<Index>(node.encodings.size()),
          fill == none ? 0 : frame.plan.parameters[frame.at(fill)].columns,
          static_cast<T>(node.bound),
          frame.value[frame.at(node.input())],
          frame.encodings[index],
          frame.parameter(fill),
          frame.parameter(node.parameters[1]),
          frame.parameter(node.parameters[2]),
          frame.parameter(node.parameters[3]),
          frame.value[frame.at(node.output)]};
}

}  // namespace fastnn
