// The kernels of the device. Each is a function of the host that launches what it takes;
// addresses in its arguments are the device's, but for those that `scan` writes to: it
// waits for its result.
#pragma once

#include "core/declarations.h"
#include "cuda/context.h"
#include "cuda/table.h"
