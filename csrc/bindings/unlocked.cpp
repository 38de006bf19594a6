#include "bindings/unlocked.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "core/fork.h"

namespace fastnn::bindings {

namespace {

std::atomic<bool> ending{false};
std::thread::id ender;  // the thread that ends the interpreter; it must not stay
std::atomic<int> under_way{0};
std::atomic<int> staying{0};

// In a forked child, the calls of other threads are not under way.
const bool registered = in_children([] { under_way.store(0); });

}  // namespace

void stay_if_ending() {
  if (!ending.load() || std::this_thread::get_id() == ender) return;
  ++staying;
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
}

void poll_signals() {
  stay_if_ending();
  const pybind11::gil_scoped_acquire locked;
  if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
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
  ender = std::this_thread::get_id();
  ending.store(true);
  PyThreadState* const state = PyEval_SaveThread();
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(500);
  while (staying.load() < under_way.load() && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  PyEval_RestoreThread(state);
}

}  // namespace fastnn::bindings
