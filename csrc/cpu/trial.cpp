#include "cpu/trial.h"

#include <algorithm>

namespace fastnn {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

// The least size of a window: some steps of a network, whose calls differ from each other.
constexpr Index least_calls = 64;
constexpr milliseconds least_time(2);
constexpr microseconds long_call(400);
// After a longer gap between calls, the window begins anew.
constexpr milliseconds pause(10);
constexpr int memory = 8;  // windows in the mean

}  // namespace

bool Trial::shares(Index work, Time now) {
  const auto elapsed = now - begin_;
  const bool paused = now - last_ > pause;
  const bool full = calls_ >= least_calls && elapsed >= least_time;
  if (full && !paused) {
    if (elapsed > calls_ * long_call) {
      alone_rate_ = 0;
      share();
    } else {
      judge(static_cast<double>(work_) / std::chrono::duration<double>(elapsed).count());
    }
  }
  if (full || paused) {
    begin_ = now;
    calls_ = work_ = 0;
  }
  last_ = now;
  ++calls_;
  work_ += work;
  return sharing_;
}

void Trial::judge(double rate) {
  if (!sharing_) {
    alone_rate_ = alone_rate_ == 0 ? rate : (alone_rate_ + rate) / 2;
    // A rest that was begun by mistake ends at once.
    if (--left_ == 0 || (resting_ && alone_rate_ < shared_rate_)) share();
    return;
  }
  shared_windows_ = std::min(shared_windows_ + 1, memory);
  shared_rate_ += (rate - shared_rate_) / shared_windows_;
  if (shared_rate_ < alone_rate_ && shared_windows_ >= memory / 2) {
    resting_ = true;
    work_alone(rest_);
    rest_ = std::min(2 * rest_, longest_rest);
  } else if (--left_ <= 0) {
    if (alone_rate_ != 0) rest_ = least_rest;
    work_alone(1);
  }
}

// After a rest, the rate measured before it says nothing.
void Trial::share() {
  if (resting_) shared_windows_ = 0;
  resting_ = false;
  sharing_ = true;
  left_ = probes;
}

void Trial::work_alone(int windows) {
  sharing_ = false;
  left_ = windows;
}

}  // namespace fastnn
