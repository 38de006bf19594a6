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

namespace {

// Called for nothing but an object whose memory its constructor has not yet made.
void* refuse_unmade(std::size_t) {
  throw py::type_error("an object that was made by __new__, without its constructor");
}

}  // namespace

void close_classes(const py::module_& module) {
  const auto refuse_pickling = [](const py::object& self, const py::args&) -> py::object {
    throw py::type_error(message(
        "cannot pickle '", std::string(py::str(py::type::of(self).attr("__name__"))), "' object"));
  };
  for (const auto& [name, member] : module.attr("__dict__").cast<py::dict>()) {
    if (PyType_Check(member.ptr()) == 0) continue;
    const auto& types = py::detail::all_type_info(reinterpret_cast<PyTypeObject*>(member.ptr()));
    if (types.empty()) continue;  // an exception
    for (py::detail::type_info* const type : types) type->operator_new = refuse_unmade;
    for (const char* const method : {"__reduce__", "__reduce_ex__"}) {
      member.attr(method) =
          py::cpp_function(refuse_pickling, py::name(method), py::is_method(member));
    }
  }
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
  fastnn::bindings::register_exchange(module);
  fastnn::bindings::register_random(module);
  fastnn::bindings::register_tables(module);
  fastnn::bindings::register_network(module);
  fastnn::bindings::close_classes(module);
}
