// Single ops on arrays: shapes are checked here, once, and results allocated.
#include <pybind11/stl.h>

#include <array>
#include <optional>

#include "bindings/bindings.h"
#include "bindings/unlocked.h"
#include "core/backend.h"
#include "core/names.h"
#include "nn/data.h"

namespace fastnn::bindings {

namespace {

using Optional = std::optional<py::array>;

template <class T, class Arguments>
void call(Kernel<Arguments> Kernels<T>::* kernel, const Arguments& arguments) {
  const Unlocked unlocked;
  backend().here().call(kernels<T>(*backend().table).*kernel, arguments);
}

// f.operator()<float>() or <double>(), by the type of the array that leads.
template <class F>
auto with_type(const py::array& leader, const F& f) {
  return is_double(leader) ? f.template operator()<double>() : f.template operator()<float>();
}

void check_axes(const py::array& array, const char* name, py::ssize_t axes) {
  check(array.ndim() == axes, name, ": expected ", axes, " axes, got shape ", shape_of(array));
}

void check_shape(const py::array& array, const char* name, std::initializer_list<Index> shape) {
  bool same = array.ndim() == static_cast<py::ssize_t>(shape.size());
  py::ssize_t axis = 0;
  for (const Index length : shape) same = same && array.shape(axis++) == length;
  if (same) return;
  std::string text;
  for (const Index length : shape) text += (text.empty() ? "" : ", ") + std::to_string(length);
  invalid(name, ": expected shape (", text, shape.size() == 1 ? ",)" : ")", ", got ",
          shape_of(array));
}

void check_like(const py::array& array, const char* name, const py::array& other,
                const char* other_name) {
  bool same = array.ndim() == other.ndim();
  for (py::ssize_t axis = 0; same && axis < array.ndim(); ++axis) {
    same = array.shape(axis) == other.shape(axis);
  }
  check(same, name, ": expected the shape of ", other_name, ", ", shape_of(other), ", got ",
        shape_of(array));
}

template <class T>
py::array_t<T> array_like(const py::array& other) {
  return py::array_t<T>(std::vector<py::ssize_t>(other.shape(), other.shape() + other.ndim()));
}

template <class T>
const T* data_or_null(const Optional& array, const char* name) {
  return array ? data_of<T>(*array, name) : nullptr;
}

Activation activation_of(const std::string& name) {
  return find_name<Activation>("activation", activation_names, name);
}

// -- layers -----------------------------------------------------------------

struct DenseShape {
  Index n, i, o;
};

DenseShape dense_shape(const py::array& x, const py::array& w) {
  check_axes(x, "x", 2);
  check_axes(w, "w", 2);
  const Index i = w.shape(0);
  check(x.shape(1) == i, "x: expected shape (n, ", i, ") to match w ", shape_of(w), ", got ",
        shape_of(x));
  return {x.shape(0), i, w.shape(1)};
}

py::array dense_forward(const py::array& x, const py::array& w, const Optional& b,
                        const std::string& activation) {
  const DenseShape shape = dense_shape(x, w);
  const Index n = shape.n;
  const Index i = shape.i;
  const Index o = shape.o;
  if (b) check_shape(*b, "b", {o});
  return with_type(x, [&]<class T>() -> py::array {
    py::array_t<T> y({n, o});
    call<T>(
        &Kernels<T>::dense_forward,
        DenseForward<T>{n, i, o, data_of<T>(x, "x"), data_of<T>(w, "w"), data_or_null<T>(b, "b"),
                        activation_of(activation), nullptr, y.mutable_data()});
    return y;
  });
}

py::tuple dense_backward(const py::array& dy, const py::array& x, const py::array& w,
                         const Optional& y, const Optional& z, const std::string& name) {
  const DenseShape shape = dense_shape(x, w);
  const Index n = shape.n;
  const Index i = shape.i;
  const Index o = shape.o;
  check_shape(dy, "dy", {n, o});
  const Activation activation = activation_of(name);
  if (portable::needs_preactivation(activation)) {
    check(z.has_value(), "z: the derivative of ", name, " needs the pre-activation");
  } else {
    check(y.has_value(), "y: the derivative of ", name, " needs the output");
  }
  if (y) check_shape(*y, "y", {n, o});
  if (z) check_shape(*z, "z", {n, o});
  return with_type(x, [&]<class T>() -> py::tuple {
    py::array_t<T> dz({n, o});
    py::array_t<T> dx({n, i});
    py::array_t<T> dw({i, o});
    py::array_t<T> db(o);
    call<T>(&Kernels<T>::dense_backward,
            DenseBackward<T>{n, i, o, data_of<T>(dy, "dy"), data_of<T>(x, "x"), data_of<T>(w, "w"),
                             data_or_null<T>(y, "y"), data_or_null<T>(z, "z"), activation,
                             dz.mutable_data(), dx.mutable_data(), dw.mutable_data(),
                             db.mutable_data()});
    return py::make_tuple(dx, dw, db);
  });
}

py::array activation_forward(const py::array& x, const std::string& name) {
  return with_type(x, [&]<class T>() -> py::array {
    py::array_t<T> y = array_like<T>(x);
    call<T>(
        &Kernels<T>::activation_forward,
        ActivationForward<T>{activation_of(name), x.size(), data_of<T>(x, "x"), y.mutable_data()});
    return y;
  });
}

py::array activation_backward(const py::array& dy, const py::array& x, const py::array& y,
                              const std::string& name) {
  check_like(dy, "dy", x, "x");
  check_like(y, "y", x, "x");
  return with_type(x, [&]<class T>() -> py::array {
    py::array_t<T> dx = array_like<T>(x);
    call<T>(&Kernels<T>::activation_backward,
            ActivationBackward<T>{activation_of(name), x.size(), data_of<T>(dy, "dy"),
                                  data_of<T>(x, "x"), data_of<T>(y, "y"), dx.mutable_data()});
    return dx;
  });
}

py::array softmax(const py::array& x) {
  check(x.ndim() >= 1, "x: expected at least 1 axis, got a scalar");
  const Index c = x.shape(x.ndim() - 1);
  check(c >= 1, "x: expected at least 1 class on the last axis, got shape ", shape_of(x));
  return with_type(x, [&]<class T>() -> py::array {
    py::array_t<T> y = array_like<T>(x);
    call<T>(&Kernels<T>::softmax_forward,
            SoftmaxForward<T>{x.size() / c, c, data_of<T>(x, "x"), y.mutable_data()});
    return y;
  });
}

// -- losses -----------------------------------------------------------------

// The weight of each row as the kernels want it, checked; empty: all one.
template <class T>
std::vector<T> row_weights(const Optional& sample_weight, Index n) {
  if (!sample_weight) return {};
  check_shape(*sample_weight, "sample_weight", {n});
  const T* const given = data_of<T>(*sample_weight, "sample_weight");
  for (Index r = 0; r < n; ++r) check_weight("sample_weight", given[r], "row", r);
  return {given, given + n};
}

template <class T>
ArrayView view_of(const py::array& array, const T* data) {
  const Index columns = array.ndim() > 1 ? array.shape(1) : 1;
  return {data,    sizeof(T) == 8 ? Element::f64 : Element::f32, array.shape(0),
          columns, columns * static_cast<Index>(sizeof(T)),      sizeof(T),
          nullptr};
}

template <class T>
double total_weight(Index n, Index c, const T* targets, const std::vector<T>& weights) {
  std::array<double, max_groups> sums{};
  call<T>(&Kernels<T>::weight_sum,
          WeightSum<T>{n, c, targets, weights.empty() ? nullptr : weights.data(), sums.data()});
  return sum_of_groups(sums.data(), n);
}

// Runs a loss kernel whose arguments lack what all losses have in common.
template <class T, class Arguments>
py::tuple run_loss(Kernel<Arguments> Kernels<T>::* kernel, Arguments arguments, double total,
                   T* Arguments::* gradient, const py::array& logits) {
  std::array<double, max_groups> sums{};
  py::array_t<T> d = array_like<T>(logits);
  arguments.scale = total > 0 ? static_cast<T>(1 / total) : T(0);
  arguments.sums = sums.data();
  arguments.*gradient = d.mutable_data();
  call<T>(kernel, arguments);
  return py::make_tuple(total > 0 ? sum_of_groups(sums.data(), arguments.n) / total : 0.0, d);
}

void check_smoothing(double label_smoothing) {
  check(label_smoothing >= 0 && label_smoothing <= 1,
        "label_smoothing: expected a number in [0, 1], got ", label_smoothing);
}

py::tuple softmax_cross_entropy(const py::array& logits, const py::array& labels,
                                const Optional& sample_weight, double label_smoothing,
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
    std::vector<T> weights = row_weights<T>(sample_weight, n);
    SoftmaxCrossEntropy<T> a{};
    if (sparse) {
      a.labels = data_of<std::int32_t>(labels, "labels");
      const Unlocked unlocked;
      check_labels("labels", a.labels, nullptr, n, c, ignore_class.has_value(),
                   ignore_class.value_or(0));
      if (ignore_class) {
        if (weights.empty()) weights.assign(static_cast<std::size_t>(n), T(1));
        for (Index r = 0; r < n; ++r) {
          if (a.labels[r] == *ignore_class) weights[static_cast<std::size_t>(r)] = T(0);
        }
      }
    } else {
      a.targets = data_of<T>(labels, "labels");
      const ArrayView view = view_of(labels, a.targets);
      const Unlocked unlocked;
      check_probabilities("labels", view, {nullptr, 0, n});
    }
    a.n = n;
    a.c = c;
    a.logits = data_of<T>(logits, "logits");
    a.weights = weights.empty() ? nullptr : weights.data();
    a.label_smoothing = static_cast<T>(label_smoothing);
    return run_loss<T>(&Kernels<T>::softmax_cross_entropy, a,
                       total_weight<T>(n, c, nullptr, weights), &SoftmaxCrossEntropy<T>::dlogits,
                       logits);
  });
}

