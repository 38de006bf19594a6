// Arrays as the caller has them: element types, strides, and rows chosen from them. How an
// element becomes a number is in element.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/target.h"

namespace fastnn {

using Index = int64_t;

#define FASTNN_ELEMENTS(use) \
  use(u8, uint8_t)           \
  use(i8, int8_t)            \
  use(u16, uint16_t)         \
  use(i16, int16_t)          \
  use(u32, uint32_t)         \
  use(i32, int32_t)          \
  use(u64, uint64_t)         \
  use(i64, int64_t)          \
  use(f16, Half)             \
  use(f32, float)            \
  use(f64, double)

// IEEE binary16, as bits.
struct Half {
  uint16_t bits;
};

enum class Element : unsigned char {
#define FASTNN_USE(name, type) name,
  FASTNN_ELEMENTS(FASTNN_USE)
#undef FASTNN_USE
};

constexpr FASTNN_INLINE int bytes_of(Element element) {
  switch (element) {
#define FASTNN_USE(name, type) \
  case Element::name:          \
    return sizeof(type);
    FASTNN_ELEMENTS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// Rows of `columns` elements at any byte strides. Where the columns of a row do
// not lie at one stride (a slice of images, say), offsets[j] is where column j is.
struct ArrayView {
  const void* data = nullptr;
  Element element = Element::f32;
  Index rows = 0;
  Index columns = 0;
  Index row_stride = 0;
  Index column_stride = 0;
  const Index* offsets = nullptr;
};

// Rows of a sparse matrix (CSR): row r has the numbers starts[r]..starts[r + 1] of `values`, in the
// columns that stand at the same places, ascending, each once.
struct SparseView {
  const Index* starts = nullptr;  // (rows + 1); null: there is no such matrix
  const int32_t* columns = nullptr;
  const void* values = nullptr;
  Element element = Element::f32;  // f32 or f64
};

// Which rows: order[0..n), or first..first+n where there is no order.
struct Rows {
  const Index* order = nullptr;
  Index first = 0;
  Index n = 0;
};

}  // namespace fastnn
