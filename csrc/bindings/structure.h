// Several arrays as one argument or one result: a list, a tuple or a dictionary of them.
#pragma once

#include <vector>

#include "bindings/bindings.h"

namespace fastnn::bindings {

using Lengths = std::vector<py::ssize_t>;

// The shape as Python has it.
py::tuple tuple_of(const Lengths& shape);
Index count_of(const Lengths& shape);

// What a structure is: a single array, or several.
enum class Several { none, list, tuple, dict };

// The inputs or the outputs of a model: the structure, and the shape of a row of each array in it.
class Structure {
 public:
  // `kind`: list, tuple or dict, or None for a single array. `names`: of the arrays, in a
  // dictionary its keys; where a list has names, a dictionary by these is taken in its place.
  Structure(const py::object& kind, const py::tuple& names, std::vector<Lengths> shapes);

  bool is_single() const { return several_ == Several::none; }
  std::size_t count() const { return shapes_.size(); }
  const Lengths& shape(std::size_t i) const { return shapes_[i]; }
  const Lengths& single() const { return shapes_.front(); }
  Index width() const;
  // Shapes of the arrays, in their structure.
  py::object shapes() const;

  // The arrays of x, one for each, by their names or in order; of a single input x itself, or the
  // one array in a list or by its name. ValueError where x has others.
  std::vector<py::object> taken(py::handle x) const;
  // The structure of these arrays, as many as there are.
  py::object made(const std::vector<py::object>& arrays) const;

 private:
  bool taken_by_name(py::handle x, std::vector<py::object>& found) const;
  std::string wanted() const;

  Several several_;
  py::tuple names_;
  std::vector<Lengths> shapes_;
};

}  // namespace fastnn::bindings
