#include "bindings/data.h"

#include <pybind11/stl.h>

#include <array>
#include <atomic>
#include <utility>

namespace fastnn::bindings {

std::optional<Element> readable(const py::array& array) {
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  const py::ssize_t size = array.itemsize();
  constexpr int first_foreign_type = 256;  // NPY_USERDEF: types that other libraries define
  if (!is_native(dtype) || dtype.num() >= first_foreign_type) return std::nullopt;
  if (kind == 'u' || kind == 'b') {
    if (size == 1) return Element::u8;
    if (size == 2) return Element::u16;
    if (size == 4) return Element::u32;
    if (size == 8) return Element::u64;
  }
  if (kind == 'i') {
    if (size == 1) return Element::i8;
    if (size == 2) return Element::i16;
    if (size == 4) return Element::i32;
    if (size == 8) return Element::i64;
  }
  if (kind == 'f') {
    if (size == 2) return Element::f16;
    if (size == 4) return Element::f32;
    if (size == 8) return Element::f64;
  }
  return std::nullopt;
}

namespace {

Element element_of(const char* name, const py::array& array) {
  if (const std::optional<Element> element = readable(array)) return *element;
  throw py::type_error(message(name,
                               ": expected numbers of up to 64 bits in native byte order, got ",
                               std::string(py::str(array.dtype()))));
}

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> id{0};
  return ++id;
}

// The axes from one on, joined where they lie at one stride. On the stack: a prediction of a row
// allocates its result alone.
struct Axes {
  static constexpr std::size_t most = 64;  // of an array, in every version of NumPy
  std::array<Index, most> lengths, strides;
  std::size_t count = 0;
};

Axes column_axes(const py::array& array, py::ssize_t first) {
  Axes axes;
  for (py::ssize_t axis = first; axis < array.ndim(); ++axis) {
    const Index length = array.shape(axis);
    const Index stride = array.strides(axis);
    if (length == 1) continue;
    if (axes.count > 0 && axes.strides[axes.count - 1] == stride * length) {
      axes.lengths[axes.count - 1] *= length;
      axes.strides[axes.count - 1] = stride;
    } else {
      axes.lengths[axes.count] = length;
      axes.strides[axes.count] = stride;
      ++axes.count;
    }
  }
  return axes;
}

std::vector<Index> column_offsets(const Axes& axes) {
  std::vector<Index> offsets{0};
  for (std::size_t axis = 0; axis < axes.count; ++axis) {
    std::vector<Index> finer;
    finer.reserve(offsets.size() * static_cast<std::size_t>(axes.lengths[axis]));
    for (const Index offset : offsets) {
      for (Index i = 0; i < axes.lengths[axis]; ++i)
        finer.push_back(offset + i * axes.strides[axis]);
    }
    offsets = std::move(finer);
  }
  return offsets;
}

template <class T>
const T* vector_of(const std::optional<py::array>& array, const char* name, Index length) {
  if (!array) return nullptr;
  check(array->ndim() == 1 && (length < 0 || array->shape(0) == length), name, ": expected shape (",
        length, ",) to match x, got ", shape_of(*array));
  return data_of<T>(*array, name);
}

template <class T>
const T* one_axis(const py::array& array, const char* name, Index length) {
  check(array.ndim() == 1 && (length < 0 || array.shape(0) == length), name, ": expected shape (",
        length, ",), got ", shape_of(array));
  return data_of<T>(array, name);
}

}  // namespace

ArrayView view_of(const char* name, const py::array& array, py::ssize_t row_axes,
                  std::vector<Index>& offsets) {
  ArrayView view;
  view.data = array.data();
  view.element = element_of(name, array);
  view.rows = row_axes == 1 ? array.shape(0) : 1;
  view.row_stride = row_axes == 1 ? array.strides(0) : 0;
  view.column_stride = array.itemsize();
  view.columns = 1;
  for (py::ssize_t axis = row_axes; axis < array.ndim(); ++axis) view.columns *= array.shape(axis);
  if ((array.flags() & py::array::c_style) != 0) return view;
  const Axes axes = column_axes(array, row_axes);
  if (axes.count > 1) {
    offsets = column_offsets(axes);
    view.offsets = offsets.data();
  } else if (axes.count == 1) {
    view.column_stride = axes.strides.front();
  }
  return view;
}

