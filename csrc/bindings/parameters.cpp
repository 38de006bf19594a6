// Parameter buffers as Python holds them.
#include "nn/parameters.h"

#include <pybind11/stl.h>

#include <memory>
#include <new>

#include "bindings/network.h"
#include "bindings/unlocked.h"
#include "core/backend.h"
#include "core/random.h"

namespace fastnn::bindings {

namespace {

[[noreturn]] void out_of_memory(Index size, Element element) {
  const std::string text =
      message("cannot have ", size, " parameters of ", name_of(element), " (",
              static_cast<double>(size) * (element == Element::f64 ? 8 : 4) / 0x1p30, " GiB)");
  PyErr_SetString(PyExc_MemoryError, text.c_str());
  throw py::error_already_set();
}

std::shared_ptr<ParameterBuffer> make_buffer(Index size, const std::string& dtype) {
  const Element element = element_named(dtype);
  try {
    return std::make_shared<ParameterBuffer>(size, element);
  } catch (const std::bad_alloc&) {
    out_of_memory(size, element);
  }
}

Index count_of(const std::vector<Index>& shape) {
  Index count = 1;
  for (const Index length : shape) {
    check(length >= 0 && !__builtin_mul_overflow(count, length, &count),
          "shape: a length is negative, or the product too large");
  }
  return count;
}

void check_range(const ParameterBuffer& buffer, Index offset, Index count) {
  check(offset >= 0 && count >= 0 && count <= buffer.size() && offset <= buffer.size() - count,
        "offset: expected a range in [0, ", buffer.size(), "), got ", count, " from ", offset);
}

py::array view(const std::shared_ptr<ParameterBuffer>& buffer, Index offset,
               const std::vector<Index>& shape) {
  check_range(*buffer, offset, count_of(shape));
  if (buffer->on_device()) {
    const Unlocked unlocked;
    buffer->bring();
  }
  // Without a base, NumPy copies.
  const py::object base = buffer->on_device() ? py::object() : py::cast(buffer);
  py::array array(dtype_of(buffer->element()), shape, buffer->at(offset), base);
  array.attr("flags").attr("writeable") = false;
  return array;
}

const void* values_for(const ParameterBuffer& buffer, Index offset, const py::array& values) {
  check_range(buffer, offset, values.size());
  return buffer.element() == Element::f64
             ? static_cast<const void*>(data_of<double>(values, "values"))
             : static_cast<const void*>(data_of<float>(values, "values"));
}

void write(ParameterBuffer& buffer, Index offset, const py::array& values) {
  buffer.write(offset, values_for(buffer, offset, values), values.size());
}

// One call of native code, so that no signal comes between two of the arrays.
void write_all(ParameterBuffer& buffer, const std::vector<Index>& offsets,
               const std::vector<py::array>& arrays) {
  check(offsets.size() == arrays.size(), "arrays: expected ", offsets.size(), ", got ",
        arrays.size());
  std::vector<const void*> data;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    data.push_back(values_for(buffer, offsets[i], arrays[i]));
  }
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    buffer.write(offsets[i], data[i], arrays[i].size());
  }
}

template <class T>
void fill_typed(ParameterBuffer& buffer, Index offset, Fill<T> fill, bool normal) {
  fill.out = static_cast<T*>(buffer.at(offset));
  const Kernels<T>& table = kernels<T>(*backend().table);
  const Unlocked unlocked;
  backend().here().call(normal ? table.fill_normal : table.fill_uniform, fill);
}

void fill(ParameterBuffer& buffer, Index offset, Index count, double a, double b, bool normal,
          bool truncated, std::uint64_t key, std::uint64_t stream) {
  check_range(buffer, offset, count);
  buffer.to_write();
  key = portable::stream_key(key, stream);
  if (buffer.element() == Element::f64) {
    fill_typed<double>(buffer, offset, {count, key, a, b, truncated, nullptr}, normal);
  } else {
    fill_typed<float>(buffer, offset, {count, key, a, b, truncated, nullptr}, normal);
  }
  buffer.mark_changed();
}

}  // namespace

std::string name_of(Element element) { return element == Element::f64 ? "float64" : "float32"; }

py::dtype dtype_of(Element element) {
  return element == Element::f64 ? py::dtype::of<double>() : py::dtype::of<float>();
}

Element element_named(const std::string& dtype) {
  if (dtype == "float32") return Element::f32;
  if (dtype == "float64") return Element::f64;
  invalid("dtype: expected 'float32' or 'float64', got '", dtype, "'");
}

void register_parameters(py::module_& module) {
  using namespace py::literals;
  py::class_<ParameterBuffer, std::shared_ptr<ParameterBuffer>>(module, "Parameters")
      .def(py::init(&make_buffer), "size"_a, "dtype"_a)
      .def_property_readonly("size", &ParameterBuffer::size)
      .def_property_readonly(
          "dtype", [](const ParameterBuffer& buffer) { return name_of(buffer.element()); })
      .def_property_readonly("version", &ParameterBuffer::version)
      .def_property_readonly("weights_version", &ParameterBuffer::weights_version)
      .def(
          "write_statistics",
          [](ParameterBuffer& buffer, Index offset, const py::array& values) {
            buffer.write_statistics(offset, values_for(buffer, offset, values), values.size());
          },
          "offset"_a, "values"_a)
      .def("view", view, "offset"_a, "shape"_a)
      .def("write", write, "offset"_a, "values"_a)
      .def("write_all", write_all, "offsets"_a, "arrays"_a)
      .def(
          "fill_uniform",
          [](ParameterBuffer& buffer, Index offset, Index count, double low, double high,
             std::uint64_t key, std::uint64_t stream) {
            fill(buffer, offset, count, low, high, false, false, key, stream);
          },
          "offset"_a, "count"_a, "low"_a, "high"_a, py::kw_only(), "key"_a, "stream"_a)
      .def(
          "fill_normal",
          [](ParameterBuffer& buffer, Index offset, Index count, double mean, double stddev,
             bool truncated, std::uint64_t key, std::uint64_t stream) {
            fill(buffer, offset, count, mean, stddev, true, truncated, key, stream);
          },
          "offset"_a, "count"_a, "mean"_a, "stddev"_a, py::kw_only(), "truncated"_a, "key"_a,
          "stream"_a);
}

}  // namespace fastnn::bindings
