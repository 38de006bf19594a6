// When long work stops to poll.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/kernels.h"
#include "nn/gate.h"

namespace fastnn {

// Calls `poll` every 0.1 s or so, and tells how many pieces of work to do at a
// time between readings of the clock.
class Ticker {
 public:
  explicit Ticker(Poll poll) : poll_(std::move(poll)) {}

  Index pieces(Index room) const { return std::min(count_, room); }

  void done() {
    const auto now = Clock::now();
    const auto taken = now - begin_;
    begin_ = now;
    constexpr Index most = Index{1} << 20;
    if (taken < target / 2) {
      count_ = std::min(count_ * 2, most);
    } else if (taken > target) {
      count_ = std::max<Index>(count_ / 2, 1);
    }
    if (now - last_look_ < interval) return;
    last_look_ = now;
    if (poll_) poll_();
    begin_ = Clock::now();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr auto interval = std::chrono::milliseconds(100);
  static constexpr auto target = std::chrono::milliseconds(10);

  Poll poll_;
  Clock::time_point begin_ = Clock::now();
  Clock::time_point last_look_ = begin_;
  Index count_ = 1;
};

}  // namespace fastnn