SparseMatrix::SparseMatrix(py::array values, const py::array& columns, const py::array& starts,
                           Index width)
    : values_(std::move(values)), width_(width) {
  check(values_.ndim() == 1, "values: expected 1 axis, got shape ", shape_of(values_));
  if (is_double(values_)) {
    data_of<double>(values_, "values");
  } else {
    data_of<float>(values_, "values");
  }
  const Index count = values_.size();
  const auto* const given = one_axis<std::int32_t>(columns, "columns", count);
  const auto* const begins = one_axis<Index>(starts, "starts", -1);
  columns_.assign(given, given + count);
  starts_.assign(begins, begins + starts.size());
  check(!starts_.empty() && starts_.front() == 0 && starts_.back() == count,
        "starts: expected 0 at the beginning and ", count, " at the end");
  for (Index r = 0; r < rows(); ++r) {
    const auto row = static_cast<std::size_t>(r);
    check(starts_[row] <= starts_[row + 1] && starts_[row + 1] <= count,
          "starts: expected an ascending order, got ", starts_[row + 1], " after ", starts_[row],
          " at row ", r);
    Index before = -1;
    for (Index e = starts_[row]; e < starts_[row + 1]; ++e) {
      const Index column = columns_[static_cast<std::size_t>(e)];
      check(column > before && column < width, "columns: expected an ascending order in [0, ",
            width, "), got ", column, " after ", before, " at row ", r);
      before = column;
    }
  }
}

Data::Data(py::object x, std::optional<py::array> targets, std::optional<py::array> labels,
           std::optional<py::array> weights, std::optional<py::array> rows)
    : x_(std::move(x)),
      targets_(std::move(targets)),
      labels_(std::move(labels)),
      weights_(std::move(weights)),
      rows_(std::move(rows)) {
  if (py::isinstance<SparseMatrix>(x_)) {
    const auto& matrix = x_.cast<const SparseMatrix&>();
    dataset_.x.rows = matrix.rows();
    dataset_.x.columns = matrix.width();
    dataset_.sparse = matrix.view();
  } else {
    if (!py::isinstance<py::array>(x_)) throw py::type_error("x: expected an array");
    const auto array = x_.cast<py::array>();
    check(array.ndim() >= 1, "x: expected rows, got a scalar");
    dataset_.x = view_of("x", array, 1, x_offsets_);
  }
  const Index n = dataset_.x.rows;
  if (targets_) {
    check(targets_->ndim() >= 1 && targets_->shape(0) == n, "y: expected ", n,
          " rows to match x, got shape ", shape_of(*targets_));
    dataset_.targets = view_of("y", *targets_, 1, target_offsets_);
  }
  dataset_.labels = vector_of<std::int32_t>(labels_, "y", n);
  if (weights_ && weights_->ndim() == 2) {
    check(weights_->shape(0) == n, "sample_weight: expected ", n, " rows to match x, got shape ",
          shape_of(*weights_));
    static_cast<void>(data_of<double>(*weights_, "sample_weight"));
    dataset_.element_weights = view_of("sample_weight", *weights_, 1, weight_offsets_);
  } else {
    dataset_.weights = vector_of<double>(weights_, "sample_weight", n);
  }
  dataset_.rows = vector_of<Index>(rows_, "rows", -1);
  dataset_.count = rows_ ? rows_->shape(0) : n;
  dataset_.id = next_id();
}

void register_data(py::module_& module) {
  using namespace py::literals;
  py::class_<SparseMatrix>(module, "SparseMatrix")
      .def(py::init<py::array, const py::array&, const py::array&, Index>(), "values"_a,
           "columns"_a, "starts"_a, "width"_a)
      .def_property_readonly(
          "shape",
          [](const SparseMatrix& self) { return py::make_tuple(self.rows(), self.width()); })
      .def("__len__", &SparseMatrix::rows);
  py::class_<Data>(module, "Data")
      .def(py::init<py::object, std::optional<py::array>, std::optional<py::array>,
                    std::optional<py::array>, std::optional<py::array>>(),
           "x"_a, py::kw_only(), "targets"_a = py::none(), "labels"_a = py::none(),
           "weights"_a = py::none(), "rows"_a = py::none())
      .def("__len__", [](const Data& data) { return data.dataset().count; });
}

}  // namespace fastnn::bindings
