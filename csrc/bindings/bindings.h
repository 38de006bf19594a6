// What the binding files share. They convert arguments and release the GIL;
// there is no arithmetic in them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <bit>
#include <ostream>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/machine.h"

namespace fastnn::bindings {

namespace py = pybind11;

void register_settings(py::module_& module);
void register_device_array(py::module_& module);
void register_ops(py::module_& module);
void register_layer_ops(py::module_& module);
void register_split_product(py::module_& module);
void register_exchange(py::module_& module);
void register_random(py::module_& module);
void register_network(py::module_& module);
// Makes the classes of the module refuse two uses that would end the process. An object made by
// cls.__new__(cls), without the constructor, gets uninitialised memory from pybind11 on first use.
// Protocols 0 and 1 of pickle make an object of pybind11's base, whose C++ exception leaves through
// C.
void close_classes(const py::module_& module);

// Prints as NumPy prints a shape, "(3, 4)"; costs nothing where no error is made.
struct Shape {
  const py::ssize_t* lengths;
  py::ssize_t axes;
};
inline Shape shape_of(const py::array& array) { return {array.shape(), array.ndim()}; }
std::ostream& operator<<(std::ostream& out, const Shape& shape);

// Whether numbers of the type lie in this machine's byte order, which may be written out ("<f8").
inline bool is_native(const py::dtype& dtype) {
  constexpr char native = std::endian::native == std::endian::little ? '<' : '>';
  const char order = dtype.byteorder();
  return order == '=' || order == '|' || order == native;
}

inline bool is_double(const py::array& array) {
  return array.dtype().kind() == 'f' && array.itemsize() == 8;
}

// A C-contiguous, aligned array of T, named in the error where it is not.
template <class T>
const T* data_of(const py::array& array, const char* name) {
  constexpr int aligned = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  constexpr int wanted = py::array::c_style | aligned;
  const bool right = py::isinstance<py::array_t<T>>(array) && (array.flags() & wanted) == wanted;
  if (!right) {  // the words cost more than most calls
    invalid(name, ": expected a C-contiguous, aligned array of ",
            std::string(py::str(py::dtype::of<T>())), ", got ",
            std::string(py::str(array.dtype())));
  }
  return static_cast<const T*>(array.data());
}

}  // namespace fastnn::bindings
