// The Python interface of the predictor.
//
// A whole call takes a few microseconds. Therefore it reads the caller's array in place, creates
// only the result, and keeps the GIL if it can.
#include "nn/predictor.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "bindings/data.h"
#include "bindings/network.h"
#include "bindings/structure.h"
#include "bindings/unlocked.h"
#include "core/names.h"
#include "nn/network.h"

namespace fastnn::bindings {

namespace {

constexpr std::size_t most_axes = 32;  // of an array, in every version of NumPy

class Callable {
 public:
  Callable(std::unique_ptr<Predictor> predictor, Structure inputs, Structure outputs,
           py::object convert)
      : predictor_(std::move(predictor)),
        inputs_(std::move(inputs)),
        outputs_(std::move(outputs)),
        dtype_(dtype_of(predictor_->element())),
        convert_(std::move(convert)) {
    for (const Structure* structure : {&inputs_, &outputs_}) {
      for (std::size_t i = 0; i < structure->count(); ++i) {
        check(structure->shape(i).size() < most_axes, "shape: too many axes");
      }
    }
    check(inputs_.width() == predictor_->input_width() &&
              outputs_.width() == predictor_->output_width(),
          "shape: expected ", predictor_->input_width(), " inputs and ", predictor_->output_width(),
          " outputs");
    for (std::size_t i = 0; i < inputs_.count(); ++i) {
      names_.push_back(inputs_.is_single() ? "x" : message("x[", i, "]"));
    }
  }

  py::object predict(py::handle x) const;

  py::object input_shape() const { return inputs_.shapes(); }
  py::object output_shape() const { return outputs_.shapes(); }
  std::string dtype() const { return name_of(predictor_->element()); }
  std::string repr() const {
    return message("<Predictor input_shape=", std::string(py::str(input_shape())),
                   ", output_shape=", std::string(py::str(output_shape())), ", dtype=", dtype(),
                   ">");
  }

 private:
  py::array array_of(const std::string& name, py::handle x) const;
  py::object make_output(Index rows, py::ssize_t row_axes, const Lengths& output) const;
  py::object predict_single(py::handle x) const;
  py::object predict_several(py::handle x) const;
  template <class F>
  void run(Index rows, const F& predict) const;