py::tuple sigmoid_cross_entropy(const py::array& logits, const py::array& targets,
                                const Optional& sample_weight, const Optional& pos_weight,
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
    const std::vector<T> weights = row_weights<T>(sample_weight, n);
    SigmoidCrossEntropy<T> a{};
    a.n = n;
    a.c = c;
    a.logits = data_of<T>(logits, "logits");
    a.targets = data_of<T>(targets, "targets");
    {
      const ArrayView view = view_of(targets, a.targets);
      const Unlocked unlocked;
      check_binary_targets("targets", view, {nullptr, 0, n});
    }
    a.weights = weights.empty() ? nullptr : weights.data();
    a.pos_weight = data_or_null<T>(pos_weight, "pos_weight");
    for (Index j = 0; a.pos_weight != nullptr && j < c; ++j) {
      check_weight("pos_weight", a.pos_weight[j], "label", j);
    }
    a.label_smoothing = static_cast<T>(label_smoothing);
    return run_loss<T>(&Kernels<T>::sigmoid_cross_entropy, a,
                       total_weight<T>(n, c, a.targets, weights), &SigmoidCrossEntropy<T>::dlogits,
                       logits);
  });
}

py::tuple mean_squared_error(const py::array& pred, const py::array& target,
                             const Optional& sample_weight) {
  check(pred.ndim() == 1 || pred.ndim() == 2, "pred: expected shape (n, o) or (n,), got ",
        shape_of(pred));
  check_like(target, "target", pred, "pred");
  const Index n = pred.shape(0);
  const Index c = pred.ndim() == 2 ? pred.shape(1) : 1;
  check(c >= 1, "pred: expected at least 1 output, got shape ", shape_of(pred));
  return with_type(pred, [&]<class T>() -> py::tuple {
    const std::vector<T> weights = row_weights<T>(sample_weight, n);
    MeanSquaredError<T> a{};
    a.n = n;
    a.c = c;
    a.pred = data_of<T>(pred, "pred");
    a.targets = data_of<T>(target, "target");
    a.weights = weights.empty() ? nullptr : weights.data();
    return run_loss<T>(&Kernels<T>::mean_squared_error, a, total_weight<T>(n, c, nullptr, weights),
                       &MeanSquaredError<T>::dpred, pred);
  });
}

