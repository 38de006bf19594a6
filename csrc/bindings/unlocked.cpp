#include "bindings/unlocked.h"

#include <atomic>
#include <chrono>
#include <thread>

namespace fastnn::bindings {

namespace {

std::atomic<bool> ending{false};
std::atomic<int> under_way{0};
std::atomic<int> staying{0};

}  // namespace

void stay_if_ending() {
  if (!ending.load()) return;
  ++staying;
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

Unlocked::Unlocked() : state_(nullptr) {
  ++under_way;
  state_ = PyEval_SaveThread();
}

Unlocked::~Unlocked() {
  stay_if_ending();
  PyEval_RestoreThread(state_);
  --under_way;
}

void end_native_calls() {
  ending.store(true);
  PyThreadState* const state = PyEval_SaveThread();
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (staying.load() < under_way.load() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  PyEval_RestoreThread(state);
}

}  // namespace fastnn::bindings
