// A part of a matrix.
#pragma once

#include "core/kernels.h"

namespace fastnn {

struct Block {
  Index row, rows, column, columns;
};

}  // namespace fastnn
