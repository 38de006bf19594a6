// Finds by trial whether several threads are faster than one. The pool decides how many
// threads are worthwhile on an idle machine.
#pragma once

#include <chrono>

#include "core/kernels.h"

namespace fastnn {

// The gain from a second thread cannot be known in advance: two processors may share a core, may
// have distant caches, or may have other work. Trial times work in windows of many calls, and now
// and then runs one window on a single thread. If that window was faster, all work stays on a
// single thread for a while, and for longer each time that it still is faster. Trial is meant for
// steps of short kernels: long kernels gain from threads, and a few of them would not fill a window
// in time. The pool's Balance reacts faster: it detects a suspended worker within milliseconds,
// also in long kernels, but it does not see the cost of moving data.
class Trial {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Called before each piece of work that could be shared; returns whether to share it.
  bool shares(Index work, Time now);

 private:
  void judge(double rate);
  void share();
  void work_alone(int windows);

  static constexpr int probes = 128;  // windows between two windows on a single thread
  static constexpr int least_rest = 16;
  static constexpr int longest_rest = 256;

  bool sharing_ = true;
  bool resting_ = false;        // alone for longer than a probe
  int left_ = 8;                // windows until sharing changes by itself
  int rest_ = least_rest;       // windows
  int shared_windows_ = 0;      // windows in the mean, at most its memory
  double shared_rate_ = 0;      // work per second, a moving mean
  double alone_rate_ = 0;       // likewise, on a single thread; 0: not known
  Time begin_{}, last_{};       // start of the window; time of the last call
  Index calls_ = 0, work_ = 0;  // in this window
};

}  // namespace fastnn
