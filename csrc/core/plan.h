// A network as plain data: what to compute, with no word of how or on what.
//
// A graph of nodes over tensors; a chain is the usual case. Tensors hold one row
// of `width` numbers for each row of the batch; a session decides where they
// lie. Parameters are places in one buffer. Nodes stand in an order in which
// every input is made before it is used.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kernels.h"

namespace fastnn {

struct TensorShape {
  Index width;
};

// What a parameter is to the optimizer and to those that choose a session: a matrix goes into
// products, a vector (a bias, a scale) is added or multiplied by columns, and a statistic is a
// vector that no optimizer changes.
enum class Role : unsigned char { matrix, vector, statistic };
inline constexpr const char* role_names[] = {"matrix", "vector", "statistic"};

struct Parameter {
  Index offset;  // in the parameter buffer, in elements
  Index rows, columns;
  Role role;  // a vector has the shape (columns,), rows 1
  bool trainable;
  int group = 0;      // of Update::groups
  bool moves = true;  // a statistic: training changes it

  Index size() const { return rows * columns; }
};

// What parameters have to fulfil after each update; see Constrain.
struct Constraint {
  ConstraintKind kind = ConstraintKind::none;
  double low = 0, high = 0, rate = 1;
  bool over_rows = false, over_columns = false;  // what norms are summed over

  bool operator==(const Constraint&) const = default;
};

// How parameters of one group are updated differently from those of the others.
struct ParameterGroup {
  double rate = 1;          // the learning rate is multiplied by it
  double decay = 1;         // the weight decay
  double l1 = 0, l2 = 0;    // penalties: l1 sum(abs(p)) + l2 sum(p^2)
  bool orthogonal = false;  // Muon's own step, else that of Adam
  Constraint constraint;

  bool operator==(const ParameterGroup&) const = default;
};

// The update stage: everything between gradients and new weights.
struct Update {
  OptimizerKind optimizer = OptimizerKind::adam;
  std::vector<ParameterGroup> groups = std::vector<ParameterGroup>(1);
  double clip_value = 0;        // gradients are cut to [-clip_value, clip_value]; 0: not
  double clip_norm = 0;         // each parameter's gradient to this norm; 0: not
  double global_clip_norm = 0;  // all of them together to this norm; 0: not
  bool averages = false;        // an average of the weights is kept
  double average_momentum = 0.99;
  std::uint64_t overwrite = 0;   // updates after which the average becomes the weights; 0: never
  double initial_state = 0;      // of the optimizer's first slot
  std::uint64_t accumulate = 1;  // batches whose gradients are averaged for one update

  // What needs all gradients before a step changes any, and no steps beside the backward pass;
  // null: nothing does.
  const char* whole_for() const;
  bool needs_whole() const { return whole_for() != nullptr; }
  // Whether the host looks at each step, so that none can be recorded.
  bool needs_host() const;
  // Whether it is the optimizer's step and nothing else, the same for all parameters.
  bool is_plain() const {
    return groups.size() == 1 && groups.front() == ParameterGroup{} && clip_value == 0 &&
           !needs_whole() && !averages;
  }
};

// Kinds of nodes; the rule of each is in core/nodes.
#define FASTNN_NODES(use) \
  use(dense)              \
  use(grouped_dense)      \
  use(activation)         \
  use(softmax)            \
  use(log_softmax)        \
  use(dropout)            \
  use(noise)              \
  use(affine)             \
  use(combine)            \
  use(concatenate)        \
  use(repeat)             \
  use(sum_pieces)         \
  use(slice)              \
  use(layer_norm)         \
  use(scale_rows)         \
  use(normalize_columns)  \
  use(batch_norm)         \
  use(permute)            \
  use(categories)         \
  use(encode_columns)     \
  use(embedding)

enum class NodeKind : unsigned char {
#define FASTNN_USE(name) name,
  FASTNN_NODES(FASTNN_USE)
#undef FASTNN_USE
};

inline constexpr int none = -1;

struct Node {
  NodeKind kind;
  std::vector<int> inputs;  // tensors
  int output = none;
  std::vector<int> parameters;  // by number, in the order that the rule says; none: left out
  // The number of the layer that the node belongs to, from 1: random numbers count it.
  std::uint64_t stream = 0;
  Activation activation = {};  // dense, activation
  double rate = 0;             // dropout; noise: its amount
  NoiseKind noise = NoiseKind::gaussian_noise;
  // The key of the random numbers, where a dropout or noise has a seed of its own. Without one
  // the plan's key and the layer's number give them.
  std::optional<std::uint64_t> key = {};
  double scale = 1, offset = 0;        // affine
  double epsilon = 0;                  // the normalizations
  RowLength length = RowLength::norm;  // scale_rows
  double momentum = 0;                 // batch_norm
  Index groups = 1;                    // layer_norm, grouped_dense: parts of a row, each for itself
  ColumnScaling scaling = ColumnScaling::with_epsilon;  // normalize_columns
  Axes axes = {};                                       // permute
  bool counts = false;                                  // categories
  Combination combination = Combination::add;           // combine
  Index first = 0;                                      // slice: the first column
  double bound = 0;                                     // encode_columns: of numbers; 0: none
  std::vector<EncodedColumn> encodings = {};            // encode_columns

