// A network as plain data: what to compute, with no word of how or on what.
//
// A graph of nodes over tensors; a chain is the usual case. Tensors hold one row
// of `width` numbers for each row of the batch; a session decides where they
// lie. Parameters are places in one buffer. Nodes stand in an order in which
// every input is made before it is used.
#pragma once

#include <cstdint>
#include <vector>

#include "core/kernels.h"

namespace fastnn {

struct TensorShape {
  Index width;
};

struct Parameter {
  Index offset;  // in the parameter buffer, in elements
  Index rows, columns;
  bool vector;  // a bias: shape (columns,), rows 1
  bool trainable;

  Index size() const { return rows * columns; }
};

enum class NodeKind : unsigned char { dense, activation, softmax, dropout, affine, add };

inline constexpr int none = -1;

struct Node {
  NodeKind kind;
  int input = none;
  int input_b = none;  // add
  int output = none;
  Activation activation = {};      // dense, activation
  int kernel = none, bias = none;  // dense: parameters
  double rate = 0;                 // dropout
  double scale = 1, offset = 0;    // affine
  std::uint64_t stream = 0;        // dropout: its random numbers
};

struct Loss {
  LossKind kind = LossKind::mean_squared_error;
  double label_smoothing = 0;
  bool ignores = false;
  std::int32_t ignore_class = 0;
  std::vector<double> pos_weight;  // one for each output, or empty
};

struct Metric {
  MetricKind kind;
  double value;
  bool weighted;
  int tensor;  // what it looks at: the logits or the output
};

struct Plan {
  Element element = Element::f32;    // of parameters and arithmetic: f32 or f64
  std::vector<TensorShape> tensors;  // the first is the input
  std::vector<Node> nodes;
  std::vector<Parameter> parameters;
  Index parameter_size = 0;
  // The gather's conversion: a rescaling that comes first is done there.
  double input_scale = 1, input_offset = 0;
  // Where the network ends in a softmax or sigmoid, that is the last node and
  // logits is its input; else logits is the output. With `folded` the loss works
  // on the logits, and the last node is run only for who wants the output.
  int logits = 0;
  int output = 0;
  bool folded = false;
  bool has_loss = false;
  Loss loss;
  OptimizerKind optimizer = OptimizerKind::adam;
  std::vector<Metric> metrics;
  std::uint64_t key = 0;  // of the model's random numbers

  Index input_width() const { return tensors.front().width; }
  Index output_width() const { return tensors[static_cast<std::size_t>(output)].width; }
  int loss_input() const { return folded ? logits : output; }
};

}  // namespace fastnn
