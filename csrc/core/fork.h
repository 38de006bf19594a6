// What the children of a fork do first: the only file that asks the system for it. For the host
// only.
#pragma once

#ifndef _WIN32
#include <pthread.h>
#endif

namespace fastnn {

// Calls `first` in each child that is forked from now on, before any other code runs there. False
// if it cannot be done; where processes do not fork there is nothing to do.
inline bool in_children([[maybe_unused]] void (*first)()) {
#ifdef _WIN32
  return true;
#else
  return pthread_atfork(nullptr, nullptr, first) == 0;
#endif
}

}  // namespace fastnn
