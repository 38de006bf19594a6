// Columns of a table encoded (core/encoding.h). Parameters: fill, center, factor and edges, each or
// none. x has no gradient. Where a dense node encodes the columns itself, this node has nothing to
// do.
#include "core/nodes/encode_columns.h"

#include "core/nodes/rule.h"

namespace fastnn {
namespace {

template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  if (frame.encodes_itself(frame.fusions.encoded_by[index])) return;
  frame.template call<EncodeColumns<T>>(frame.kernels.encode_columns, encoding_of(frame, index));
}

template <class T>
void backward(Frame<T>&, std::size_t) {}

}  // namespace

template <class T>
NodeRule<T> encode_columns_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(encode_columns_rule)

}  // namespace fastnn
