// The worker threads. Who may use them, and for how much work, is parallel.cpp's.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <thread>

#include "cpu/context.h"

namespace fastnn {

// Work is a number of pieces that threads claim one by one from an atomic counter,
// so that a thread which the system has put aside holds up no more than the piece
// it has. The caller works too. Idle workers spin briefly, then sleep.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Ends the workers; the next run starts others. A pool is never deleted, for a
  // thread may be about to use it.
  void stop();

  // How many threads, `most` at most, are worth their while for so much work, in
  // the units of loops.h.
  int threads_for(Index work, int most) const;

  // False where another caller has the pool; nothing was done then.
  bool try_run(int threads, Index count, Task task, const void* arguments);

 private:
  struct alignas(64) Worker {
    std::atomic<std::uint32_t> signal{0};
    std::atomic<bool> asleep{false};
    std::thread thread;
  };

  bool work(int worker);
  void open_job(std::uint64_t pieces, int threads);
  void wake(Worker& worker);
  void start_workers(int wanted);
  void serve(Worker& self, int index);
  std::uint32_t wait(Worker& self, std::uint32_t seen);
  void wait_for_others(Index count, std::chrono::steady_clock::time_point until) const;

  std::mutex busy_;  // of the caller that has the pool
  std::deque<Worker> workers_;
  Task task_ = nullptr;
  const void* arguments_ = nullptr;
  Index count_ = 0;
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<Index> done_{0};
  alignas(64) std::atomic<int> limit_{1};  // threads that may take part, the caller among them
  std::atomic<int> awake_{0};              // workers that do not sleep
  std::atomic<bool> ending_{false};
};

}  // namespace fastnn
