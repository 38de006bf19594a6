// How a session of the device trains, where that is not node by node.
#pragma once

#include <memory>
#include <span>

#include "core/machine.h"
#include "core/session.h"

namespace fastnn {

class Runner {
 public:
  Runner() = default;
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;
  virtual ~Runner() = default;

  // As Session::run, of data whose addresses are the device's.
  virtual Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                  const Steps& done, const Rates& rates, Sums sums) = 0;
  // After a run that threw: waits for what it gave to other streams than its machine's.
  virtual void settle() {}
};

}  // namespace fastnn
