// The thread pool, and Context on top of it.
//
// One pool for the process. Work is a number of pieces that threads claim one by
// one from an atomic counter, so that a thread which the system has put aside
// holds up no more than the piece it has. The caller works too. Idle workers
// spin briefly, then sleep. While one caller has the pool, others run their
// work alone. After fork the child starts a pool of its own.
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "core/backend.h"
#include "core/check.h"
#include "core/memory.h"
#include "cpu/context.h"

namespace fastnn {
namespace {

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Workers are born with the mask of their maker; signals are for Python's threads.
class SignalsMasked {
 public:
  SignalsMasked() : before_() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsMasked(const SignalsMasked&) = delete;
  SignalsMasked& operator=(const SignalsMasked&) = delete;
  ~SignalsMasked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Ends the workers; the next run starts others. A pool is never deleted, for a
  // thread may be about to use it.
  void stop() {
    const std::lock_guard<std::mutex> lock(busy_);
    ending_.store(true);
    announce(0);
    for (std::thread& worker : workers_) worker.join();
    workers_.clear();
    ending_.store(false);
  }

  // False where another caller has the pool; nothing was done then.
  bool try_run(int threads, Index count, Task task, const void* arguments) {
    const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
    if (!lock.owns_lock()) return false;
    start_workers(threads - 1);
    task_ = task;
    arguments_ = arguments;
    count_ = count;
    limit_.store(threads, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    announce(static_cast<std::uint64_t>(count));
    while (work(0)) {
    }
    // What is left is in the hands of others, for no longer than one piece.
    for (int spins = 0; done_.load(std::memory_order_acquire) != count; ++spins) {
      if (spins < 4096) {
        pause_briefly();
      } else {
        std::this_thread::yield();
      }
    }
    return true;
  }

 private:
  static constexpr std::uint64_t one_job = std::uint64_t{1} << 32U;
  static constexpr std::uint64_t pieces_mask = one_job - 1;

  // The ticket holds the number of the job above and of its unclaimed pieces
  // below. Who lowers it owns a piece, and until that is done the job stands:
  // only then may the fields of the job be read.
  bool work(int worker) {
    if (worker >= limit_.load(std::memory_order_relaxed)) return false;
    std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
    do {
      if ((ticket & pieces_mask) == 0) return false;
    } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                            std::memory_order_acquire));
    const Index index = count_ - static_cast<Index>(ticket & pieces_mask);
    task_(arguments_, index, worker);
    done_.fetch_add(1, std::memory_order_release);
    return true;
  }

  void announce(std::uint64_t pieces) {
    const std::uint64_t job = (ticket_.load(std::memory_order_relaxed) & ~pieces_mask) + one_job;
    ticket_.store(job | pieces, std::memory_order_release);
    signal_.fetch_add(1, std::memory_order_release);
    signal_.notify_all();
  }

  void serve(int worker) {
    std::uint32_t seen = 0;
    while (!ending_.load(std::memory_order_acquire)) {
      while (work(worker)) {
      }
      seen = wait(seen);
    }
  }

  std::uint32_t wait(std::uint32_t seen) {
    using clock = std::chrono::steady_clock;
    const auto until = clock::now() + std::chrono::microseconds(20);
    do {
      for (int i = 0; i < 32; ++i) {
        const std::uint32_t signal = signal_.load(std::memory_order_acquire);
        if (signal != seen) return signal;
        pause_briefly();
      }
    } while (clock::now() < until);
    signal_.wait(seen, std::memory_order_acquire);
    return signal_.load(std::memory_order_acquire);
  }

  // Where the system gives no more threads, fewer do the work.
  void start_workers(int wanted) {
    if (static_cast<int>(workers_.size()) >= wanted) return;
    const SignalsMasked masked;
    try {
      while (static_cast<int>(workers_.size()) < wanted) {
        const int worker = static_cast<int>(workers_.size()) + 1;
        workers_.emplace_back([this, worker] { serve(worker); });
      }
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): fewer it is
    }
  }

  std::mutex busy_;
  std::vector<std::thread> workers_;
  Task task_ = nullptr;
  const void* arguments_ = nullptr;
  Index count_ = 0;
  alignas(64) std::atomic<std::uint64_t> ticket_{0};
  alignas(64) std::atomic<Index> done_{0};
  alignas(64) std::atomic<std::uint32_t> signal_{0};
  std::atomic<int> limit_{1};  // threads that may take part, the caller among them
  std::atomic<bool> ending_{false};
};

struct Process {
  std::mutex making;
  std::atomic<Pool*> pool{nullptr};
  std::atomic<int> threads{0};
};

Process& process() {
  static Process* const state = [] {
    auto* made = new Process;
    // The workers are not in the child, and the pool may be in any state: it is
    // left behind and another made when there is work.
    pthread_atfork(nullptr, nullptr, [] {
      Process& child = process();
      new (&child.making) std::mutex;
      child.pool.store(nullptr);
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

#ifdef __linux__
std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// CPUs' worth of time that the control group grants; 0: no limit.
int quota() {
  const std::string line = first_line("/sys/fs/cgroup/cpu.max");
  char* rest = nullptr;
  const double granted = std::strtod(line.c_str(), &rest);
  const double period = rest != line.c_str() ? std::strtod(rest, nullptr) : 0;
  return period > 0 ? std::max(1, static_cast<int>(granted / period + 0.999)) : 0;
}
#endif

// Physical cores that this process may run on, no more than its CPU quota.
int available_cores() {
  int cores = static_cast<int>(std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
    std::set<std::string> physical;  // each named by the hardware threads that share it
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (!CPU_ISSET(static_cast<unsigned>(cpu), &allowed)) continue;
      const std::string siblings =
          first_line(message("/sys/devices/system/cpu/cpu", cpu, "/topology/thread_siblings_list"));
      physical.insert(siblings.empty() ? std::to_string(cpu) : siblings);
    }
    cores = static_cast<int>(physical.size());
  }
  if (const int granted = quota()) cores = std::min(cores, granted);
#endif
  return std::clamp(cores, 1, max_threads);
}

}  // namespace

int num_threads() {
  std::atomic<int>& threads = process().threads;
  if (const int chosen = threads.load(std::memory_order_relaxed)) return chosen;
  int chosen = available_cores();
  if (const char* text = std::getenv("FASTNN_NUM_THREADS")) {
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
  process().threads.store(n);
}

void stop_workers() {
  if (Pool* made = process().pool.load()) made->stop();
}

Context::~Context() {
  for (Slot& slot : slots_) std::free(slot.memory);
}

void Context::run(Index count, Task task, const void* arguments) {
  constexpr Index most = 0xFFFFFFFF;
  const int threads = count > 1 && count < most ? this->threads() : 1;
  if (threads > 1 &&
      pool().try_run(static_cast<int>(std::min<Index>(threads, count)), count, task, arguments)) {
    return;
  }
  for (Index i = 0; i < count; ++i) task(arguments, i, 0);
}

int Context::threads() const { return alone_ ? 1 : num_threads(); }

void* Context::scratch(int index, std::size_t bytes) {
  Slot& slot = slots_[index];
  if (slot.bytes < bytes) {
    std::free(slot.memory);
    const std::size_t rounded = (bytes + 4095) / 4096 * 4096;
    slot.memory = std::aligned_alloc(64, rounded);
    slot.bytes = slot.memory != nullptr ? rounded : 0;
    if (slot.memory != nullptr) prefer_large_pages(slot.memory, rounded);
  }
  return slot.memory;
}

}  // namespace fastnn