// -- optimizers, in place ---------------------------------------------------

template <class T>
T* writable(py::array& array, const char* name) {
  data_of<T>(array, name);
  check(array.writeable(), name, ": expected a writable array");
  return static_cast<T*>(array.mutable_data());
}

void optimizer_step(OptimizerKind kind, py::array& param, const py::array& grad,
                    std::array<py::array*, 2> slots, std::array<const char*, 2> names,
                    const OptimizerSettings& settings, std::uint64_t step) {
  check_like(grad, "grad", param, "param");
  for (std::size_t i = 0; i < 2; ++i) {
    if (slots[i] != nullptr) check_like(*slots[i], names[i], param, "param");
  }
  with_type(param, [&]<class T>() {
    OptimizerStep<T> a{
        kind, param.size(), nullptr, data_of<T>(grad, "grad"), {nullptr, nullptr}, settings, step};
    a.param = writable<T>(param, "param");
    for (std::size_t i = 0; i < 2; ++i) {
      if (slots[i] != nullptr) a.slots[i] = writable<T>(*slots[i], names[i]);
    }
    call<T>(&Kernels<T>::optimizer_step, a);
  });
}

void sgd_step(py::array param, const py::array& grad, Optional velocity, double learning_rate,
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

void adam_step(py::array param, const py::array& grad, py::array m, py::array v, std::int64_t step,
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
  module.def("dense_forward", dense_forward, "x"_a, "w"_a, "b"_a, "activation"_a);
  module.def("dense_backward", dense_backward, "dy"_a, "x"_a, "w"_a, "y"_a, "z"_a, "activation"_a);
  module.def("activation_forward", activation_forward, "x"_a, "name"_a);
  module.def("activation_backward", activation_backward, "dy"_a, "x"_a, "y"_a, "name"_a);
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
