// Dropout. Its random numbers come from the model's key and the layer's number, or from its own
// key.
#include "core/nodes/rule.h"
#include "core/nodes/stream.h"

namespace fastnn {
namespace {

template <class T>
void run(Frame<T>& frame, const Node& node, const T* x, T* y) {
  const Index c = frame.width(node.input());
  each_stretch(frame, [&](Index row, Index first, Index n) {
    frame.template call<Dropout<T>>(
        frame.kernels.dropout, {stream_of(frame.plan, node), frame.pass.life, row, n, c, node.rate,
                                x + first * c, y + first * c});
  });
}

// At rest its output is its input, where that lies.
template <class T>
void forward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  const std::size_t output = frame.at(node.output);
  T* const x = frame.value[frame.at(node.input())];
  frame.value[output] = frame.pass.random ? frame.home[output] : x;
  if (frame.pass.random) run<T>(frame, node, x, frame.home[output]);
}

template <class T>
void backward(Frame<T>& frame, std::size_t index) {
  const Node& node = frame.node(index);
  T* const dx = frame.begin_gradient(node.input());
  if (dx == nullptr) return;
  const T* const dy = frame.gradient[frame.at(node.output)];
  if (frame.pass.random) {
    run<T>(frame, node, dy, dx);
  } else {
    frame.template call<Affine<T>>(frame.kernels.affine,
                                   {frame.n * frame.width(node.input()), T(1), T(0), dy, dx});
  }
  frame.end_gradient(node.input());
}

}  // namespace

template <class T>
NodeRule<T> dropout_rule() {
  return {true, keeps_nothing, forward<T>, backward<T>};
}

FASTNN_RULE(dropout_rule)

}  // namespace fastnn
