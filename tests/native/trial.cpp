// Whether work is shared, on machines whose clock is a count: where sharing pays,
// where it does not, and where that changes.
#include "cpu/trial.h"

#include <cstdio>

namespace {

using fastnn::Index;
using fastnn::Trial;
using Time = Trial::Time;
using std::chrono::microseconds;

struct Calls {
  int shared = 0;
  int all = 0;

  double share() const { return static_cast<double>(shared) / all; }
};

// Two kinds of calls in turn, the second twice the first, which take so long alone.
Calls run(Trial& trial, Time& now, int calls, microseconds alone, double speedup) {
  Calls done;
  for (int i = 0; i < calls; ++i) {
    const int size = 1 + i % 2;
    const bool shared = trial.shares(1000 * size, now);
    done.shared += shared ? 1 : 0;
    ++done.all;
    now += std::chrono::duration_cast<Time::duration>(alone * size / (shared ? speedup : 1.0));
  }
  return done;
}

int failures = 0;

void expect(bool holds, const char* what, const Calls& calls) {
  if (holds) return;
  ++failures;
  std::printf("%s: %.3f of %d calls shared\n", what, calls.share(), calls.all);
}

}  // namespace

int main() {
  constexpr microseconds brief(10);
  constexpr int many = 2'000'000;
  Time now{std::chrono::hours(1)};
  Trial trial;
  Calls calls = run(trial, now, many, brief, 1.8);
  expect(calls.share() > 0.98, "twice as fast", calls);
  calls = run(trial, now, many, brief, 0.7);
  expect(calls.share() < 0.06, "then slower", calls);
  calls = run(trial, now, many, brief, 1.5);
  expect(calls.share() > 0.95, "then faster again", calls);

  Trial other;
  calls = run(other, now, many, brief, 0.9);
  expect(calls.share() < 0.06, "slower from the start", calls);
  // Long calls are always shared: whoever takes part of one is worth having.
  Trial patient;
  calls = run(patient, now, 20'000, microseconds(2000), 0.9);
  expect(calls.share() > 0.95, "long", calls);
  // A few calls now and then tell nothing, and are shared.
  Trial seldom;
  calls = {};
  for (int i = 0; i < 1000; ++i) {
    const Calls few = run(seldom, now, 30, brief, 0.5);
    calls.shared += few.shared;
    calls.all += few.all;
    now += std::chrono::seconds(1);
  }
  expect(calls.share() == 1, "seldom", calls);
  std::printf("%d failures\n", failures);
  return failures;
}
