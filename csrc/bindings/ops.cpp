// Single ops on arrays: shapes are checked here, once, and results allocated.
#include <pybind11/stl.h>

#include <array>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/place.h"
#include "bindings/unlocked.h"
#include "core/names.h"
#include "nn/checks.h"

namespace fastnn::bindings {

namespace {

using Optional = std::optional<Array>;
using Weights = std::optional<py::array>;  // checked on the host, wherever the others lie

// f.operator()<float>() or <double>(), by the type of the array that leads.
template <class F>
auto with_type(const Array& leader, const F& f) {
  return leader.is_double() ? f.template operator()<double>() : f.template operator()<float>();
}

void check_axes(const Array& array, const char* name, py::ssize_t axes) {
  check(array.ndim() == axes, name, ": expected ", axes, " axes, got shape ", shape_of(array));
}

template <class A>
void check_shape(const A& array, const char* name, std::initializer_list<Index> shape) {
  bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t axis = 0;
  for (const Index length : shape) same = same && array.shape(axis++) == length;
  if (same) return;
  std::string text;
  for (const Index length : shape) text += (text.empty() ? "" : ", ") + std::to_string(length);
  invalid(name, ": expected shape (", text, shape.size() == 1 ? ",)" : ")", ", got ",
          shape_of(array));
}

void check_like(const Array& array, const char* name, const Array& other, const char* other_name) {
  bool same = array.ndim() == other.ndim();
  for (py::ssize_t axis = 0; same && axis < array.ndim(); ++axis) {
    same = array.shape(axis) == other.shape(axis);
  }
  check(same, name, ": expected the shape of ", other_name, ", ", shape_of(other), ", got ",
        shape_of(array));
}

using Parameter = std::optional<double>;  // of an activation; without it, the default

// -- layers -----------------------------------------------------------------

struct DenseShape {
  Index n, i, o;
};

DenseShape dense_shape(const Array& x, const Array& w) {
  check_axes(x, "x", 2);
  check_axes(w, "w", 2);
  const Index i = w.shape(0);
  check(x.shape(1) == i, "x: expected shape (n, ", i, ") to match w ", shape_of(w), ", got ",
        shape_of(x));
  return {x.shape(0), i, w.shape(1)};
}

py::object dense_forward(const Array& x, const Array& w, const Optional& b, const std::string& name,
                         Parameter parameter) {
  const DenseShape shape = dense_shape(x, w);
  const Index n = shape.n;
  const Index i = shape.i;
  const Index o = shape.o;
  const Activation activation = activation_named(name, parameter);
  if (b) check_shape(*b, "b", {o});
  return with_type(x, [&]<class T>() -> py::object {
    Place place(x);
    Result<T> y = place.out<T>({n, o});
    place.call<T>(&Kernels<T>::dense_forward,
                  DenseForward<T>{n, i, o, place.in<T>(x, "x"), place.in<T>(w, "w"),
                                  place.in<T>(b, "b"), activation, nullptr, y.data});
    return std::move(y.array);
  });
}

py::tuple dense_backward(const Array& dy, const Array& x, const Array& w, const Optional& y,
                         const Optional& z, const std::string& name, Parameter parameter) {
  const DenseShape shape = dense_shape(x, w);
  const Index n = shape.n;
  const Index i = shape.i;
  const Index o = shape.o;
  check_shape(dy, "dy", {n, o});
  const Activation activation = activation_named(name, parameter);
  if (portable::needs_preactivation(activation)) {
    check(z.has_value(), "z: the derivative of ", name, " needs the pre-activation");
  } else {
    check(y.has_value(), "y: the derivative of ", name, " needs the output");
  }
  if (y) check_shape(*y, "y", {n, o});
  if (z) check_shape(*z, "z", {n, o});
  return with_type(x, [&]<class T>() -> py::tuple {
    Place place(x);
    Result<T> dx = place.out<T>({n, i});
    Result<T> dw = place.out<T>({i, o});
    Result<T> db = place.out<T>({o});
    place.call<T>(&Kernels<T>::dense_backward,
                  DenseBackward<T>{n, i, o, place.in<T>(dy, "dy"), place.in<T>(x, "x"),
                                   place.in<T>(w, "w"), place.in<T>(y, "y"), place.in<T>(z, "z"),
                                   activation, place.room<T>(n * o), dx.data, dw.data, db.data});
    return py::make_tuple(dx.array, dw.array, db.array);
  });
}

py::object activation_forward(const Array& x, const std::string& name, Parameter parameter) {
  const Activation activation = activation_named(name, parameter);
  return with_type(x, [&]<class T>() -> py::object {
    Place place(x);
    Result<T> y = place.out_like<T>(x);
    place.call<T>(&Kernels<T>::activation_forward,
                  ActivationForward<T>{activation, x.size(), place.in<T>(x, "x"), y.data});
    return std::move(y.array);
  });
}

py::object activation_backward(const Array& dy, const Array& x, const Array& y,
                               const std::string& name, Parameter parameter) {
  const Activation activation = activation_named(name, parameter);
  check_like(dy, "dy", x, "x");
  check_like(y, "y", x, "x");
  return with_type(x, [&]<class T>() -> py::object {
    Place place(x);
    Result<T> dx = place.out_like<T>(x);
    place.call<T>(&Kernels<T>::activation_backward,
                  ActivationBackward<T>{activation, x.size(), place.in<T>(dy, "dy"),
                                        place.in<T>(x, "x"), place.in<T>(y, "y"), dx.data});
    return std::move(dx.array);
  });
}

py::object softmax(const Array& x) {
  check(x.ndim() >= 1, "x: expected at least 1 axis, got a scalar");
  const Index c = x.shape(x.ndim() - 1);
  check(c >= 1, "x: expected at least 1 class on the last axis, got shape ", shape_of(x));
  return with_type(x, [&]<class T>() -> py::object {
    Place place(x);
    Result<T> y = place.out_like<T>(x);
    place.call<T>(&Kernels<T>::softmax_forward,
                  SoftmaxForward<T>{x.size() / c, c, place.in<T>(x, "x"), y.data});
    return std::move(y.array);
  });
}

// -- losses -----------------------------------------------------------------

// The weight of each row as the kernels want it, checked; empty: all one.
template <class T>
std::vector<T> row_weights(const Weights& sample_weight, Index n) {
  if (!sample_weight) return {};
  check_shape(*sample_weight, "sample_weight", {n});
  const T* const given = data_of<T>(*sample_weight, "sample_weight");
  for (Index r = 0; r < n; ++r) check_weight("sample_weight", given[r], "row", r);
  return {given, given + n};
}

template <class T>
ArrayView view_of(const Array& array, const T* data) {
  const Index columns = array.ndim() > 1 ? array.shape(1) : 1;
  return {data,    sizeof(T) == 8 ? Element::f64 : Element::f32, array.shape(0),
          columns, columns * static_cast<Index>(sizeof(T)),      sizeof(T),
          nullptr};
}

template <class T>
double total_weight(Place& place, Index n, Index c, const T* targets, const T* weights) {
  double* const sums = place.sums();
  place.call<T>(&Kernels<T>::weight_sum, WeightSum<T>{n, c, targets, weights, sums});
  return place.total(sums, n);
}

// Runs a loss kernel whose arguments lack what all losses have in common.
template <class T, class Arguments>
py::tuple run_loss(Place& place, Kernel<Arguments> Kernels<T>::* kernel, Arguments arguments,
                   double total, T* Arguments::* gradient, const Array& logits) {
  Result<T> d = place.out_like<T>(logits);
  arguments.scale = total > 0 ? static_cast<T>(1 / total) : T(0);
  arguments.sums = place.sums();
  arguments.*gradient = d.data;
  place.call<T>(kernel, arguments);
  const double sum = place.total(arguments.sums, arguments.n);
  return py::make_tuple(total > 0 ? sum / total : 0.0, d.array);
}

void check_smoothing(double label_smoothing) {
  check(label_smoothing >= 0 && label_smoothing <= 1,
        "label_smoothing: expected a number in [0, 1], got ", label_smoothing);
}

py::tuple softmax_cross_entropy(const Array& logits, const Array& labels,
                                const Weights& sample_weight, double label_smoothing,
                                std::optional<std::int32_t> ignore_class) {
  check_axes(logits, "logits", 2);
  const Index n = logits.shape(0);
  const Index c = logits.shape(1);
  check(c >= 1, "logits: expected at least 1 class, got shape ", shape_of(logits));
  check_smoothing(label_smoothing);
  const bool sparse = labels.dtype().kind() == 'i';
  if (sparse) {
    check_shape(labels, "labels", {n});
  } else {
    check_shape(labels, "labels", {n, c});
    check(!ignore_class, "ignore_class: only for integer labels");
  }
  return with_type(logits, [&]<class T>() -> py::tuple {
    Place place(logits);
    std::vector<T> weights = row_weights<T>(sample_weight, n);
    SoftmaxCrossEntropy<T> a{};
    if (sparse) {
      const auto* const given = place.look_at<std::int32_t>(labels, "labels");
      a.labels = place.in(given, n);
      const Unlocked unlocked;
      check_labels("labels", given, nullptr, n, c, ignore_class.has_value(),
                   ignore_class.value_or(0));
      if (ignore_class) {
        if (weights.empty()) weights.assign(static_cast<std::size_t>(n), T(1));
        for (Index r = 0; r < n; ++r) {
          if (given[r] == *ignore_class) weights[static_cast<std::size_t>(r)] = T(0);
        }
      }
    } else {
      a.targets = place.in<T>(labels, "labels");
      const ArrayView view = view_of(labels, place.look_at<T>(labels, "labels"));
      const Unlocked unlocked;
      check_probabilities("labels", view, {nullptr, 0, n});
    }
    a.n = n;
    a.c = c;
    a.logits = place.in<T>(logits, "logits");
    a.weights = place.in(weights.empty() ? nullptr : weights.data(), n);
    a.label_smoothing = static_cast<T>(label_smoothing);
    return run_loss<T>(place, &Kernels<T>::softmax_cross_entropy, a,
                       total_weight<T>(place, n, c, nullptr, a.weights),
                       &SoftmaxCrossEntropy<T>::dlogits, logits);
  });
}

py::tuple sigmoid_cross_entropy(const Array& logits, const Array& targets,
                                const Weights& sample_weight, const Weights& pos_weight,
                                double label_smoothing) {
  check(logits.ndim() == 1 || logits.ndim() == 2, "logits: expected shape (n, c) or (n,), got ",
        shape_of(logits));
  check_like(targets, "targets", logits, "logits");
  check_smoothing(label_smoothing);
  const Index n = logits.shape(0);
  const Index c = logits.ndim() == 2 ? logits.shape(1) : 1;
  check(c >= 1, "logits: expected at least 1 label, got shape ", shape_of(logits));
  if (pos_weight) check_shape(*pos_weight, "pos_weight", {c});
  return with_type(logits, [&]<class T>() -> py::tuple {
    Place place(logits);
    const std::vector<T> weights = row_weights<T>(sample_weight, n);
    SigmoidCrossEntropy<T> a{};
    a.n = n;
    a.c = c;
    a.logits = place.in<T>(logits, "logits");
    a.targets = place.in<T>(targets, "targets");
    {
      const ArrayView view = view_of(targets, place.look_at<T>(targets, "targets"));
      const Unlocked unlocked;
      check_binary_targets("targets", view, {nullptr, 0, n});
    }
    a.weights = place.in(weights.empty() ? nullptr : weights.data(), n);
    const T* const positive = pos_weight ? data_of<T>(*pos_weight, "pos_weight") : nullptr;
    for (Index j = 0; positive != nullptr && j < c; ++j) {
      check_weight("pos_weight", positive[j], "label", j);
    }
    a.pos_weight = place.in(positive, c);
    a.label_smoothing = static_cast<T>(label_smoothing);
    return run_loss<T>(place, &Kernels<T>::sigmoid_cross_entropy, a,
                       total_weight<T>(place, n, c, a.targets, a.weights),
                       &SigmoidCrossEntropy<T>::dlogits, logits);
  });
}

py::tuple mean_squared_error(const Array& pred, const Array& target, const Weights& sample_weight) {
  check(pred.ndim() == 1 || pred.ndim() == 2, "pred: expected shape (n, o) or (n,), got ",
        shape_of(pred));
  check_like(target, "target", pred, "pred");
  const Index n = pred.shape(0);
  const Index c = pred.ndim() == 2 ? pred.shape(1) : 1;
  check(c >= 1, "pred: expected at least 1 output, got shape ", shape_of(pred));
  return with_type(pred, [&]<class T>() -> py::tuple {
    Place place(pred);
    const std::vector<T> weights = row_weights<T>(sample_weight, n);
    MeanSquaredError<T> a{};
    a.n = n;
    a.c = c;
    a.pred = place.in<T>(pred, "pred");
    a.targets = place.in<T>(target, "target");
    a.weights = place.in(weights.empty() ? nullptr : weights.data(), n);
    return run_loss<T>(place, &Kernels<T>::mean_squared_error, a,
                       total_weight<T>(place, n, c, nullptr, a.weights),
                       &MeanSquaredError<T>::dpred, pred);
  });
}

// -- optimizers, in place ---------------------------------------------------

void optimizer_step(OptimizerKind kind, Array& param, const Array& grad,
                    std::array<Array*, 2> slots, std::array<const char*, 2> names,
                    const OptimizerSettings& settings, std::uint64_t step) {
  check_like(grad, "grad", param, "param");
  for (std::size_t i = 0; i < 2; ++i) {
    if (slots[i] != nullptr) check_like(*slots[i], names[i], param, "param");
  }
  with_type(param, [&]<class T>() {
    Place place(param);
    OptimizerStep<T> a{
        kind, param.size(), nullptr, place.in<T>(grad, "grad"), {nullptr, nullptr}, settings, step};
    a.param = place.in_out<T>(param, "param");
    for (std::size_t i = 0; i < 2; ++i) {
      if (slots[i] != nullptr) a.slots[i] = place.in_out<T>(*slots[i], names[i]);
    }
    place.call<T>(&Kernels<T>::optimizer_step, a);
  });
}

void sgd_step(Array param, const Array& grad, Optional velocity, double learning_rate,
              double momentum, bool nesterov, double weight_decay) {
  check(velocity.has_value() || momentum == 0, "velocity: momentum ", momentum, " needs one");
  OptimizerSettings settings;
  settings.learning_rate = learning_rate;
  settings.momentum = momentum;
  settings.nesterov = nesterov;
  settings.weight_decay = weight_decay;
  optimizer_step(OptimizerKind::sgd, param, grad, {velocity ? &*velocity : nullptr, nullptr},
                 {"velocity", ""}, settings, 1);
}

void adam_step(Array param, const Array& grad, Array m, Array v, std::int64_t step,
               double learning_rate, double beta_1, double beta_2, double epsilon,
               double weight_decay) {
  check(step >= 1, "step: expected at least 1 (the first step is 1), got ", step);
  OptimizerSettings settings;
  settings.learning_rate = learning_rate;
  settings.beta_1 = beta_1;
  settings.beta_2 = beta_2;
  settings.epsilon = epsilon;
  settings.weight_decay = weight_decay;
  optimizer_step(OptimizerKind::adam, param, grad, {&m, &v}, {"m", "v"}, settings,
                 static_cast<std::uint64_t>(step));
}

}  // namespace

void register_ops(py::module_& module) {
  using namespace py::literals;
  module.def("dense_forward", dense_forward, "x"_a, "w"_a, "b"_a, "activation"_a,
             "activation_parameter"_a = py::none());
  module.def("dense_backward", dense_backward, "dy"_a, "x"_a, "w"_a, "y"_a, "z"_a, "activation"_a,
             "activation_parameter"_a = py::none());
  module.def("activation_forward", activation_forward, "x"_a, "name"_a, "parameter"_a = py::none());
  module.def("activation_backward", activation_backward, "dy"_a, "x"_a, "y"_a, "name"_a,
             "parameter"_a = py::none());
  module.def("softmax", softmax, "x"_a);
  module.def("softmax_cross_entropy", softmax_cross_entropy, "logits"_a, "labels"_a,
             "sample_weight"_a, "label_smoothing"_a, "ignore_class"_a);
  module.def("sigmoid_cross_entropy", sigmoid_cross_entropy, "logits"_a, "targets"_a,
             "sample_weight"_a, "pos_weight"_a, "label_smoothing"_a);
  module.def("mean_squared_error", mean_squared_error, "pred"_a, "target"_a, "sample_weight"_a);
  module.def("sgd_step", sgd_step, "param"_a, "grad"_a, "velocity"_a, "learning_rate"_a,
             "momentum"_a, "nesterov"_a, "weight_decay"_a);
  module.def("adam_step", adam_step, "param"_a, "grad"_a, "m"_a, "v"_a, "step"_a, "learning_rate"_a,
             "beta_1"_a, "beta_2"_a, "epsilon"_a, "weight_decay"_a);
}

}  // namespace fastnn::bindings
