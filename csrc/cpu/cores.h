// How many threads a process may usefully run: what the system and the environment grant it.
#pragma once

#include <string>
#include <vector>

#include "core/backend.h"

namespace fastnn {

// The least of thread_limits(), rounded up; at least 1.
int available_cores();

}  // namespace fastnn
