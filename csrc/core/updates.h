// The optimizer's steps over the parameters of a plan, for sessions. It calls no kernel.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/kernels.h"
#include "core/plan.h"

namespace fastnn {

template <class T>
struct Updates {
  const Plan& plan;
  T* parameters;
  std::array<T*, 2> slots;  // of the optimizer's state; null where there is none

  // The step of parameters [begin, end), after so many updates.
  OptimizerStep<T> step(Index begin, Index end, std::uint64_t updates,
                        const OptimizerSettings& settings, const T* gradient) const {
    const bool still = plan.optimizer == OptimizerKind::sgd && settings.momentum == 0;
    return {plan.optimizer,
            end - begin,
            parameters + begin,
            gradient,
            {still || slots[0] == nullptr ? nullptr : slots[0] + begin,
             slots[1] == nullptr ? nullptr : slots[1] + begin},
            settings,
            updates + 1};
  }

  // f(begin, end) for each run of neighbouring trainable parameters.
  template <class F>
  void each_run(const F& f) const {
    const auto& all = plan.parameters;
    for (std::size_t i = 0; i < all.size();) {
      std::size_t end = i;
      while (end < all.size() && all[end].trainable == all[i].trainable) ++end;
      if (all[i].trainable) {
        f(all[i].offset, end < all.size() ? all[end].offset : plan.parameter_size);
      }
      i = end;
    }
  }
};

}  // namespace fastnn