  int input() const { return inputs.front(); }
  // Attributes of dense nodes.
  int kernel() const { return parameters[0]; }
  int bias() const { return parameters[1]; }
};

struct Loss {
  LossKind kind = LossKind::mean_squared_error;
  double options[max_loss_options] = {};
  // Each element counts for itself, a missing target (NaN) not at all; else a row counts once.
  bool by_element = false;
  int outputs_of_target = 1;
  bool ignores = false;
  std::int32_t ignore_class = 0;
  std::vector<double> column_weights;  // one for each output, or empty
  // The gradient of a batch is divided by the weight that it has; else by its number of rows times
  // the mean weight of the data set, so that weights mean the same in batches of any size.
  bool by_batch_weight = false;
};

struct Metric {
  MetricKind kind = MetricKind::mean_of;
  double value = 0;      // threshold or k
  Loss loss;             // of mean_of
  bool classes = false;  // confusion: a row has one class
  Index top = 0;         // confusion: outputs of a row that may be positive; 0: all
  // confusion: sets of one threshold for each output, or empty
  std::vector<double> thresholds;
  bool weighted = false;
  int tensor = 0;   // what it reads: the logits or the output
  Index width = 2;  // numbers that it adds up

  Index sets(Index outputs) const {
    return thresholds.empty() ? 1 : static_cast<Index>(thresholds.size()) / outputs;
  }
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
  // on the logits, and the last node is run only where the output is wanted.
  int logits = 0;
  int output = 0;
  bool folded = false;
  bool has_loss = false;
  Loss loss;
  Update update;
  std::vector<Metric> metrics;
  bool collects = false;  // passes that ask for the logits of their rows have them on the host
  std::uint64_t key = 0;  // of the model's random numbers

  // f(kernel) for each matrix that goes into a product, once for each node.
  template <class F>
  void each_product(const F& f) const {
    for (const Node& node : nodes) {
      if (node.kind == NodeKind::dense) f(parameters[static_cast<std::size_t>(node.kernel())]);
    }
  }

  // Multiplications and additions of a training step: forward, back to the inputs and to the
  // kernels.
  double operations(Index batch_size) const {
    double total = 0;
    each_product([&](const Parameter& kernel) {
      total += 6.0 * static_cast<double>(kernel.size()) * static_cast<double>(batch_size);
    });
    return total;
  }

  Index input_width() const { return tensors.front().width; }
  Index output_width() const { return tensors[static_cast<std::size_t>(output)].width; }
  // The number of targets of a row, where there are no labels.
  Index target_width() const { return output_width() / (has_loss ? loss.outputs_of_target : 1); }
  int loss_input() const { return folded ? logits : output; }
  // Numbers that a pass adds up: the loss and its weight, then those of each metric.
  Index sums() const {
    Index total = 2;
    for (const Metric& metric : metrics) total += metric.width;
    return total;
  }
};

// Whether each output row depends on the input row of its number alone.
bool is_row_local(const Plan& plan);

// Whether a pass in training changes statistics.
inline bool has_moving_statistics(const Plan& plan) {
  for (const Node& node : plan.nodes) {
    if (node.kind != NodeKind::batch_norm) continue;
    if (plan.parameters[static_cast<std::size_t>(node.parameters[2])].moves) return true;
  }
  return false;
}

}  // namespace fastnn
