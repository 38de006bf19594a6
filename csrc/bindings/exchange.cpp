#include "bindings/exchange.h"

#include <pybind11/stl.h>

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/network.h"
#include "bindings/unlocked.h"

namespace fastnn::bindings {
namespace {

// A view of memory that native code keeps as long as the call lasts.
py::array bytes_at(const void* memory, std::vector<Index> shape) {
  const py::capsule none(memory, [](void*) {});
  return {py::dtype::of<std::uint8_t>(), std::move(shape), memory, none};
}

std::span<double> numbers_of(py::array_t<double, py::array::c_style>& array) {
  return {array.mutable_data(), static_cast<std::size_t>(array.size())};
}

void add_failure(py::module_& module) {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> storage;
  storage.call_once_and_store_result([] {
    PyObject* const made =
        PyErr_NewExceptionWithDoc("fastnn.RankError",
                                  R"(Another rank of a `fit` over ranks ended, or went another way.

    The message names the rank and its error. No rank trains on then: `fit` ends on every one of them.

    >>> issubclass(fastnn.RankError, RuntimeError)
    True
    )",
                                  PyExc_RuntimeError, nullptr);
    if (made == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(made);
  });
  module.attr("RankError") = storage.get_stored();
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const RankFailure& failure) {
      PyErr_SetString(storage.get_stored().ptr(), failure.what());
    }
  });
}

}  // namespace

void PythonTransport::gather(const void* mine, void* all, Index bytes) {
  stay_if_ending();
  const py::gil_scoped_acquire locked;
  note(link_.attr("gather")(bytes_at(mine, {bytes}), bytes_at(all, {size_, bytes})));
}

void PythonTransport::swap(const void* out, void* in, Index bytes) {
  stay_if_ending();
  const py::gil_scoped_acquire locked;
  note(link_.attr("swap")(bytes_at(out, {size_, bytes}), bytes_at(in, {size_, bytes})));
}

void PythonTransport::rest() {
  if (!std::exchange(interrupted_, false)) return;
  stay_if_ending();
  const py::gil_scoped_acquire locked;
  link_.attr("rest")();
}

BoundExchange::BoundExchange(py::object link, Index rank, Index size)
    : transport(std::move(link)), exchange(transport, rank, size) {
  transport.set_size(size);
}

void register_exchange(py::module_& module) {
  using namespace py::literals;
  add_failure(module);
  py::class_<BoundExchange>(module, "Exchange")
      .def(py::init<py::object, Index, Index>(), "link"_a, "rank"_a, "size"_a)
      .def_property_readonly("rank", [](const BoundExchange& self) { return self.exchange.rank(); })
      .def_property_readonly("size", [](const BoundExchange& self) { return self.exchange.size(); })
      .def_property_readonly("is_over",
                             [](const BoundExchange& self) { return self.exchange.is_over(); })
      .def(
          "sum",
          [](BoundExchange& self, const py::array& given) {
            py::array_t<double, py::array::c_style> sums(given.size());
            const std::span<double> to = numbers_of(sums);
            std::copy_n(data_of<double>(given, "numbers"), to.size(), to.data());
            {
              const Unlocked unlocked;
              self.exchange.sum(to);
            }
            return sums;
          },
          "numbers"_a)
      .def(
          "sum_in_place",
          [](BoundExchange& self, py::array& values) {
            const bool wide = is_double(values);
            const Index n = values.size();
            void* const memory = values.mutable_data();
            if (wide) {
              static_cast<void>(data_of<double>(values, "values"));
            } else {
              static_cast<void>(data_of<float>(values, "values"));
            }
            const Unlocked unlocked;
            if (wide) {
              self.exchange.sum({}, static_cast<double*>(memory), n);
            } else {
              self.exchange.sum({}, static_cast<float*>(memory), n);
            }
          },
          "values"_a)
      .def(
          "gather",
          [](BoundExchange& self, const py::array& given) {
            const Index n = given.size();
            const double* const from = data_of<double>(given, "numbers");
            py::array_t<double, py::array::c_style> all({self.exchange.size(), n});
            const std::span<double> to = numbers_of(all);
            {
              const Unlocked unlocked;
              self.exchange.gather({from, static_cast<std::size_t>(n)}, to);
            }
            return all;
          },
          "numbers"_a)
      .def(
          "leave",
          [](BoundExchange& self, const std::string& why) {
            const Unlocked unlocked;
            self.exchange.leave(why);
          },
          "why"_a);
}

}  // namespace fastnn::bindings
