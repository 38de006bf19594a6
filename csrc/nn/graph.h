// The graph of a model as its layers are added: nodes, tensors, parameters, and where it ends.
//
// It may be built before the width of the input is known: then it has no sizes, and serves to ask
// how it ends. What it computes is in core/nodes; how it is trained is in network.h.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/plan.h"

namespace fastnn {

// The end of a graph as a loss sees it.
struct End {
  std::string_view activation = "linear";  // of the last layer that gives outputs of its own
  int layer = none;                        // the number of that layer
  int changed_by = none;                   // of a dropout, noise or rescaling behind it, the last
  std::string_view below;  // activation of the layer before it, unless it is a dense layer
  int below_layer = none;
};

class Graph {
 public:
  // `width` of an input row; 0: not known.
  Graph(Index width, Element element, std::uint64_t key);

  // Each takes tensors by number and returns the number of its output. Without begin_layer each
  // call adds a layer.
  // `like`: the output of another call of the same kind, whose parameters this one shares.
  int dense(int input, Index units, std::string_view activation, bool use_bias,
            const std::vector<double>& activation_parameters, std::optional<int> like = {});
  // Each of `groups` parts of a row with a kernel of its own, of so many units.
  int grouped_dense(int input, Index groups, Index units, bool use_bias,
                    std::optional<int> like = {});
  int activation(int input, std::string_view name, const std::vector<double>& parameters);
  // `key` of the layer's own random numbers; without one they come from the graph's.
  int dropout(int input, double rate, std::optional<std::uint64_t> key = {});
  // `amount`: the deviation of gaussian_noise, the rate of the others.
  int noise(int input, NoiseKind kind, double amount, std::optional<std::uint64_t> key = {});
  int rescale(int input, double scale, double offset);
  // Tensors of one width, element by element; those of width 1 are repeated.
  int combine(Combination combination, std::vector<int> inputs);
  int concatenate(const std::vector<int>& inputs);
  int slice(int input, Index first, Index width);
  int repeat(int input, Index times);
  // The sum of so many pieces of equal width, which make up the columns.
  int sum_pieces(int input, Index pieces);
  int layer_normalization(int input, double epsilon, bool center, bool scale,
                          std::optional<int> like = {});
  // Rows over their length; for the root mean square with a parameter that scales columns.
  int scale_rows(int input, RowLength length, double epsilon, bool scale,
                 std::optional<int> like = {});
  // Each of `groups` parts of a row for itself, then columns scaled.
  int group_normalization(int input, Index groups, double epsilon, bool center, bool scale,
                          std::optional<int> like = {});
  int batch_normalization(int input, double momentum, double epsilon, bool center, bool scale,
                          std::optional<int> like = {});
  // By a mean and a variance of each column, which are parameters; `inverts`: back from it.
  int normalize(int input, double epsilon, bool inverts, std::optional<int> like = {});
  // Columns times a parameter, with `bias` plus another.
  int scale_columns(int input, bool bias, std::optional<int> like = {});
  // The axes of rows of this shape in another order: axis i of the result is axis order[i].
  int permute(int input, const std::vector<Index>& shape, const std::vector<int>& order);
  // Which of the numbers below `vocabulary` the columns of a row hold, or how often.
  int categories(int input, Index vocabulary, bool counts);
  int embedding(int input, Index vocabulary, Index dimension, std::optional<int> like = {});
  // Columns of a table as inputs (core/encoding.h), with statistics fill, center, factor and edges,
  // of those that there are. By column: its number of levels, 0 for numbers; whether what is
  // missing has an output; for numbers, how many pieces.
  int encode_columns(int input, const std::vector<Index>& levels, const std::vector<bool>& missing,
                     const std::vector<Index>& bins, double bound, std::optional<int> like = {});

  // What a softmax or sigmoid made the tensor of; none: neither did. A dense node that ends in a
  // sigmoid becomes two nodes, so no parameters are shared with it after this.
  int logits(int tensor);

  // The nodes that are added from now on belong to one layer, which has a number if there are any:
  // how many layers with nodes came before it, and one. Random numbers count by it.
  void begin_layer();
  // The number of the layer that was begun, or of the last call; none: it has no node so far.
  int layer() const;

  Index width(int tensor) const { return plan_.tensors[at(check_tensor(tensor))].width; }
  void set_output(int tensor) { plan_.output = check_tensor(tensor); }
  void set_trainable(const std::vector<bool>& flags);
  // Whether passes in training move each statistic; of other parameters nothing changes. Returns
  // whether any changed.
  bool set_moving(const std::vector<bool>& flags);
  void set_groups(const std::vector<int>& groups);
  End end() const;

  // Without a loss, and with a node for each that was added.
  const Plan& plan() const { return plan_; }

 private:
  static std::size_t at(int index) { return static_cast<std::size_t>(index); }
  int add_tensor(Index width);
  int add_parameter(Index rows, Index columns, Role role);
  int add_node(Node node, Index width);
  int check_tensor(int tensor) const;
  void check_tensors(std::string_view what, const std::vector<int>& tensors) const;
  std::string widths(const std::vector<int>& tensors) const;
  int maker_at(int tensor) const;
  const Node* maker(int tensor) const;
  void look_below(const Node& node, End& end) const;
  std::vector<int> shared_parameters(int output, NodeKind kind, Index rows, Index columns) const;

  Plan plan_;
  int layers_ = 0;        // with nodes
  bool grouped_ = false;  // begin_layer was called: a layer lasts until the next call
  bool empty_ = true;     // the layer that was begun has no node so far
};

}  // namespace fastnn
