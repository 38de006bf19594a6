// The native module: a list of what registers itself.
#include "bindings/bindings.h"

#include <new>

#include "core/backend.h"

namespace fastnn::bindings {

std::string shape_of(const py::array& array) {
  std::string text = "(";
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    text += (axis > 0 ? ", " : "") + std::to_string(array.shape(axis));
  }
  return text + (array.ndim() == 1 ? ",)" : ")");
}

void must(Status status) {
  if (status == Status::out_of_memory) throw std::bad_alloc();
  if (status == Status::failed) refuse("a kernel failed");
}

}  // namespace fastnn::bindings

PYBIND11_MODULE(_core, module) {
  fastnn::backend();  // chooses the instruction set, or says now why it cannot
  module.attr("__version__") = FASTNN_VERSION;
  fastnn::bindings::register_settings(module);
  fastnn::bindings::register_ops(module);
  fastnn::bindings::register_random(module);
  fastnn::bindings::register_network(module);
}
