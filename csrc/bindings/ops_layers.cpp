// Single ops of layers that normalize or look up, on arrays: shapes are checked here, once,
// and results allocated.
#include <pybind11/stl.h>

#include "bindings/bindings.h"
#include "bindings/op_arguments.h"
#include "bindings/place.h"

namespace fastnn::bindings {

namespace {

struct Rows2d {
  Index n, c;
};

// Rows are all that lies on the last axis.
Rows2d rows_of(const Array& x) {
  check(x.ndim() >= 1, "x: expected at least 1 axis, got a scalar");
  const Index c = x.shape(x.ndim() - 1);
  check(c >= 1, "x: expected at least 1 number on the last axis, got shape ", shape_of(x));
  return {x.size() / c, c};
}

py::object layer_normalization(const Array& x, const Optional& gamma, const Optional& beta,
                               double epsilon) {
  const auto [n, c] = rows_of(x);
  if (gamma) check_shape(*gamma, "gamma", {c});
  if (beta) check_shape(*beta, "beta", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::object {
    Place place(x);
    Result<T> y = place.out_like<T>(x);
    place.call<T>(&Kernels<T>::layer_norm_forward,
                  LayerNormForward<T>{n, c, static_cast<T>(epsilon), place.in<T>(x, "x"),
                                      place.in<T>(gamma, "gamma"), place.in<T>(beta, "beta"),
                                      y.data, nullptr});
    return std::move(y.array);
  });
}

py::tuple layer_normalization_backward(const Array& dy, const Array& x, const Optional& gamma,
                                       double epsilon) {
  const auto [n, c] = rows_of(x);
  check_like(dy, "dy", x, "x");
  if (gamma) check_shape(*gamma, "gamma", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::tuple {
    Place place(x);
    T* const y = place.room<T>(n * c + 2 * n);
    T* const statistics = y + n * c;
    const T* const given = place.in<T>(x, "x");
    place.call<T>(
        &Kernels<T>::layer_norm_forward,
        LayerNormForward<T>{n, c, static_cast<T>(epsilon), given, nullptr, nullptr, y, statistics});
    Result<T> dx = place.out_like<T>(x);
    Result<T> dgamma = place.out<T>({c});
    Result<T> dbeta = place.out<T>({c});
    place.call<T>(
        &Kernels<T>::layer_norm_backward,
        LayerNormBackward<T>{n, c, place.in<T>(dy, "dy"), given, place.in<T>(gamma, "gamma"),
                             statistics, dx.data, dgamma.data, dbeta.data, false});
    return py::make_tuple(dx.array, dgamma.array, dbeta.array);
  });
}

}  // namespace

void register_layer_ops(py::module_& module) {
  using namespace py::literals;
  module.def("layer_normalization", layer_normalization, "x"_a, "gamma"_a, "beta"_a, "epsilon"_a);
  module.def("layer_normalization_backward", layer_normalization_backward, "dy"_a, "x"_a, "gamma"_a,
             "epsilon"_a);
}

}  // namespace fastnn::bindings
