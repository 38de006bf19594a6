// The update stage: the only way from gradients to new weights, for every session.
//
// Elementwise parts (groups, penalties, clipping by value, averages) ride in the optimizer's own
// loop, also where a kernel steps as soon as it has a gradient. What needs whole gradients
// (norms) is worked out before the first step. Whatever no kernel stepped is stepped at the end.
// Gradients of several batches are averaged before; after a step its average may take the place of
// the weights, and constraints are applied. Over ranks the gradients are sums of all ranks'
// (core/exchange.h), and every rank makes the same step.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/machine.h"
#include "core/session.h"
#include "core/whole_steps.h"

namespace fastnn {

// By parameter: whether it is trainable and one dense node alone makes its gradient, so that it
// may step as soon as that node's backward pass is done.
std::vector<bool> parameters_of_one_dense_node(const Plan& plan);

template <class T>
using Slots = std::array<T*, buffer_slots>;

template <class T>
class Updates {
 public:
  // What it refers to must outlive it.
  Updates(const Machine& machine, Memory& memory, const Plan& plan, const Buffers& buffers);

  // The step of parameters [begin, end), all of one group, after so many updates.
  OptimizerStep<T> step(Index begin, Index end, int group, std::uint64_t updates,
                        const OptimizerSettings& settings, const T* gradient) const;
  // The same, of one parameter.
  OptimizerStep<T> step(const Parameter& p, std::uint64_t updates,
                        const OptimizerSettings& settings, const T* gradient) const {
    return step(p.offset, p.offset + p.size(), p.group, updates, settings, gradient);
  }

  // Steps over all trainable parameters, whose gradients are laid out as these: the sum of so many
  // arrays, `stride` apart. Where gradients of several batches are averaged, those are counted as
  // updates, and the last of them makes the step.
  void all(std::uint64_t updates, const OptimizerSettings& settings, const T* gradients,
           Index pieces = 1, Index stride = 0);

  // Where gradients are to be divided by the weight of their batch: takes what the loss's kernel
  // left for n rows, of which `expected` is what they were divided by.
  void weigh_batch(const double* loss_sums, Index n, double expected);
  // Where the host knows that weight: what gradients are multiplied by, on a CPU.
  double* batch_factor() { return batch_factor_; }

  // Penalties of the weights as they are, times `scale` (see OptimizerSettings): whether there are
  // any; their sum; or the kernels alone, which leave `penalty_sums()` numbers to be added up.
  bool penalizes() const { return !penalized_.empty(); }
  double penalty(double scale = 1);
  const double* start_penalty(double scale = 1);
  // What a penalty is multiplied by in the sum of a batch's losses, whose weight this is; `divisor`
  // is what its gradient was divided by.
  double penalty_weight(const OptimizerSettings& settings, double weight, double divisor) const {
    return averages_batches(settings) ? divisor : weight;
  }
  // Whether the loss of an epoch is the mean of those of its batches by their rows, as scikit-learn
  // has it, and not of its rows by their weight: where a batch's weight divides its penalties, too.
  bool averages_batches(const OptimizerSettings& settings) const {
    return settings.weighs_penalties && batch_factor_ != nullptr;
  }
  Index penalty_sums() const { return static_cast<Index>(penalized_.size()) * max_groups; }

  // f(begin, end, group) for each run of neighbouring trainable parameters of
  // one group.
  template <class F>
  void each_run(const F& f) const {
    const auto& all = plan_.parameters;
    for (std::size_t i = 0; i < all.size();) {
      std::size_t end = i;
      while (end < all.size() && all[end].trainable == all[i].trainable &&
             all[end].group == all[i].group) {
        ++end;
      }
      if (all[i].trainable) {
        f(all[i].offset, end < all.size() ? all[end].offset : plan_.parameter_size, all[i].group);
      }
      i = end;
    }
  }

 private:
  const ParameterGroup& group_of(const Parameter& p) const {
    return plan_.update.groups[static_cast<std::size_t>(p.group)];
  }
  void find_penalties();
  void find_norms(const OptimizerSettings& settings, const T* gradients);
  const T* accumulated(std::uint64_t updates, const T* gradients);
  void step_whole(std::uint64_t updates, const OptimizerSettings& settings, const T* gradients);
  void overwrite(std::uint64_t updates);
  void constrain();

  const Machine& machine_;
  Memory& memory_;
  const Plan& plan_;
  T* parameters_;
  Slots<T> slots_;
  // Ranges whose norm is taken, each of one parameter or of a run of them.
  struct Range {
    Index begin, end;
    int group;
  };
  std::vector<Range> ranges_;
  double* squares_ = nullptr;  // (ranges, max_groups)
  double* factors_ = nullptr;  // (ranges), or one for all
  double* batch_factor_ = nullptr;
  std::vector<const Parameter*> penalized_;
  double* penalties_ = nullptr;                 // (penalized, max_groups)
  std::unique_ptr<WholeSteps<T>> whole_steps_;  // made when wanted
};

}  // namespace fastnn
