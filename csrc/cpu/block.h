// Parts of a matrix.
#pragma once

#include "core/kernels.h"

namespace fastnn {

struct Block {
  Index row, rows, column, columns;
};

// A block of a product that has got its last addition and is still in cache. Its
// first element is at c: in the product's C itself, or in scratch memory.
template <class T>
struct ResultBlock : Block {
  T* c;
  Index c_row;
};

}  // namespace fastnn
