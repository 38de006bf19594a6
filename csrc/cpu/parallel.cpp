// The process's pool, the number of threads, and Context on top of both.
//
// While one caller has the pool, others run their work alone. After fork the child starts a pool of
// its own.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <new>
#include <string>

#include "core/backend.h"
#include "core/check.h"
#include "core/fork.h"
#include "core/memory.h"
#include "core/thread_limit.h"
#include "cpu/context.h"
#include "cpu/cores.h"
#include "cpu/pool.h"

namespace fastnn {
namespace {

struct Process {
  std::mutex making;
  std::atomic<Pool*> pool{nullptr};
  std::atomic<int> threads{0};         // 0: not asked for yet
  std::atomic<bool> by_default{true};  // no call of set_num_threads chose `threads`
};

Process& process() {
  static Process* const state = [] {
    auto* made = new Process;
    // The child has no workers, and the pool may be in any state: it is abandoned, and another is
    // made when there is work.
    in_children([] {
      Process& child = process();
      new (&child.making) std::mutex;
      child.pool.store(nullptr);
      // Process pools set OMP_NUM_THREADS, or the affinity, for their workers.
      if (child.by_default.load()) child.threads.store(0);
    });
    return made;
  }();
  return *state;
}

Pool& pool() {
  Process& state = process();
  if (Pool* made = state.pool.load(std::memory_order_acquire)) return *made;
  const std::lock_guard<std::mutex> lock(state.making);
  Pool* made = state.pool.load();
  if (made == nullptr) {
    made = new Pool;
    state.pool.store(made);
  }
  return *made;
}

}  // namespace

namespace {

thread_local int thread_limit = 0;

}  // namespace

void limit_threads(int n) {
  check(n >= 0 && n <= max_threads, "limit_threads: expected an integer in [0, ", max_threads,
        "], got ", n);
  thread_limit = n;
}

int num_threads() {
  std::atomic<int>& threads = process().threads;
  if (const int chosen = threads.load(std::memory_order_relaxed)) return chosen;
  int chosen = available_cores();
  const char* text = std::getenv("FASTNN_NUM_THREADS");
  if (text != nullptr && *text != '\0') {
    char* end = nullptr;
    const long n = std::strtol(text, &end, 10);
    check(end != text && *end == '\0' && n >= 1 && n <= max_threads,
          "FASTNN_NUM_THREADS: expected an integer in [1, ", max_threads, "], got '", text, "'");
    chosen = static_cast<int>(n);
  }
  threads.store(chosen);
  return chosen;
}

void set_num_threads(int n) {
  check(n >= 1 && n <= max_threads, "set_num_threads: expected an integer in [1, ", max_threads,
        "], got ", n);
  process().by_default.store(false);
  process().threads.store(n);
}

void stop_workers() {
  if (Pool* made = process().pool.load()) made->stop();
}

Context::~Context() {
  for (Slot& slot : slots_) std::free(slot.memory);
}

int Context::threads(Index work) {
  if (alone_ || work < Pool::least_shared) return 1;
  const int most = thread_limit > 0 ? std::min(thread_limit, num_threads()) : num_threads();
  if (most == 1 || !trial_.shares(work, std::chrono::steady_clock::now())) return 1;
  return pool().threads_for(work, most);
}

void Context::run(Index count, int threads, Task task, const void* arguments) {
  constexpr Index most = 0xFFFFFFFF;
  threads = static_cast<int>(std::min<Index>(threads, count));
  if (threads > 1 && count < most && pool().try_run(threads, count, task, arguments)) return;
  for (Index i = 0; i < count; ++i) task(arguments, i, 0);
}

void* Context::scratch(int index, std::size_t bytes) {
  Slot& slot = slots_[index];
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  if (slot.bytes < bytes) {
    std::free(slot.memory);
    // A large buffer gets whole large pages: with small pages, its panels would take most entries
    // of the core's TLB. With AddressSanitizer the buffer is hardly rounded up, so that an access
    // beyond its end is found.
#if defined(__SANITIZE_ADDRESS__)
    constexpr std::size_t page = 64;
#else
    constexpr std::size_t small = std::size_t{4} << 10U, large = std::size_t{2} << 20U;
    const std::size_t page = bytes >= large / 4 ? large : small;
#endif
    const std::size_t rounded = (bytes + page - 1) / page * page;
    slot.memory = std::aligned_alloc(page, rounded);
    slot.bytes = slot.memory != nullptr ? rounded : 0;
    if (slot.memory != nullptr) prefer_large_pages(slot.memory, rounded);
  }
  return slot.memory;
}

}  // namespace fastnn
