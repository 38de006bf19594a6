// Whether several threads are faster than one, found by trying. How many are worth
// their while on a machine at rest is the pool's to say.
#pragma once

#include <chrono>

#include "core/kernels.h"

namespace fastnn {

// What a second thread gives depends on what nobody tells: two processors may be one
// core's, or far from each other's caches, or have other work. So work is timed in
// windows of many calls, now and then in one that is done alone; where that was
// faster, all is done alone for a while, and longer each time that it still is. For
// steps of short kernels: long ones gain, and a few would fill no window in time.
// The pool's Balance is the quick one of the two: it sees that a worker was put aside
// within milliseconds, also in long kernels, but nothing of what moving data costs.
class Trial {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Called before each piece of work that might be shared out; says whether it should.
  bool shares(Index work, Time now);

 private:
  void judge(double rate);
  void share();
  void work_alone(int windows);

  static constexpr int probes = 128;  // windows between two that are done alone
  static constexpr int least_rest = 16;
  static constexpr int longest_rest = 256;

  bool sharing_ = true;
  bool resting_ = false;        // alone for more than a look
  int left_ = 8;                // windows until a change that nothing prompts
  int rest_ = least_rest;       // windows
  int shared_windows_ = 0;      // that count in the mean, no more than its memory
  double shared_rate_ = 0;      // work in a time, a moving mean
  double alone_rate_ = 0;       // likewise; 0: not known
  Time begin_{}, last_{};       // of the window, and of the call before
  Index calls_ = 0, work_ = 0;  // in the window
};

}  // namespace fastnn
