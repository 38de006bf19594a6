#include "cpu/pool.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <exception>

namespace fastnn {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;

// How long idle workers spin: longer than the time between two kernels of a step.
constexpr microseconds patience(20);

// In a job at least this long, a worker on the caller's core can still move to another core.
constexpr std::chrono::milliseconds crowded_job(1);

// The ticket holds the job's number in its upper half, its unclaimed pieces in its lower half.
constexpr std::uint64_t one_job = std::uint64_t{1} << 32U;
constexpr std::uint64_t pieces_mask = one_job - 1;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// The core of this thread; -1 if it is not known.
int this_core() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

// New threads inherit the signal mask of their creator; signals are for Python's threads.
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

}  // namespace

// -- whether it pays ----------------------------------------------------------

void Balance::add(Duration saved, Time now) {
  credit_ = std::min(credit_ + saved, enough);
  if (credit_ == enough) rest_ = least_rest;
  if (credit_ <= -enough) rest(now);
}

void Balance::rest(Time now) {
  const Duration::rep awake = now.time_since_epoch().count() - until_.load();
  if (Duration(awake) > forgetting) rest_ = least_rest;
  credit_ = {};
  until_.store((now + rest_).time_since_epoch().count(), std::memory_order_relaxed);
  rest_ = std::min(2 * rest_, longest_rest);
}

bool Balance::is_resting() const {
  const Duration::rep until = until_.load(std::memory_order_relaxed);
  return until != 0 && Clock::now().time_since_epoch().count() < until;
}

// -- the caller's side --------------------------------------------------------

void Pool::stop() {
  const std::lock_guard<std::mutex> lock(busy_);
  ending_.store(true);
  for (Worker& worker : workers_) wake(worker);
  for (Worker& worker : workers_) worker.thread.join();
  workers_.clear();
  awake_.store(0);
  ending_.store(false);
}

int Pool::threads_for(Index work, int most) const {
  // Work for each thread: a worker that spins starts within a fraction of a microsecond; a worker
  // that sleeps starts after tens of microseconds, and waking it costs the caller a few.
  constexpr Index share_awake = least_shared / 2;
  constexpr Index share_asleep = 1 << 16;
  const Index there = std::min<Index>(awake_.load(std::memory_order_relaxed) + 1, most);
  const Index threads = std::max(std::min<Index>(work / share_awake, there),
                                 std::min<Index>(work / share_asleep, most));
  return threads < 2 || balance_.is_resting() ? 1 : static_cast<int>(threads);
}

bool Pool::try_run(int threads, Index count, Task task, const void* arguments) {
  const std::unique_lock<std::mutex> lock(busy_, std::try_to_lock);
  if (!lock.owns_lock()) return false;
  start_workers(threads - 1);
  task_ = task;
  arguments_ = arguments;
  count_ = count;
  const Clock::time_point begin = Clock::now();
  open_job(static_cast<std::uint64_t>(count), threads);
  Index own = 0;
  while (work(0)) {
    ++own;
    if (!shares_core()) core_.store(this_core(), std::memory_order_relaxed);  // it was moved
  }
  if (own == 0) {  // the workers claimed every piece first
    wait_for_others(count, begin + patience);
    return true;
  }
  const Clock::time_point finished = Clock::now();
  const Clock::duration piece = (finished - begin) / own;
  wait_for_others(count, finished + std::max<Clock::duration>(2 * piece, patience));
  const Clock::time_point end = Clock::now();
  balance_.add(piece * (count - own) - (end - finished), end);
  if (crowded_.load(std::memory_order_relaxed)) {
    crowded_.store(false, std::memory_order_relaxed);
    if (end - begin < crowded_job) balance_.rest(end);
  }
  return true;
}

// Workers hold the remaining pieces, for no longer than one piece takes. A worker that takes long
// may be waiting for this very core.
void Pool::wait_for_others(Index count, Balance::Time until) const {
  for (int turn = 1; done_.load(std::memory_order_acquire) != count; ++turn) {
    if (turn % 32 != 0 || Clock::now() < until) {
      pause_briefly();
    } else {
      std::this_thread::yield();
      --turn;
    }
  }
}

