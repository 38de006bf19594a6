// The pool by itself: callers side by side, numbers of threads that change, workers
// that end between two jobs. Each piece must be done once, by a thread that may.
// Meant for ThreadSanitizer, which sees what a lucky order of events hides.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <thread>
#include <vector>

#include "core/backend.h"
#include "cpu/context.h"
#include "cpu/pool.h"

namespace {

using fastnn::Index;

std::atomic<int> failures{0};

struct Job {
  std::vector<int> turns = std::vector<int>(100);  // of each piece; no atomics: one writer
  int threads = 1;
};

void piece(const void* arguments, Index index, int worker) {
  auto& job = *static_cast<Job*>(const_cast<void*>(arguments));
  ++job.turns[static_cast<std::size_t>(index)];
  if (worker >= job.threads) ++failures;
}

void check(Job& job, Index count) {
  for (Index i = 0; i < static_cast<Index>(job.turns.size()); ++i) {
    int& turns = job.turns[static_cast<std::size_t>(i)];
    if (turns != (i < count ? 1 : 0)) ++failures;
    turns = 0;
  }
}

// Jobs one behind the other, and with pauses in which workers fall asleep.
void jobs_of_one_caller(fastnn::Context& context, int jobs) {
  Job job;
  for (int i = 0; i < jobs; ++i) {
    const Index count = 1 + i % 100;
    job.threads = 1 + i % 5;
    context.run(count, job.threads, piece, &job);
    check(job, count);
    if (i % 100 == 99) std::this_thread::sleep_for(std::chrono::microseconds(100));
    if (i % 1000 == 999) fastnn::stop_workers();
    const int threads = context.threads(Index{1} << (10 + i % 12));
    if (threads < 1 || threads > 4) ++failures;
  }
}

// One caller has the pool: the other is told so, or waits for nothing.
void jobs_of_a_pool(int jobs) {
  auto pool = std::make_unique<fastnn::Pool>();
  std::atomic<int> refused{0};
  const auto work = [&] {
    Job job;
    for (int i = 0; i < jobs; ++i) {
      job.threads = 2 + i % 3;
      if (pool->try_run(job.threads, 100, piece, &job)) {
        check(job, 100);
      } else {
        check(job, 0);
        ++refused;
      }
    }
  };
  std::thread other(work);
  work();
  other.join();
  pool->stop();
  if (refused == 2 * jobs) ++failures;
}

// What costs more than it gives is left for a while, and tried again.
void rests() {
  using std::chrono::milliseconds;
  fastnn::Balance balance;
  const auto now = std::chrono::steady_clock::now();
  for (int i = 0; i < 100; ++i) balance.add(milliseconds(1), now);
  balance.add(milliseconds(-5), now);
  if (balance.is_resting()) ++failures;  // it has given more
  balance.add(milliseconds(-5), now + std::chrono::hours(1));
  if (!balance.is_resting()) ++failures;
  fastnn::Balance past;
  past.add(milliseconds(-5), now - std::chrono::hours(1));
  if (past.is_resting()) ++failures;
}

}  // namespace

int main() {
  fastnn::set_num_threads(4);
  std::vector<std::thread> callers;
  for (int c = 0; c < 2; ++c) {
    callers.emplace_back([] {
      const auto context = std::make_unique<fastnn::Context>();
      jobs_of_one_caller(*context, 5000);
    });
  }
  for (std::thread& caller : callers) caller.join();
  fastnn::stop_workers();
  jobs_of_a_pool(5000);
  rests();
  std::printf("%d failures\n", failures.load());
  return failures == 0 ? 0 : 1;
}
