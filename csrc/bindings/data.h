// The caller's arrays as the engine reads them.
#pragma once

#include <optional>
#include <vector>

#include "bindings/bindings.h"
#include "core/session.h"

namespace fastnn::bindings {

// How the kernels read the numbers of an array; none where they cannot: numbers of more
// than 64 bits, of the other byte order, or no numbers.
std::optional<Element> readable(const py::array& array);

// The array as rows along its first axis or, with no row_axes, as a single row. May fill
// `offsets`, which must live as long as the view. TypeError where it is not readable.
ArrayView view_of(const char* name, const py::array& array, py::ssize_t row_axes,
                  std::vector<Index>& offsets);

// A sparse matrix (CSR) that was checked once: native code indexes by its columns, so these and the
// starts of rows are copies. The numbers are the caller's, which it keeps alive.
class SparseMatrix {
 public:
  SparseMatrix(py::array values, const py::array& columns, const py::array& starts, Index width);
  Index rows() const { return std::ssize(starts_) - 1; }
  Index width() const { return width_; }
  SparseView view() const {
    return {starts_.data(), columns_.data(), values_.data(),
            values_.itemsize() == 8 ? Element::f64 : Element::f32};
  }

 private:
  py::array values_;
  std::vector<std::int32_t> columns_;
  std::vector<Index> starts_;
  Index width_;
};

// Views of arrays, which it keeps alive. x is an array or a SparseMatrix.
class Data {
 public:
  Data(py::object x, std::optional<py::array> targets, std::optional<py::array> labels,
       std::optional<py::array> weights, std::optional<py::array> rows);
  const Dataset& dataset() const { return dataset_; }
  // How many numbers the rows that count have; zeros of a sparse matrix count, too.
  Index numbers() const { return dataset_.count * (dataset_.x.columns + dataset_.targets.columns); }

 private:
  py::object x_;
  std::optional<py::array> targets_, labels_, weights_, rows_;
  std::vector<Index> x_offsets_, target_offsets_, weight_offsets_;
  Dataset dataset_;
};

void register_data(py::module_& module);

}  // namespace fastnn::bindings
