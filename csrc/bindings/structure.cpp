#include "bindings/structure.h"

#include <string>
#include <utility>

namespace fastnn::bindings {
namespace {

Several several_of(const py::object& kind) {
  const auto is = [&](PyTypeObject& type) {
    return kind.is(py::handle(reinterpret_cast<PyObject*>(&type)));
  };
  if (kind.is_none()) return Several::none;
  if (is(PyList_Type)) return Several::list;
  if (is(PyTuple_Type)) return Several::tuple;
  check(is(PyDict_Type), "kind: expected list, tuple, dict or None, got ",
        std::string(py::str(kind)));
  return Several::dict;
}

bool is_sequence(py::handle x) { return PyList_Check(x.ptr()) || PyTuple_Check(x.ptr()); }

std::string joined(const py::handle& names) {
  std::string all;
  for (const py::handle name : names) {
    all += (all.empty() ? "" : ", ") + std::string(py::str(name));
  }
  return all;
}

}  // namespace

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

Structure::Structure(const py::object& kind, const py::tuple& names, std::vector<Lengths> shapes)
    : several_(several_of(kind)), names_(names), shapes_(std::move(shapes)) {
  check(!shapes_.empty() && (several_ != Several::none || shapes_.size() == 1),
        "shapes: expected one for each array, got ", shapes_.size());
  const bool named = several_ == Several::dict || !names_.empty();
  check(!named || names_.size() == shapes_.size(), "names: expected ", shapes_.size(), ", got ",
        names_.size());
}

Index Structure::width() const {
  Index width = 0;
  for (const Lengths& shape : shapes_) width += count_of(shape);
  return width;
}

py::object Structure::shapes() const {
  std::vector<py::object> found;
  for (const Lengths& shape : shapes_) found.push_back(tuple_of(shape));
  return made(found);
}

py::object Structure::made(const std::vector<py::object>& arrays) const {
  const auto filled = [&](auto container) {
    for (std::size_t i = 0; i < arrays.size(); ++i) container[i] = arrays[i];
    return py::object(std::move(container));
  };
  switch (several_) {
    case Several::none:
      break;
    case Several::list:
      return filled(py::list(arrays.size()));
    case Several::tuple:
      return filled(py::tuple(arrays.size()));
    case Several::dict: {
      py::dict dict;
      for (std::size_t i = 0; i < arrays.size(); ++i) dict[names_[i]] = arrays[i];
      return dict;
    }
  }
  return arrays.front();
}

// Whether x is a mapping with these names and no others.
bool Structure::taken_by_name(py::handle x, std::vector<py::object>& found) const {
  // Arrays have no keys; what has keys and a shape is a table, which is one array.
  const bool maps = PyDict_Check(x.ptr()) || (PyMapping_Check(x.ptr()) != 0 && !is_sequence(x) &&
                                              py::hasattr(x, "keys") && !py::hasattr(x, "shape"));
  if (!maps || names_.empty() || py::len(x) != names_.size()) return false;
  for (const py::handle name : names_) {
    if (!x.contains(name)) return false;
  }
  for (const py::handle name : names_) found.push_back(x[name]);
  return true;
}

std::string Structure::wanted() const {
  if (several_ == Several::dict) return "a dictionary of " + joined(names_);
  const std::string list = "a list of " + std::to_string(count()) + " inputs";
  return names_.empty() ? list : list + ", or a dictionary of " + joined(names_);
}

std::vector<py::object> Structure::taken(py::handle x) const {
  std::vector<py::object> found;
  found.reserve(count());
  if (taken_by_name(x, found)) return found;
  const bool listed = is_sequence(x) && several_ != Several::dict && py::len(x) == count();
  if (is_single()) {
    // A list of one array of rows; a row in a list is rows of one.
    const auto first = listed ? py::object(x[py::int_(0)]) : py::object();
    const auto axes = static_cast<py::ssize_t>(single().size()) + 1;
    const bool holds_rows = listed && !names_.empty() && py::isinstance<py::array>(first) &&
                            py::reinterpret_borrow<py::array>(first).ndim() == axes;
    found.push_back(holds_rows ? first : py::reinterpret_borrow<py::object>(x));
    return found;
  }
  if (listed) {
    for (const py::handle part : x) found.push_back(py::reinterpret_borrow<py::object>(part));
    return found;
  }
  std::string got = Py_TYPE(x.ptr())->tp_name;
  if (is_sequence(x)) got += " of " + std::to_string(py::len(x));
  if (PyDict_Check(x.ptr())) got = "a dictionary of " + joined(x);
  invalid("x: expected ", wanted(), ", got ", got);
}

}  // namespace fastnn::bindings
