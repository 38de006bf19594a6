// A dense layer that encodes the columns of a table itself: the same numbers, up to rounding, as
// encode_columns and then dense_forward, at a cost by columns, not by outputs of the encoding.
//
// Numbers are a narrow product. A level or a gap adds one row of w. The pieces of a number add the
// sum of w's rows below its bin, which are added up once for all rows of x, and a part of the row
// of the bin. Not every machine has these kernels: without them the two nodes are run.
#pragma once

#include "core/kernels.h"

namespace fastnn {

template <class T>
struct EncodedDenseForward {  // y = activation(encoding w + b), an element a chain of additions in
                              // ascending order of outputs of the encoding
  EncodeColumns<T> columns;   // y is (n, numbers) here: the scaled numbers alone
  DenseForward<T> dense;      // i is the width of the encoding; x is not read
};

template <class T>
struct EncodedDenseBackward {  // as dense_backward without dx; an element of dw beyond the numbers
                               // is a chain of additions in ascending order of rows or, of pieces,
                               // the sum of two
  EncodeColumns<T> columns;    // y as the forward pass left it
  DenseBackward<T> dense;      // x is not read; no dx
};

template <class T>
struct EncodedDenseKernels {
  Kernel<EncodedDenseForward<T>> forward;
  Kernel<EncodedDenseBackward<T>> backward;
};

struct EncodedDense {
  EncodedDenseKernels<float> f32;
  EncodedDenseKernels<double> f64;
};

template <class T>
const EncodedDenseKernels<T>& encoded_dense_kernels(const EncodedDense& kernels);
template <>
inline const EncodedDenseKernels<float>& encoded_dense_kernels<float>(const EncodedDense& kernels) {
  return kernels.f32;
}
template <>
inline const EncodedDenseKernels<double>& encoded_dense_kernels<double>(
    const EncodedDense& kernels) {
  return kernels.f64;
}

}  // namespace fastnn
