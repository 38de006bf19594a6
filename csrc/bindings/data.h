// The caller's arrays as the engine reads them.
#pragma once

#include <optional>
#include <vector>

#include "bindings/bindings.h"
#include "core/session.h"

namespace fastnn::bindings {

// Views of arrays, which it keeps alive.
class Data {
 public:
  Data(py::array x, std::optional<py::array> targets, std::optional<py::array> labels,
       std::optional<py::array> weights, std::optional<py::array> rows);
  const Dataset& dataset() const { return dataset_; }

 private:
  ArrayView view(const char* name, const py::array& array, std::vector<Index>& offsets);

  py::array x_;
  std::optional<py::array> targets_, labels_, weights_, rows_;
  std::vector<Index> x_offsets_, target_offsets_;
  Dataset dataset_;
};

void register_data(py::module_& module);

}  // namespace fastnn::bindings
