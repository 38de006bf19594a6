#include "core/plan_bytes.h"

#include <type_traits>
#include <utility>
#include <vector>

namespace fastnn {
namespace {

// Puts values behind each other. Padding of structures is in none of them.
class Writer {
 public:
  template <class... Values>
  void put(const Values&... values) {
    (one(values), ...);
  }
  template <class T, class F>
  void each(const std::vector<T>& values, const F& f) {
    one(values.size());
    for (const T& value : values) f(value);
  }
  std::string taken() { return std::move(bytes_); }

 private:
  template <class T>
  void one(const T& value) {
    if constexpr (requires { value.has_value(); }) {
      one(value.has_value());
      if (value) one(*value);
    } else if constexpr (requires { value.size(); }) {
      each(value, [this](const auto& element) { this->one(element); });
    } else if constexpr (std::is_array_v<T>) {
      for (const auto& element : value) one(element);
    } else {
      static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
      bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    }
  }

  std::string bytes_;
};

void put(Writer& to, const Node& node) {
  to.put(node.kind, node.inputs, node.output, node.parameters, node.stream);
  to.put(node.activation.kind, node.activation.first, node.activation.second,
         node.activation.third);
  to.put(node.rate, node.noise, node.key, node.scale, node.offset, node.epsilon, node.length);
  to.put(node.momentum, node.groups, node.scaling, node.axes.sizes, node.axes.strides);
  to.put(node.counts, node.combination, node.first, node.bound);
  to.each(node.encodings, [&](const EncodedColumn& column) {
    to.put(column.kind, column.has_missing, column.source, column.output, column.levels,
           column.pieces, column.bins, column.edge, column.gap);
  });
}

void put(Writer& to, const Loss& loss) {
  to.put(loss.kind, loss.options, loss.by_element, loss.outputs_of_target, loss.ignores,
         loss.ignore_class, loss.column_weights, loss.by_batch_weight);
}

void put(Writer& to, const ParameterGroup& group) {
  const Constraint& constraint = group.constraint;
  to.put(group.rate, group.decay, group.l1, group.l2, group.orthogonal, constraint.kind,
         constraint.low, constraint.high, constraint.rate, constraint.over_rows,
         constraint.over_columns);
}

}  // namespace

PlanBytes bytes_of(const Plan& plan) {
  Writer layers;
  layers.put(plan.element, plan.input_scale, plan.input_offset, plan.logits, plan.output,
             plan.folded);
  layers.each(plan.tensors, [&](const TensorShape& tensor) { layers.put(tensor.width); });
  layers.each(plan.nodes, [&](const Node& node) { put(layers, node); });
  layers.each(plan.parameters, [&](const Parameter& one) {
    layers.put(one.offset, one.rows, one.columns, one.role, one.trainable, one.group, one.moves);
  });
  Writer loss;
  loss.put(plan.has_loss, plan.collects);
  put(loss, plan.loss);
  loss.each(plan.metrics, [&](const Metric& metric) {
    loss.put(metric.kind, metric.value, metric.classes, metric.top, metric.thresholds,
             metric.weighted, metric.tensor, metric.width);
    put(loss, metric.loss);
  });
  const Update& stage = plan.update;
  Writer update;
  update.put(stage.optimizer, stage.clip_value, stage.clip_norm, stage.global_clip_norm,
             stage.averages, stage.average_momentum, stage.overwrite, stage.initial_state,
             stage.accumulate);
  update.each(stage.groups, [&](const ParameterGroup& group) { put(update, group); });
  return {layers.taken(), loss.taken(), update.taken()};
}

}  // namespace fastnn
