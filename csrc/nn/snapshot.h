// Copies of a training state, to go back to when a loss is no longer a number.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/memory.h"
#include "core/session.h"
#include "nn/parameters.h"

namespace fastnn {

// Keeps the last state that is known to be good (a step from it had a finite
// loss) and a candidate that a step has yet to prove. Copies at most once a
// second, and for no more than 2 % of the time.
class Snapshots {
 public:
  using Buffers = std::vector<ParameterBuffer*>;

  // Before a step: copies the state where it is time to, once `fetch` has brought it there.
  void consider(const Buffers& buffers, const Steps& steps, const std::function<void()>& fetch);
  // The first step from the candidate had a finite loss.
  void prove();
  // Puts the good state back, or an unproved first one; returns its steps.
  Steps restore(const Buffers& buffers) const;
  bool held() const { return good_.held || candidate_.held; }
  // The state was changed from outside: what was copied is no longer recent.
  void forget() { good_.held = candidate_.held = false; }
  // The state that is copied next, at once, is the earliest to go back to; what was copied
  // before serves until that is done.
  void renew() { due_ = true; }

 private:
  using Clock = std::chrono::steady_clock;
  struct Copy {
    OwnedMemory memory;
    std::size_t bytes = 0;
  };
  struct State {
    std::vector<Copy> copies;  // their memory is kept when what is in them is forgotten
    Steps steps;
    bool held = false;
  };

  State good_, candidate_;
  bool due_ = false;
  Clock::time_point next_{};
};

}  // namespace fastnn
