// Native calls without the GIL, and how they end when the interpreter ends.
#pragma once

#include <pybind11/pybind11.h>

#include <optional>

#include "core/arrays.h"
#include "nn/gate.h"

namespace fastnn::bindings {

// Releases the GIL during the object's life. A daemon thread must not ask for the GIL of an
// interpreter that is ending: before Python 3.14 that unwinds the thread's stack through frames
// that cannot be unwound, and the process aborts. Such a thread sleeps here instead, until the
// process ends.
class Unlocked {
 public:
  Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked();

 private:
  PyThreadState* state_;
  // A signal handler may make this call in the middle of a `Brief` one.
  const PlainWaits plain_;
};

// Around a call that takes microseconds. It keeps the GIL, since to give it away and to get it back
// may take longer than the call where other threads wait for it, but releases it while the thread
// waits for a network that another one uses.
class Brief final : public AroundWaits {
 public:
  Brief() = default;
  ~Brief() override = default;
  void before() override { unlocked_.emplace(); }
  void after() override { unlocked_.reset(); }

 private:
  std::optional<Unlocked> unlocked_;
};

// Around a call that looks at so many numbers: `Brief` for few, `Unlocked` for many.
class UnlockedFor {
 public:
  explicit UnlockedFor(Index numbers) {
    constexpr Index few = 1 << 14;  // some microseconds
    if (numbers <= few) {
      brief_.emplace();
    } else {
      unlocked_.emplace();
    }
  }

 private:
  std::optional<Brief> brief_;
  std::optional<Unlocked> unlocked_;
};

// Does not return once the interpreter is ending. Long calls use this before they ask for the GIL.
void stay_if_ending();

// Long calls make this call now and then: it takes the GIL, lets Python's signal handlers run, and
// throws the exception that a handler raised.
void poll_signals();

// Called with the GIL before the interpreter ends. Waits, for half a second at most, until the
// native calls of other threads reach a point where they can stay.
void end_native_calls();

}  // namespace fastnn::bindings
