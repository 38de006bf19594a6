// What dense layers do with the pieces of a product while these are in cache, for
// products that are made elsewhere than in dense.cpp.
#pragma once

#include "cpu/block.h"

namespace fastnn {

// An optimizer's step with everything worked out that all its elements share.
struct alignas(64) PreparedBytes {
  unsigned char bytes[192];
};

struct DenseFinish {
  // y, and z where it is kept, from a piece of x w + b.
  void (*forward)(const DenseForward<float>&, const ResultBlock<float>&);
  // dx from a piece of dz w^T: times the slope of the layer that made x.
  void (*dx)(const DenseBackward<float>&, const ResultBlock<float>&);
  PreparedBytes (*prepare)(const OptimizerStep<float>&);
  // The step of the weights, rows of `o`, in a piece of dw.
  void (*update)(const PreparedBytes&, Index o, const ResultBlock<float>&);
};

}  // namespace fastnn
