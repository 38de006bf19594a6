// The epilogues of dense layers, on blocks of a product that are still in cache, for products that
// are computed outside dense.cpp.
#pragma once

#include "cpu/block.h"

namespace fastnn {

// An optimizer's step, with everything computed that its elements share.
struct alignas(64) PreparedBytes {
  unsigned char bytes[192];
};

struct DenseFinish {
  // Computes y, and z if it is kept, from a block of x w + b.
  void (*forward)(const DenseForward<float>&, const ResultBlock<float>&);
  // Computes dx from a block of dz w^T: multiplies by the slope of the layer that made x.
  void (*dx)(const DenseBackward<float>&, const ResultBlock<float>&);
  PreparedBytes (*prepare)(const OptimizerStep<float>&);
  // Updates the weights, in rows of `o`, from a block of dw.
  void (*update)(const PreparedBytes&, Index o, const ResultBlock<float>&);
};

}  // namespace fastnn
