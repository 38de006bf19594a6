// Parts of a matrix.
#pragma once

#include "core/kernels.h"

namespace fastnn {

struct Block {
  Index row, rows, column, columns;
};

// A block of a product after its last addition, still in cache. `c` points to its first element, in
// the product's C or in scratch memory.
template <class T>
struct ResultBlock : Block {
  T* c;
  Index c_row;
};

}  // namespace fastnn
