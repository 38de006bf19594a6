#include "core/updates.h"

#include <algorithm>
#include <numeric>

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

const char* Update::whole_for() const {
  if (clip_norm > 0 || global_clip_norm > 0) return "clipping by norm";
  if (accumulate > 1) return "gradient_accumulation_steps";
  if (overwrite > 0) return "ema_overwrite_frequency";
  if (portable::steps_whole(optimizer)) return "this optimizer";
  for (const ParameterGroup& group : groups) {
    if (group.constraint.kind != ConstraintKind::none) return "a constraint";
  }
  return nullptr;
}

bool Update::needs_host() const {
  return accumulate > 1 || overwrite > 0 || portable::steps_whole(optimizer);
}

template <class T>
Updates<T>::Updates(const Machine& machine, Memory& memory, const Plan& plan,
                    const Buffers& buffers)
    : machine_(machine),
      memory_(memory),
      plan_(plan),
      parameters_(static_cast<T*>(buffers.parameters)) {
  for (std::size_t i = 0; i < slots_.size(); ++i) slots_[i] = static_cast<T*>(buffers.slots[i]);
  find_penalties();
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
  const std::uint64_t steps = updates / stage.accumulate;
  OptimizerStep<T> step{.kind = stage.optimizer,
                        .n = end - begin,
                        .param = parameters_ + begin,
                        .grad = gradient,
                        .slots = {},
                        .settings = settings,
                        .step = steps + 1,
                        .group = group};
  step.settings.learning_rate *= own.rate;
  step.settings.weight_decay *= own.decay;
  const unsigned kept = portable::kept_slots(stage.optimizer, settings);
  for (int slot = 0; slot < rule_slots; ++slot) {
    T* const place = slots_[static_cast<std::size_t>(slot)];
    // Muon keeps the second moment of what is no matrix, and a direction has no
    // place of its own.
    const bool in_use =
        (kept >> static_cast<unsigned>(slot) & 1U) != 0 || stage.optimizer == OptimizerKind::muon;
    if (in_use && place != nullptr) step.slots[slot] = place + begin;
  }
  if (stage.averages) step.slots[average_slot] = slots_[average_slot] + begin;
  // Averaged gradients have it already.
  step.extras.factor = stage.accumulate > 1 ? nullptr : batch_factor_;
  step.extras.l1 = static_cast<T>(own.l1 * settings.penalties);
  step.extras.l2 = static_cast<T>(own.l2 * settings.penalties);
  if (settings.weighs_penalties) step.extras.penalty_factor = batch_factor_;
  step.extras.clip = static_cast<T>(stage.clip_value);
  // The first average is the weights themselves.
  step.extras.average_momentum = steps == 0 ? T(0) : static_cast<T>(stage.average_momentum);
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
void Updates<T>::find_norms(const OptimizerSettings& settings, const T* gradients) {
  const Update& stage = plan_.update;
  for (std::size_t i = 0; i < ranges_.size(); ++i) {
    const auto [begin, end, group] = ranges_[i];
    const OptimizerStep<T> like = step(begin, end, group, 0, settings, nullptr);
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
void Updates<T>::find_penalties() {
  for (const Parameter& p : plan_.parameters) {
    const ParameterGroup& group = group_of(p);
    if (p.trainable && p.size() > 0 && (group.l1 > 0 || group.l2 > 0)) penalized_.push_back(&p);
  }
  if (penalizes()) penalties_ = memory_.take<double>(penalty_sums());
}

template <class T>
const double* Updates<T>::start_penalty(double scale) {
  double* sums = penalties_;
  for (const Parameter* const p : penalized_) {
    const ParameterGroup& group = group_of(*p);
    machine_.call<Penalty<T>>(
        kernels<T>(*machine_.table).penalty,
        {p->size(), scale * group.l1, scale * group.l2, parameters_ + p->offset, sums});
    sums += max_groups;
  }
  return penalties_;
}

template <class T>
double Updates<T>::penalty(double scale) {
  if (!penalizes()) return 0;
  std::vector<double> sums(static_cast<std::size_t>(penalty_sums()));
  machine_.read(*machine_.context, sums.data(), start_penalty(scale), sums.size() * sizeof(double));
  return std::accumulate(sums.begin(), sums.end(), 0.0);
}

// The mean of the gradients of some batches, once the last of them is there,
// else null.
template <class T>
const T* Updates<T>::accumulated(std::uint64_t updates, const T* gradients) {
  const std::uint64_t every = plan_.update.accumulate;
  T* const sum = slots_[accumulator_slot];
  const T keep = updates % every == 0 ? T(0) : T(1);
  const auto share = static_cast<T>(1.0 / static_cast<double>(every));
  each_run([&](Index begin, Index end, int) {
    machine_.call<WeightedSum<T>>(
        kernels<T>(*machine_.table).weighted_sum,
        {end - begin, keep, share, batch_factor_, gradients + begin, sum + begin});
  });
  return (updates + 1) % every == 0 ? sum : nullptr;
}

template <class T>
void Updates<T>::step_whole(std::uint64_t updates, const OptimizerSettings& settings,
                            const T* gradients) {
  const Update& stage = plan_.update;
  const auto shape = [&](const Parameter& p) {
    return WholeShape{p.rows, p.columns, group_of(p).orthogonal};
  };
  if (whole_steps_ == nullptr) {
    std::vector<WholeShape> shapes;
    for (const Parameter& p : plan_.parameters) shapes.push_back(shape(p));
    whole_steps_ = std::make_unique<WholeSteps<T>>(machine_, memory_, shapes);
  }
  if (!ranges_.empty()) find_norms(settings, gradients);
  std::size_t trained = 0;
  for (const Parameter& p : plan_.parameters) {
    if (!p.trainable) continue;
    OptimizerStep<T> one = step(p, updates, settings, gradients + p.offset);
    if (!shape(p).orthogonal && stage.optimizer == OptimizerKind::muon) {
      one.settings.weight_decay =
          settings.own[portable::Muon::adam_weight_decay] * group_of(p).decay;
    }
    if (!ranges_.empty()) {
      one.extras.norm_factor = factors_ + (stage.global_clip_norm > 0 ? 0 : trained);
    }
    whole_steps_->step(one, shape(p));
    ++trained;
  }
}

// After every so many updates the weights are their average.
template <class T>
void Updates<T>::overwrite(std::uint64_t updates) {
  const Update& stage = plan_.update;
  const std::uint64_t made = updates / stage.accumulate + 1;
  if (stage.overwrite == 0 || made % stage.overwrite != 0) return;
  const T* const average = slots_[average_slot];
  each_run([&](Index begin, Index end, int) {
    machine_.call<WeightedSum<T>>(
        kernels<T>(*machine_.table).weighted_sum,
        {end - begin, T(0), T(1), nullptr, average + begin, parameters_ + begin});
  });
}

template <class T>
void Updates<T>::constrain() {
  for (const Parameter& p : plan_.parameters) {
    const Constraint& own = group_of(p).constraint;
    if (!p.trainable || own.kind == ConstraintKind::none) continue;
    Constrain<T> all{.kind = own.kind,
                     .count = 1,
                     .length = p.size(),
                     .step = 0,
                     .stride = 1,
                     .low = own.low,
                     .high = own.high,
                     .rate = own.rate,
                     .x = parameters_ + p.offset};
    if (!own.over_columns) {  // each column for itself
      all.count = p.columns;
      all.length = p.rows;
      all.step = 1;
      all.stride = p.columns;
    } else if (!own.over_rows) {  // each row
      all.count = p.rows;
      all.length = p.columns;
      all.step = p.columns;
    }
    machine_.call<Constrain<T>>(kernels<T>(*machine_.table).constrain, all);
  }
}

template <class T>
void Updates<T>::all(std::uint64_t updates, const OptimizerSettings& settings, const T* gradients,
                     Index pieces, Index stride) {
  const Update& stage = plan_.update;
  if (stage.accumulate > 1) {
    gradients = accumulated(updates, gradients);
    if (gradients == nullptr) return;
  }
  if (portable::steps_whole(stage.optimizer)) {
    step_whole(updates, settings, gradients);
    overwrite(updates);
    constrain();
    return;
  }
  const auto call = [&](Index begin, Index end, int group, const double* norm_factor) {
    OptimizerStep<T> one = step(begin, end, group, updates, settings, gradients + begin);
    one.pieces = pieces;
    one.piece_stride = stride;
    one.extras.norm_factor = norm_factor;
    machine_.call<OptimizerStep<T>>(kernels<T>(*machine_.table).optimizer_step, one);
  };
  if (ranges_.empty()) {
    each_run([&](Index begin, Index end, int group) { call(begin, end, group, nullptr); });
  } else {
    find_norms(settings, gradients);
    const bool one_norm = stage.global_clip_norm > 0;
    for (std::size_t i = 0; i < ranges_.size(); ++i) {
      call(ranges_[i].begin, ranges_[i].end, ranges_[i].group, factors_ + (one_norm ? 0 : i));
    }
  }
  overwrite(updates);
  constrain();
}

template class Updates<float>;
template class Updates<double>;

}  // namespace fastnn
