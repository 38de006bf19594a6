#include "core/updates.h"

#include <algorithm>

namespace fastnn {

std::vector<bool> parameters_of_one_dense_node(const Plan& plan) {
  std::vector<int> uses(plan.parameters.size());
  std::vector<bool> found(plan.parameters.size());
  for (const Node& node : plan.nodes) {
    for (const int p : node.parameters) {
      if (p == none) continue;
      ++uses[static_cast<std::size_t>(p)];
      found[static_cast<std::size_t>(p)] = node.kind == NodeKind::dense;
    }
  }
  for (std::size_t p = 0; p < found.size(); ++p) {
    found[p] = found[p] && uses[p] == 1 && plan.parameters[p].trainable;
  }
  return found;
}

template <class T>
Updates<T>::Updates(const Machine& machine, Memory& memory, const Plan& plan,
                    const Buffers& buffers)
    : machine_(machine), plan_(plan), parameters_(static_cast<T*>(buffers.parameters)) {
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i] = static_cast<T*>(buffers.slots[i]);
  if (plan.loss.by_batch_weight) batch_factor_ = memory.take<double>(1);
  if (plan.update.global_clip_norm > 0) {
    each_run([&](Index begin, Index end, int group) { ranges_.push_back({begin, end, group}); });
  } else if (plan.update.clip_norm > 0) {
    for (const Parameter& p : plan.parameters) {
      if (p.trainable) ranges_.push_back({p.offset, p.offset + p.size(), p.group});
    }
  }
  if (ranges_.empty()) return;
  const auto count = static_cast<Index>(ranges_.size());
  squares_ = memory.take<double>(count * max_groups);
  factors_ = memory.take<double>(count);
}

template <class T>
OptimizerStep<T> Updates<T>::step(Index begin, Index end, int group, std::uint64_t updates,
                                  const OptimizerSettings& settings, const T* gradient) const {
  const Update& stage = plan_.update;
  const ParameterGroup& own = stage.groups[static_cast<std::size_t>(group)];
  OptimizerStep<T> step{.kind = stage.optimizer,
                        .n = end - begin,
                        .param = parameters_ + begin,
                        .grad = gradient,
                        .slots = {},
                        .settings = settings,
                        .step = updates + 1,
                        .group = group};
  step.settings.learning_rate *= own.rate;
  step.settings.weight_decay *= own.decay;
  const unsigned kept = portable::kept_slots(stage.optimizer, settings);
  for (int slot = 0; slot < rule_slots; ++slot) {
    T* const place = slots_[static_cast<std::size_t>(slot)];
    if ((kept >> static_cast<unsigned>(slot) & 1U) != 0) step.slots[slot] = place + begin;
  }
  if (stage.averages) step.slots[average_slot] = slots_[average_slot] + begin;
  step.extras.factor = batch_factor_;
  step.extras.l1 = static_cast<T>(own.l1);
  step.extras.l2 = static_cast<T>(own.l2);
  step.extras.clip = static_cast<T>(stage.clip_value);
  // The first average is the weights themselves.
  step.extras.average_momentum = updates == 0 ? T(0) : static_cast<T>(stage.average_momentum);
  return step;
}

template <class T>
void Updates<T>::weigh_batch(const double* loss_sums, Index n, double expected) {
  if (batch_factor_ == nullptr) return;
  machine_.call<WeightFactor>(machine_.table->weight_factor,
                              {n, loss_sums, expected, batch_factor_});
}

// Leaves in factors_ what gradients are multiplied by, without waiting for it.
template <class T>
void Updates<T>::find_norms(const T* gradients) {
  const Update& stage = plan_.update;
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    const auto [begin, end, group] = ranges_[i];
    const OptimizerStep<T> like = step(begin, end, group, 0, {}, nullptr);
    double* const sums = squares_ + static_cast<Index>(i) * max_groups;
    machine_.call<SumOfSquares<T>>(kernels<T>(*machine_.table).sum_of_squares,
                                   {end - begin, gradients + begin, like.param, like.extras, sums});
    if (stage.global_clip_norm > 0) continue;
    machine_.call<NormFactor>(machine_.table->norm_factor,
                              {max_groups, sums, stage.clip_norm, factors_ + i});
  }
  if (stage.global_clip_norm > 0) {
    machine_.call<NormFactor>(machine_.table->norm_factor,
                              {static_cast<Index>(ranges_.size()) * max_groups, squares_,
                               stage.global_clip_norm, factors_});
  }
}

template <class T>
void Updates<T>::all(std::uint64_t updates, const OptimizerSettings& settings, const T* gradients,
                     Index pieces, Index stride) {
  const auto call = [&](Index begin, Index end, int group, const double* norm_factor) {
    OptimizerStep<T> one = step(begin, end, group, updates, settings, gradients + begin);
    one.pieces = pieces;
    one.piece_stride = stride;
    one.extras.norm_factor = norm_factor;
    machine_.call<OptimizerStep<T>>(kernels<T>(*machine_.table).optimizer_step, one);
  };
  if (ranges_.empty()) {
    each_run([&](Index begin, Index end, int group) { call(begin, end, group, nullptr); });
    return;
  }
  find_norms(gradients);
  const bool one_norm = plan_.update.global_clip_norm > 0;
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    call(ranges_[i].begin, ranges_[i].end, ranges_[i].group, factors_ + (one_norm ? 0 : i));
  }
}

template class Updates<float>;
template class Updates<double>;

}  // namespace fastnn
