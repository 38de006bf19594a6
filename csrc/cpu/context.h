// The resources of CPU kernels: worker threads and scratch memory. Context does not decide how work
// is divided: loops.h does.
#pragma once

#include <cstddef>

#include "core/kernels.h"
#include "cpu/trial.h"

namespace fastnn {

inline constexpr int max_threads = 256;

// Runs piece `index` of a job on worker `worker` < max_threads.
using Task = void (*)(const void* arguments, Index index, int worker);

// Whether the processor computes square roots and quotients faster with its own unit than with
// products that replace it (see math.h). The instruction-set level in use decides.
bool unit_takes_roots();

// One context belongs to one session and is used by one thread at a time. It cannot be copied.
struct Context {
  Context() = default;
  // Whether it uses the calling thread alone.
  explicit Context(bool alone) : alone_(alone) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // The number of threads that is worthwhile for this work, in the units of loops.h. It differs
  // from call to call: no result may depend on it.
  int threads(Index work);

  // Calls task(arguments, i, worker) for each i in [0, count) on at most `threads` threads, and
  // returns when all calls are done. A task may not call run.
  void run(Index count, int threads, Task task, const void* arguments);

  // At least `bytes` of memory aligned to 64 bytes, or null if there is none. The contents last
  // until the next call for the same slot. Each worker has a slot; the thread that calls run also
  // has `shared`, for the product in progress, and `sums`.
  void* scratch(int index, std::size_t bytes);
  static constexpr int shared = max_threads;
  static constexpr int sums = max_threads + 1;

 private:
  bool alone_ = false;
  Trial trial_;
  struct Slot {
    void* memory = nullptr;
    std::size_t bytes = 0;
  };
  Slot slots_[max_threads + 2];
};

}  // namespace fastnn
