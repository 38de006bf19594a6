// The worker threads. parallel.cpp decides which callers use them, and for how much work.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "cpu/context.h"

namespace fastnn {

// Whether sharing work pays in the present state of the machine. If another process has a worker's
// core, the system may suspend the worker in the middle of a piece, and the caller waits for it.
// Balance weighs the time that workers save against the time that they cost. If they cost more, the
// caller works alone for a while, and for longer each time that nothing has changed.
class Balance {
 public:
  using Duration = std::chrono::steady_clock::duration;
  using Time = std::chrono::steady_clock::time_point;

  void add(Duration saved, Time now);
  void rest(Time now);
  // For any thread. While this is true, the caller should work alone.
  bool is_resting() const;

 private:
  Duration credit_{};
  Duration rest_ = least_rest;
  std::atomic<Duration::rep> until_{0};  // since the clock's epoch; 0: no rest

  // A few of the time slices that systems give to processes in turn.
  static constexpr Duration enough = std::chrono::milliseconds(4);
  static constexpr Duration least_rest = std::chrono::milliseconds(10);
  static constexpr Duration longest_rest = std::chrono::milliseconds(320);
  // A loss that comes later than this after a rest has another cause, such as a worker that woke up
  // on the caller's core.
  static constexpr Duration forgetting = std::chrono::milliseconds(40);
};

// A job is a number of pieces that threads claim one by one from an atomic counter, so that a
// suspended thread delays only the piece that it holds. The caller works too. Idle workers spin
// briefly, then sleep.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Ends the workers; the next run starts others. A pool is never deleted, since a thread may be
  // about to use it.
  void stop();

  // Less work than this is never worth a second thread.
  static constexpr Index least_shared = 1 << 15;
  // The number of threads, at most `most`, that is worthwhile for this work, in the units of
  // loops.h.
  int threads_for(Index work, int most) const;

  // Returns false, with nothing done, if another caller has the pool.
  bool try_run(int threads, Index count, Task task, const void* arguments);

 private:
  struct alignas(64) Worker {
    std::atomic<std::uint32_t> signal{0};
    std::atomic<std::uint64_t> asleep{0};  // sleeps_on(the last signal seen); 0: awake
    std::thread thread;
  };

  bool has_work(int worker) const;
  bool work(int worker);
  bool shares_core() const;
  static std::uint64_t sleeps_on(std::uint32_t signal) {
    return signal + (std::uint64_t{1} << 32U);
  }
  void open_job(std::uint64_t pieces, int threads);
  void wake(Worker& worker);
  void start_workers(int wanted);
  void serve(Worker& self, int index);
  std::uint32_t wait(Worker& self, std::uint32_t seen, Balance::Duration spinning);
  void wait_for_others(Index count, Balance::Time until) const;

  std::mutex busy_;  // held by the caller that has the pool
  std::deque<Worker> workers_;
  Balance balance_;
  Task task_ = nullptr;
  const void* arguments_ = nullptr;
  Index count_ = 0;
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<Index> done_{0};
  alignas(64) std::atomic<int> limit_{1};  // threads that may take part, the caller included
  std::atomic<int> awake_{0};              // workers that do not sleep
  // The caller's core. A worker on the same core would only take time from the caller: it sets
  // crowded_ and waits until it runs on another.
  std::atomic<int> core_{-1};
  std::atomic<bool> crowded_{false};
  std::atomic<bool> ending_{false};
};

}  // namespace fastnn
