// The kernels of one instruction set.
#pragma once

#include "core/declarations.h"
#include "cpu/context.h"