void Pool::open_job(std::uint64_t pieces, int threads) {
  core_.store(this_core(), std::memory_order_relaxed);
  limit_.store(threads, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  const std::uint64_t job = (ticket_.load(std::memory_order_relaxed) & ~pieces_mask) + one_job;
  ticket_.store(job | pieces, std::memory_order_release);
  int invited = 1;
  for (Worker& worker : workers_) {
    if (invited++ == threads) break;
    wake(worker);
  }
}

// Either this function sees that the worker sleeps, or the worker sees the signal before it sleeps:
// each writes its own word first and then reads the other's. Only the sleep that precedes this
// signal is ended, never a later one: a worker that has seen the signal and sleeps again would
// sleep on, but count as awake when the next signal comes.
void Pool::wake(Worker& worker) {
  std::uint64_t sleep = sleeps_on(worker.signal.fetch_add(1, std::memory_order_seq_cst));
  if (worker.asleep.load(std::memory_order_seq_cst) != sleep) return;
  // planted: slow call
  if (worker.asleep.compare_exchange_strong(sleep, 0)) {
    worker.signal.notify_one();  // once, however long it takes to arrive
  }
}

// If the system refuses more threads, fewer do the work.
void Pool::start_workers(int wanted) {
  if (static_cast<int>(workers_.size()) >= wanted) return;
  const SignalsMasked masked;
  while (static_cast<int>(workers_.size()) < wanted) {
    Worker& worker = workers_.emplace_back();
    const int index = static_cast<int>(workers_.size());
    awake_.fetch_add(1, std::memory_order_relaxed);
    try {
      worker.thread = std::thread([this, &worker, index] { serve(worker, index); });
    } catch (const std::exception&) {
      awake_.fetch_sub(1, std::memory_order_relaxed);
      workers_.pop_back();
      return;
    }
  }
}

// -- both sides ---------------------------------------------------------------

bool Pool::has_work(int worker) const {
  return (ticket_.load(std::memory_order_acquire) & pieces_mask) != 0 &&
         worker < limit_.load(std::memory_order_relaxed);
}

// The thread that lowers the ticket owns a piece, and the job lasts until that piece is done. Only
// then may the thread read the fields of the job. The limit belongs to this job or a later one; a
// later job has another ticket.
bool Pool::work(int worker) {
  std::uint64_t ticket = ticket_.load(std::memory_order_acquire);
  do {
    if ((ticket & pieces_mask) == 0) return false;
    if (worker >= limit_.load(std::memory_order_relaxed)) return false;
  } while (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                          std::memory_order_acquire));
  const Index index = count_ - static_cast<Index>(ticket & pieces_mask);
  task_(arguments_, index, worker);
  done_.fetch_add(1, std::memory_order_release);
  return true;
}

bool Pool::shares_core() const {
  const int core = this_core();
  return core >= 0 && core == core_.load(std::memory_order_relaxed);
}

// -- the workers' side --------------------------------------------------------

void Pool::serve(Worker& self, int index) {
  std::uint32_t seen = 0;
  while (!ending_.load(std::memory_order_acquire)) {
    bool crowds = false;
    while (has_work(index)) {
      crowds = shares_core();
      if (!crowds) {
        work(index);
        continue;
      }
      crowded_.store(true, std::memory_order_relaxed);
      std::this_thread::yield();  // the system may move a ready thread to a free core
    }
    seen = wait(self, seen, crowds ? microseconds(0) : patience);
  }
}

std::uint32_t Pool::wait(Worker& self, std::uint32_t seen, Clock::duration spinning) {
  const auto until = Clock::now() + spinning;
  do {
    for (int i = 0; i < 32; ++i) {
      const std::uint32_t signal = self.signal.load(std::memory_order_acquire);
      if (signal != seen) return signal;
      pause_briefly();
    }
  } while (Clock::now() < until);
  awake_.fetch_sub(1, std::memory_order_relaxed);
  self.asleep.store(sleeps_on(seen), std::memory_order_seq_cst);
  self.signal.wait(seen, std::memory_order_seq_cst);  // planted: slow sleep
  self.asleep.store(0, std::memory_order_relaxed);
  awake_.fetch_add(1, std::memory_order_relaxed);
  return self.signal.load(std::memory_order_acquire);
}

}  // namespace fastnn
