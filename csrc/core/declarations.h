// The kernels of one table, declared under their names there, and the table they make.
// A backend's files include it through its own kernels.h.
#pragma once

#include "core/kernels.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

#define FASTNN_USE(name, Arguments) Status name(Context&, const Arguments&);
FASTNN_UNTYPED_KERNELS(FASTNN_USE)
#undef FASTNN_USE

#define FASTNN_USE(name, Arguments) \
  template <class T>                \
  Status name(Context&, const Arguments<T>&);
FASTNN_KERNELS(FASTNN_USE)
#undef FASTNN_USE

template <class T>
constexpr Kernels<T> make_kernels() {
  return {
#define FASTNN_USE(name, Arguments) .name = name<T>,
      FASTNN_KERNELS(FASTNN_USE)
#undef FASTNN_USE
  };
}

constexpr KernelTable make_table(const char* name) {
  return {
      .name = name,
#define FASTNN_USE(name, Arguments) .name = name,
      FASTNN_UNTYPED_KERNELS(FASTNN_USE)
#undef FASTNN_USE
          .f32 = make_kernels<float>(),
      .f64 = make_kernels<double>(),
  };
}

}  // namespace fastnn::FASTNN_TARGET

// Both element types of a kernel, at the end of the file that defines it.
#define FASTNN_INSTANTIATE(kernel, Arguments)                \
  template Status kernel(Context&, const Arguments<float>&); \
  template Status kernel(Context&, const Arguments<double>&);
