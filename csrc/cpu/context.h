// What CPU kernels run on: the worker threads and scratch memory.
#pragma once

#include <cstddef>

#include "core/kernels.h"
#include "cpu/trial.h"

namespace fastnn {

inline constexpr int max_threads = 256;

// Does piece `index` of some work; `worker` < max_threads is who does it.
using Task = void (*)(const void* arguments, Index index, int worker);

// Whether processors of the level in use take roots and quotients by a unit that is faster than
// products in its place (see math.h).
bool unit_takes_roots();

// One for each session, used by one thread at a time. Not to be copied.
struct Context {
  Context() = default;
  // Whether it uses the calling thread alone.
  explicit Context(bool alone) : alone_(alone) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context();

  // How many threads are worth their while for so much work, in the units of
  // loops.h. It differs from call to call: what a result is may not depend on it.
  int threads(Index work);

  // Calls task(arguments, i, worker) for each i in [0, count), on so many threads
  // or fewer; returns when all are done. Tasks may not call run.
  void run(Index count, int threads, Task task, const void* arguments);

  // At least `bytes` of memory aligned to 64 bytes, null where there is none.
  // Its contents last until the next call for the same slot: a worker's, or for
  // the thread that calls run, `shared` (of the product under way) and `sums`.
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
