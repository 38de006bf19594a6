// The native module: a list of what registers itself.
#include "bindings/bindings.h"
#include "bindings/tables.h"
#include "build.h"

#include "core/backend.h"

namespace fastnn::bindings {

std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  out << '(';
  for (py::ssize_t axis = 0; axis < shape.axes; ++axis) {
    out << (axis > 0 ? ", " : "") << shape.lengths[axis];
  }
  return out << (shape.axes == 1 ? ",)" : ")");
}

}  // namespace fastnn::bindings

PYBIND11_MODULE(_core, module) {
  fastnn::backend();  // chooses the instruction set, or says now why it cannot
  module.attr("__version__") = fastnn::build_version;
  fastnn::bindings::register_settings(module);
  fastnn::bindings::register_device_array(module);
  fastnn::bindings::register_ops(module);
  fastnn::bindings::register_layer_ops(module);
  fastnn::bindings::register_split_product(module);
  fastnn::bindings::register_random(module);
  fastnn::bindings::register_tables(module);
  fastnn::bindings::register_network(module);
}
