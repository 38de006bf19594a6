// Native calls without the GIL, and what becomes of them when the interpreter ends.
#pragma once

#include <pybind11/pybind11.h>

namespace fastnn::bindings {

// Releases the GIL while it lives. A daemon thread must not ask for the GIL of an
// interpreter that is ending: before Python 3.14 that unwinds its stack through
// frames that cannot be unwound, and the process aborts. It sleeps here instead,
// until the process is gone.
class Unlocked {
 public:
  Unlocked();
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked();

 private:
  PyThreadState* state_;
};

// Does not return once the interpreter is ending. For long calls, before they ask
// for the GIL.
void stay_if_ending();

// For long calls to make now and then: takes the GIL and lets Python's signal handlers
// run; what they raise is thrown.
void look_at_signals();

// Called with the GIL before the interpreter ends: lets native calls of other
// threads reach a place where they can stay, for half a second at most.
void end_native_calls();

}  // namespace fastnn::bindings
