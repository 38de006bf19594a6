// The Python interface of the predictor.
//
// A whole call takes a few microseconds. Therefore it reads the caller's array in place, creates
// only the result, and keeps the GIL if it can.
#include "nn/predictor.h"

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "bindings/data.h"
#include "bindings/network.h"
#include "bindings/unlocked.h"
#include "nn/network.h"

namespace fastnn::bindings {

namespace {

constexpr std::size_t most_axes = 32;  // of an array, in every version of NumPy

using Lengths = std::vector<py::ssize_t>;

Index count_of(const Lengths& shape) {
  Index count = 1;
  for (const py::ssize_t length : shape) count *= length;
  return count;
}

py::tuple tuple_of(const Lengths& shape) {
  py::tuple tuple(shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) tuple[i] = py::int_(shape[i]);
  return tuple;
}

class Callable {
 public:
  Callable(std::unique_ptr<Predictor> predictor, Lengths input, Lengths output, py::object convert)
      : predictor_(std::move(predictor)),
        input_(std::move(input)),
        output_(std::move(output)),
        dtype_(dtype_of(predictor_->element())),
        convert_(std::move(convert)) {
    check(input_.size() < most_axes && output_.size() < most_axes, "shape: too many axes");
    check(count_of(input_) == predictor_->input_width() &&
              count_of(output_) == predictor_->output_width(),
          "shape: expected ", predictor_->input_width(), " inputs and ", predictor_->output_width(),
          " outputs");
  }

  py::object predict(py::handle x) const;

  py::tuple input_shape() const { return tuple_of(input_); }
  py::tuple output_shape() const { return tuple_of(output_); }
  std::string dtype() const { return name_of(predictor_->element()); }
  std::string repr() const {
    return message("<Predictor input_shape=", std::string(py::str(input_shape())),
                   ", output_shape=", std::string(py::str(output_shape())), ", dtype=", dtype(),
                   ">");
  }

 private:
  py::array array_of(py::handle x) const;
  py::ssize_t row_axes(const py::array& x) const;
  py::object make_output(const Dataset& data, py::ssize_t row_axes) const;

  std::unique_ptr<Predictor> predictor_;
  Lengths input_, output_;  // shapes of a row
  py::dtype dtype_;
  py::object convert_;
};

// Returns x itself if it is an array that native code can read. A subclass is converted, since its
// numbers may have another meaning.
py::array Callable::array_of(py::handle x) const {
  if (Py_TYPE(x.ptr()) == py::detail::npy_api::get().PyArray_Type_) {
    auto array = py::reinterpret_borrow<py::array>(x);
    if (readable(array)) return array;
  }
  return convert_("x", x);
}

// Returns 1 if x is several rows, 0 if it is a single row.
py::ssize_t Callable::row_axes(const py::array& x) const {
  const auto axes = static_cast<py::ssize_t>(input_.size());
  const py::ssize_t first = x.ndim() - axes;
  if (first == 0 || first == 1) {
    py::ssize_t axis = 0;
    while (axis < axes && x.shape(first + axis) == input_[static_cast<std::size_t>(axis)]) ++axis;
    if (axis == axes) return first;
  }
  std::string rows = "(n";
  for (const py::ssize_t length : input_) rows += ", " + std::to_string(length);
  invalid("x: expected shape ", std::string(py::str(input_shape())), " or ", rows, "), got ",
          shape_of(x));
}

// An uninitialised array of the output's shape.
py::object Callable::make_output(const Dataset& data, py::ssize_t row_axes) const {
  std::array<Py_intptr_t, most_axes> shape{data.count};
  std::copy(output_.begin(), output_.end(), shape.begin() + row_axes);
  const py::detail::npy_api& numpy = py::detail::npy_api::get();
  // pybind11's own constructor needs shape and strides on the heap.
  PyObject* const made =
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype(dtype_).release().ptr(),
                                  static_cast<int>(output_.size()) + static_cast<int>(row_axes),
                                  shape.data(), nullptr, nullptr, 0, nullptr);
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

py::object Callable::predict(py::handle x) const {
  const py::array array = array_of(x);
  const py::ssize_t axes = row_axes(array);
  std::vector<Index> offsets;
  Dataset data;
  data.x = view_of("x", array, axes, offsets);
  data.count = data.x.rows;
  check(data.count > 0, "x is empty: its shape is ", shape_of(array));
  py::object out = make_output(data, axes);
  void* const memory = py::detail::array_proxy(out.ptr())->data;
  if (predictor_->quick(data.count)) {
    predictor_->predict(data, memory, {});
  } else {
    const Unlocked unlocked;
    predictor_->predict(data, memory, poll_signals);
  }
  return out;
}

// Refuses Predictor() and Predictor.__new__, which would make an empty object.
PyObject* refuse_new(PyTypeObject*, PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "a Predictor is made by model.predictor()");
  return nullptr;
}

constexpr const char* doc =
    "What `model.predictor()` returns: the model as it was then, called as predict(x).\n\n"
    "Attributes: input_shape and output_shape, of a row; dtype. It has a copy of the\n"
    "weights, and cannot be changed or pickled.";

}  // namespace

py::object make_predictor(Network& network, std::vector<py::ssize_t> input_shape,
                          std::vector<py::ssize_t> output_shape, py::object convert) {
  std::unique_ptr<Predictor> predictor;
  {
    const Unlocked unlocked;
    predictor = network.predictor();
  }
  return py::cast(std::make_unique<Callable>(std::move(predictor), std::move(input_shape),
                                             std::move(output_shape), std::move(convert)));
}

void register_predictor(py::module_& module) {
  using namespace py::literals;
  const auto refuse = [](PyHeapTypeObject* type) { type->ht_type.tp_new = refuse_new; };
  py::class_<Callable> predictor(module, "Predictor", py::custom_type_setup(refuse), doc);
  predictor.attr("__module__") = "fastnn";
  predictor.def("__call__", &Callable::predict, "x"_a)
      .def_property_readonly("input_shape", &Callable::input_shape)
      .def_property_readonly("output_shape", &Callable::output_shape)
      .def_property_readonly("dtype", &Callable::dtype)
      .def("__repr__", &Callable::repr);
}

}  // namespace fastnn::bindings
