// Copies of a training state, to go back to when a loss is no longer a number.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "core/memory.h"
#include "core/session.h"
#include "nn/parameters.h"

namespace fastnn {

// The steps from one copy to the next: so many that copying takes at most 1 % of the time of
// training, also on a machine that is ten times as fast as today's. The number depends on the
// shape and the kind of device alone, so the same training goes back to the same state everywhere.
// `bytes`: of parameters and the optimizer's state; `operations`: of a step.
Index steps_between_copies(double bytes, double operations, bool on_device);

// Keeps two copies. The older one was followed by a whole interval of steps with finite losses,
// so a loss that takes fewer steps to grow beyond all numbers did not begin to grow before it.
// Where the mean loss of an interval is several times that of the one before, no copy is made, so
// that a loss that grows more slowly leaves copies from before, too; a loss that stays so high is
// taken for a good one after some time.
class Snapshots {
 public:
  using Buffers = std::vector<ParameterBuffer*>;

  // Whether the state is to be copied before the next step.
  bool due(Index interval) const { return renew_ || !newer_.held || passed_ >= interval; }
  // The steps until then.
  Index until_due(Index interval) const { return due(interval) ? 0 : interval - passed_; }
  // Whether the loss grows, so that a copy that is due should be left out.
  bool grows() const;
  void leave_out();
  // Copies the state. Throws std::bad_alloc.
  void copy(const Buffers& buffers, const Steps& steps);
  // So many steps with finite losses were made.
  void passed(Index steps) { passed_ += steps; }
  // What they added to the sum of losses and to its weight.
  void saw(double loss, double weight) {
    loss_ += loss;
    weight_ += weight;
  }
  // Puts a state back: the older copy or, without one, the newer; returns its steps.
  Steps restore(const Buffers& buffers) const;
  bool held() const { return newer_.held; }
  // The state was changed from outside: what was copied is no longer recent.
  void forget() { older_.held = newer_.held = false; }
  // The state that is copied next, at once, is the earliest to go back to; what was copied
  // before serves until that is done.
  void renew() { renew_ = true; }

 private:
  struct Copy {
    OwnedMemory memory;
    std::size_t bytes = 0;
  };
  struct State {
    std::vector<Copy> copies;  // their memory is kept when what is in them is forgotten
    Steps steps;
    bool held = false;
  };

  State older_, newer_;
  bool renew_ = false;
  Index passed_ = 0;                 // steps since a copy was made or left out
  double loss_ = 0, weight_ = 0;     // sums over these steps
  std::optional<double> reference_;  // the mean loss of the interval before the newer copy
  int left_out_ = 0;                 // copies since the newer one
};

}  // namespace fastnn