  std::unique_ptr<Predictor> predictor_;
  Structure inputs_, outputs_;
  std::vector<std::string> names_;  // of the inputs, for errors
  py::dtype dtype_;
  py::object convert_;
};

// Returns x itself if it is an array that native code can read. A subclass is converted, since its
// numbers may have another meaning.
py::array Callable::array_of(const std::string& name, py::handle x) const {
  if (Py_TYPE(x.ptr()) == py::detail::npy_api::get().PyArray_Type_) {
    auto array = py::reinterpret_borrow<py::array>(x);
    if (readable(array)) return array;
  }
  return convert_(name, x);
}

// Returns 1 if x is several rows of this shape, 0 if it is a single row.
py::ssize_t row_axes(const std::string& name, const py::array& x, const Lengths& shape) {
  const auto axes = static_cast<py::ssize_t>(shape.size());
  const py::ssize_t first = x.ndim() - axes;
  if (first == 0 || first == 1) {
    py::ssize_t axis = 0;
    while (axis < axes && x.shape(first + axis) == shape[static_cast<std::size_t>(axis)]) ++axis;
    if (axis == axes) return first;
  }
  std::string rows = "(n";
  for (const py::ssize_t length : shape) rows += ", " + std::to_string(length);
  invalid(name, ": expected shape ", std::string(py::str(tuple_of(shape))), " or ", rows, "), got ",
          shape_of(x));
}

// An uninitialised array of one row, without row_axes, or of `rows` rows.
py::object Callable::make_output(Index rows, py::ssize_t row_axes, const Lengths& output) const {
  std::array<Py_intptr_t, most_axes> shape{rows};
  std::copy(output.begin(), output.end(), shape.begin() + row_axes);
  const py::detail::npy_api& numpy = py::detail::npy_api::get();
  // pybind11's own constructor needs shape and strides on the heap.
  PyObject* const made =
      numpy.PyArray_NewFromDescr_(numpy.PyArray_Type_, py::dtype(dtype_).release().ptr(),
                                  static_cast<int>(output.size()) + static_cast<int>(row_axes),
                                  shape.data(), nullptr, nullptr, 0, nullptr);
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(made);
}

void* memory_of(py::handle array) { return py::detail::array_proxy(array.ptr())->data; }

// Calls predict(poll), without the GIL unless it takes a few microseconds only.
template <class F>
void Callable::run(Index rows, const F& predict) const {
  if (predictor_->quick(rows)) {
    predict(Poll());
  } else {
    const Unlocked unlocked;
    predict(Poll(poll_signals));
  }
}

py::object Callable::predict_single(py::handle x) const {
  const py::array array = array_of(names_.front(), x);
  const py::ssize_t axes = row_axes(names_.front(), array, inputs_.single());
  std::vector<Index> offsets;
  Dataset data;
  data.x = view_of("x", array, axes, offsets);
  data.count = data.x.rows;
  check(data.count > 0, "x is empty: its shape is ", shape_of(array));
  py::object out = make_output(data.count, axes, outputs_.single());
  void* const memory = memory_of(out);
  run(data.count, [&](const Poll& poll) { predictor_->predict(data, memory, poll); });
  return out;
}

py::object Callable::predict_several(py::handle x) const {
  std::vector<py::array> arrays;
  std::vector<std::vector<Index>> offsets(inputs_.count());
  std::vector<Predictor::Input> views;
  arrays.reserve(inputs_.count());
  views.reserve(inputs_.count());
  py::ssize_t axes = 0;
  for (const py::object& part : inputs_.taken(x)) {
    const std::size_t i = views.size();
    const std::string& name = names_[i];
    arrays.push_back(array_of(name, part));
    const py::ssize_t own_axes = row_axes(name, arrays[i], inputs_.shape(i));
    views.push_back({name, view_of(name.c_str(), arrays[i], own_axes, offsets[i])});
    check(views[i].x.rows > 0, name, " is empty: its shape is ", shape_of(arrays[i]));
    if (i == 0) axes = own_axes;
    check(own_axes == axes, "x: expected a row in each input, or rows in each, got shapes ",
          shape_of(arrays.front()), " and ", shape_of(arrays[i]));
    check(views[i].x.rows == views.front().x.rows, "x: inputs of ", views.front().x.rows, " and ",
          views[i].x.rows, " rows");
  }
  const Index rows = views.front().x.rows;
  std::vector<py::object> made;
  std::vector<Predictor::Output> outputs;
  made.reserve(outputs_.count());
  outputs.reserve(outputs_.count());
  for (std::size_t i = 0; i < outputs_.count(); ++i) {
    made.push_back(make_output(rows, axes, outputs_.shape(i)));
    outputs.push_back({count_of(outputs_.shape(i)), memory_of(made[i])});
  }
  run(rows, [&](const Poll& poll) { predictor_->predict(views, rows, outputs, poll); });
  return outputs_.made(made);
}

py::object Callable::predict(py::handle x) const {
  if (!inputs_.is_single() || !outputs_.is_single()) return predict_several(x);
  // An array is the usual case, and is in no structure.
  if (Py_TYPE(x.ptr()) == py::detail::npy_api::get().PyArray_Type_) return predict_single(x);
  return predict_single(inputs_.taken(x).front());
}

// Refuses Predictor() and Predictor.__new__, which would make an empty object.
PyObject* refuse_new(PyTypeObject*, PyObject*, PyObject*) {
  PyErr_SetString(PyExc_TypeError, "a Predictor is made by model.predictor()");
  return nullptr;
}

constexpr const char* doc =
    R"(What `model.predictor()` returns: the model as it was then, called as predict(x).

    >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
    >>> model.set_weights([[[1.0], [10.0]], [5.0]])
    >>> predict = model.predictor()
    >>> predict([1.0, 2.0]).tolist(), predict([[1.0, 2.0], [3.0, 4.0]]).tolist()
    ([26.0], [[26.0], [48.0]])

Attributes: input_shape and output_shape, of a row, in a list or a dictionary if there are
several; dtype. It has a copy of the weights, and cannot be changed or pickled.)";

}  // namespace

py::object make_predictor(Network& network, const py::tuple& inputs, const py::tuple& outputs,
                          const std::vector<std::string>& ends, py::object convert) {
  const auto structure_of = [](const py::tuple& told) {
    return Structure(told[0], told[1], told[2].cast<std::vector<Lengths>>());
  };
  std::vector<Head> heads;
  for (const std::string& end : ends) heads.push_back(find_name<Head>("ends", head_names, end));
  std::unique_ptr<Predictor> predictor;
  {
    const Unlocked unlocked;
    predictor = network.predictor(heads);
  }
  return py::cast(std::make_unique<Callable>(std::move(predictor), structure_of(inputs),
                                             structure_of(outputs), std::move(convert)));
}

void register_predictor(py::module_& module) {
  using namespace py::literals;
  const auto refuse = [](PyHeapTypeObject* type) { type->ht_type.tp_new = refuse_new; };
  py::class_<Callable> predictor(module, "Predictor", py::custom_type_setup(refuse), doc);
  predictor.attr("__module__") = "fastnn";
  predictor.def("__call__", &Callable::predict, "x"_a)
      .def_property_readonly("input_shape", &Callable::input_shape,
                             "The shape of a row, in the structure of several inputs.")
      .def_property_readonly(
          "output_shape", &Callable::output_shape,
          "The shape of an output for a row, in the structure of several outputs.")
      .def_property_readonly("dtype", &Callable::dtype, "The type of the outputs, a string.")
      .def("__repr__", &Callable::repr);
}

}  // namespace fastnn::bindings
