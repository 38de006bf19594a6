#include "nn/gate.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>

#include "core/check.h"
#include "core/fork.h"

namespace fastnn {

namespace {

std::atomic<unsigned> generation{0};

// How many readings this thread holds, of any gate.
thread_local int own_readings = 0;

// How long a thread waits for readers before it looks for signals.
constexpr auto patience = std::chrono::milliseconds(50);

thread_local AroundWaits* around_waits = nullptr;

constexpr const char* in_use = "the model is in use in another thread";

}  // namespace

unsigned fork_generation() {
  static const bool registered =
      in_children([] { generation.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);
  return generation.load(std::memory_order_relaxed);
}

AroundWaits::AroundWaits() : outer_(around_waits) { around_waits = this; }

AroundWaits::~AroundWaits() { around_waits = outer_; }

PlainWaits::PlainWaits() : outer_(std::exchange(around_waits, nullptr)) {}

PlainWaits::~PlainWaits() { around_waits = outer_; }

Gate::Gate() : state_(new State) {}

Gate::~Gate() { delete state_.load(); }

Gate::State& Gate::state() {
  State* state = state_.load();
  if (state->generation == fork_generation()) return *state;
  // The old state may be locked for ever; it is left behind, also for a guard of
  // this thread that was made before the fork. Threads of the child may come here at once: the
  // first one's state is that of all.
  auto fresh = std::make_unique<State>();
  if (state_.compare_exchange_strong(state, fresh.get())) return *fresh.release();
  return *state;
}

void Gate::refuse_within_change(const State& state) {
  if (state.changing && state.changer.load() == std::this_thread::get_id()) {
    refuse("the model is being changed by the code that this signal handler interrupted; use it ",
           "afterwards");
  }
}

void Gate::wait_for_change(State& state, std::unique_lock<std::mutex>& lock) {
  refuse_within_change(state);
  while (state.changing) wait(state, lock);
}

bool Gate::wait(State& state, std::unique_lock<std::mutex>& lock) {
  AroundWaits* const around = around_waits;
  if (around == nullptr) return state.freed.wait_for(lock, patience) == std::cv_status::no_timeout;
  around->before();  // which does not wait
  const std::cv_status status = state.freed.wait_for(lock, patience);
  lock.unlock();
  around->after();
  lock.lock();
  return status == std::cv_status::no_timeout;
}

void Gate::refuse_within_reading() {
  if (own_readings > 0) refuse("the model cannot be changed from within predict or evaluate");
}

void Gate::refuse_beside_writer() {
  // Signal handlers run in the middle of training, and callbacks of one network while others, which
  // the thread trains beside it, are in the middle of theirs.
  if (state().writer.load() == std::this_thread::get_id()) {
    refuse(
        "the model is being trained by the code that this signal handler interrupted, or beside ",
        "the model that this callback is of; use it after fit, or in a callback of its own");
  }
  refuse("the model is being trained in another thread");
}

Gate::Reading::Reading(Gate& gate) : state_(gate.state()) {
  std::unique_lock<std::mutex> lock(state_.mutex);
  gate.wait_for_change(state_, lock);
  if (state_.writing) gate.refuse_beside_writer();
  ++state_.readers;
  ++own_readings;
}

Gate::Reading::~Reading() {
  --own_readings;
  const std::lock_guard<std::mutex> lock(state_.mutex);
  if (--state_.readers == 0) state_.freed.notify_all();
}

Gate::Writing::Writing(Gate& gate, const Poll& poll) : state_(gate.state()) {
  std::unique_lock<std::mutex> lock(state_.mutex);
  gate.wait_for_change(state_, lock);
  if (state_.writing) gate.refuse_beside_writer();
  if (own_readings > 0) refuse("the model cannot be trained from within predict or evaluate");
  state_.writing = true;  // from here on no reader comes in
  state_.writer = std::this_thread::get_id();
  while (state_.readers > 0) {
    if (Gate::wait(state_, lock)) continue;
    lock.unlock();
    try {
      poll();
    } catch (...) {
      lock.lock();
      state_.writing = false;
      throw;
    }
    lock.lock();
  }
}

Gate::Writing::~Writing() {
  const std::lock_guard<std::mutex> lock(state_.mutex);
  state_.writing = false;
}

Gate::Stepping::Stepping(Gate& gate, const Poll& poll) : state_(gate.state()) {
  std::unique_lock<std::mutex> lock(state_.mutex);
  gate.wait_for_change(state_, lock);
  if (state_.writing) gate.refuse_beside_writer();
  if (own_readings > 0) refuse("the model cannot be trained from within predict or evaluate");
  state_.changing = true;  // from here on no reader comes in
  state_.changer = std::this_thread::get_id();
  while (state_.readers > 0) {
    if (Gate::wait(state_, lock)) continue;
    lock.unlock();
    try {
      poll();
    } catch (...) {
      open();
      throw;
    }
    lock.lock();
  }
}

Gate::Stepping::~Stepping() { open(); }

void Gate::Stepping::open() {
  const std::lock_guard<std::mutex> lock(state_.mutex);
  state_.changing = false;
  state_.changer = std::thread::id();
  state_.freed.notify_all();
}

// Readers come in until none is there: a reader may wait with a lock that the poll needs.
Gate::Replacing::Replacing(Gate& gate, const Poll& poll) : state_(gate.state()) {
  std::unique_lock<std::mutex> lock(state_.mutex);
  while (true) {
    if (state_.writing) gate.refuse_beside_writer();
    refuse_within_change(state_);
    if (state_.readers == 0 && !state_.changing) break;
    if (Gate::wait(state_, lock)) continue;
    lock.unlock();
    poll();
    lock.lock();
  }
  state_.changing = true;
}

Gate::Replacing::~Replacing() {
  const std::lock_guard<std::mutex> lock(state_.mutex);
  state_.changing = false;
  state_.freed.notify_all();
}

Gate::Changing::Changing(Gate& gate) : state_(gate.state()) {
  const std::lock_guard<std::mutex> lock(state_.mutex);
  if (state_.writing) gate.refuse_beside_writer();
  if (state_.readers > 0 || state_.changing) refuse(in_use);
  state_.changing = true;
}

Gate::Changing::~Changing() {
  const std::lock_guard<std::mutex> lock(state_.mutex);
  state_.changing = false;
  state_.freed.notify_all();
}

}  // namespace fastnn
