// Single ops on arrays: shapes are checked here, once, and results allocated.
#include <pybind11/stl.h>

#include <iterator>
#include <optional>
#include <span>

#include "bindings/bindings.h"
#include "bindings/op_arguments.h"
#include "bindings/place.h"
#include "bindings/tables.h"
#include "bindings/unlocked.h"
#include "core/loss.h"
#include "core/names.h"
#include "core/whole_steps.h"
#include "nn/checks.h"

namespace fastnn::bindings {

namespace {

using Parameters = std::vector<double>;  // of an activation; empty: the defaults

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
                         const Parameters& parameters) {
  const DenseShape shape = dense_shape(x, w);
  const Index n = shape.n;
  const Index i = shape.i;
  const Index o = shape.o;
  const Activation activation = activation_named(name, parameters);
  if (b) check_shape(*b, "b", {o});
  return with_type(x, [&]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out<T>({n, o});
    DenseForward<T> product{
        n,          i,       o,     place.in<T>(x, "x"), place.in<T>(w, "w"), place.in<T>(b, "b"),
        activation, nullptr, y.data};
    if (activation.is_fused()) {
      place.call<T>(&Kernels<T>::dense_forward, product);
    } else {
      product.activation = {};
      place.call<T>(&Kernels<T>::dense_forward, product, &Kernels<T>::activation_forward,
                    ActivationForward<T>{activation, n * o, y.data, y.data});
    }
    return std::move(y.array);
  });
}

py::tuple dense_backward(const Array& dy, const Array& x, const Array& w, const Optional& y,
                         const Optional& z, const std::string& name, const Parameters& parameters) {
  const DenseShape shape = dense_shape(x, w);
  const Index n = shape.n;
  const Index i = shape.i;
  const Index o = shape.o;
  check_shape(dy, "dy", {n, o});
  const Activation activation = activation_named(name, parameters);
  if (!portable::traits_of(activation).from_output) {
    check(z.has_value(), "z: the derivative of ", name, " needs the pre-activation");
  } else if (!activation.is(ActivationKind::linear)) {
    check(y.has_value(), "y: the derivative of ", name, " needs the output");
  }
  if (y) check_shape(*y, "y", {n, o});
  if (z) check_shape(*z, "z", {n, o});
  return with_type(x, [&]<class T>() -> py::tuple {
    CallSide place(x);
    Result<T> dx = place.out<T>({n, i});
    Result<T> dw = place.out<T>({i, o});
    Result<T> db = place.out<T>({o});
    T* const dz = place.room<T>(n * o);
    DenseBackward<T> back{n,
                          i,
                          o,
                          place.in<T>(dy, "dy"),
                          place.in<T>(x, "x"),
                          place.in<T>(w, "w"),
                          place.in<T>(y, "y"),
                          place.in<T>(z, "z"),
                          activation,
                          dz,
                          dx.data,
                          dw.data,
                          db.data};
    if (activation.is_fused()) {
      place.call<T>(&Kernels<T>::dense_backward, back);
    } else {
      const ActivationBackward<T> slope{activation, n * o, back.dy, back.z, back.y, dz};
      back.activation = {};
      back.dy = dz;
      place.call<T>(&Kernels<T>::activation_backward, slope, &Kernels<T>::dense_backward, back);
    }
    return py::make_tuple(dx.array, dw.array, db.array);
  });
}

py::object activation_forward(const Array& x, const std::string& name,
                              const Parameters& parameters) {
  const Activation activation = activation_named(name, parameters);
  return with_type(x, [&]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    place.call<T>(&Kernels<T>::activation_forward,
                  ActivationForward<T>{activation, x.size(), place.in<T>(x, "x"), y.data});
    return std::move(y.array);
  });
}

py::object activation_backward(const Array& dy, const Optional& x, const Optional& y,
                               const std::string& name, const Parameters& parameters) {
  const Activation activation = activation_named(name, parameters);
  if (!portable::traits_of(activation).from_output) {
    check(x.has_value(), "x: the derivative of ", name, " needs the pre-activation");
  } else if (!activation.is(ActivationKind::linear)) {
    check(y.has_value(), "y: the derivative of ", name, " needs the output");
  }
  if (x) check_like(dy, "dy", *x, "x");
  if (y) check_like(*y, "y", x ? *x : dy, x ? "x" : "dy");
  return with_type(dy, [&]<class T>() -> py::object {
    CallSide place(dy);
    Result<T> dx = place.out_like<T>(dy);
    const T* const given = place.in<T>(dy, "dy");
    // The slope of linear is 1 whatever it is given.
    place.call<T>(
        &Kernels<T>::activation_backward,
        ActivationBackward<T>{activation, dy.size(), given, x ? place.in<T>(*x, "x") : given,
                              y ? place.in<T>(*y, "y") : given, dx.data});
    return std::move(dx.array);
  });
}

py::object softmax(const Array& x, bool logarithm) {
  check(x.ndim() >= 1, "x: expected at least 1 axis, got a scalar");
  const Index c = x.shape(x.ndim() - 1);
  check(c >= 1, "x: expected at least 1 class on the last axis, got shape ", shape_of(x));
  return with_type(x, [&]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    place.call<T>(&Kernels<T>::softmax_forward,
                  SoftmaxForward<T>{x.size() / c, c, place.in<T>(x, "x"), y.data, logarithm});
    return std::move(y.array);
  });
}

// -- losses -----------------------------------------------------------------

// Weights as the kernels want them, checked in float64, where none becomes 0 or infinite; empty:
// all one. `where` says in errors of which a weight is.
template <class T>
std::vector<T> checked_weights(const Weights& weights, const char* name, const char* where,
                               Index n) {
  if (!weights) return {};
  check_shape(*weights, name, {n});
  const double* const given = data_of<double>(*weights, name);
  std::vector<T> converted(static_cast<std::size_t>(n));
  for (Index r = 0; r < n; ++r) {
    check_weight(name, given[r], where, r);
    converted[static_cast<std::size_t>(r)] = static_cast<T>(given[r]);
  }
  return converted;
}

// Those of elements (n, c).
template <class T>
std::vector<T> checked_element_weights(const py::array& weights, Index n, Index c) {
  check(weights.shape(0) == n && weights.shape(1) == c, "sample_weight: expected shape (", n,
        ",) or (", n, ", ", c, "), got (", weights.shape(0), ", ", weights.shape(1), ")");
  const double* const given = data_of<double>(weights, "sample_weight");
  std::vector<T> converted(static_cast<std::size_t>(n * c));
  for (Index i = 0; i < n * c; ++i) {
    check_weight("sample_weight", given[i], "row", i / c);
    converted[static_cast<std::size_t>(i)] = static_cast<T>(given[i]);
  }
  return converted;
}

template <class T>
ArrayView view_of(const Array& array, const T* data) {
  const Index columns = array.ndim() > 1 ? array.shape(1) : 1;
  return {data,    sizeof(T) == 8 ? Element::f64 : Element::f32, array.shape(0),
          columns, columns * static_cast<Index>(sizeof(T)),      sizeof(T),
          nullptr};
}

// Targets as the kernels want them, checked in the type in which they are given: that of the
// computation or, on the host, float64.
template <class T>
class CheckedTargets {
 public:
  // Without `looks` those of the computation's type are taken as they are.
  template <class Check>
  CheckedTargets(CallSide& place, const Array& targets, const char* name, bool looks,
                 const Check& check) {
    if (sizeof(T) == 4 && !targets.on_device() && targets.is_double()) {
      const double* const given = place.look_at<double>(targets, name);
      {
        const Unlocked unlocked;
        check(view_of(targets, given));
      }
      converted_.reserve(static_cast<std::size_t>(targets.size()) + 1);  // not null where empty
      for (Index i = 0; i < targets.size(); ++i) converted_.push_back(static_cast<T>(given[i]));
      seen_ = converted_.data();
      data_ = place.in<T>(seen_, targets.size());
      return;
    }
    data_ = place.in<T>(targets, name);
    if (!looks) return;  // those of a device need not come to the host
    seen_ = place.look_at<T>(targets, name);
    const Unlocked unlocked;
    check(view_of(targets, seen_));
  }

  const T* data() const { return data_; }  // where the kernel runs
  const T* on_host() const { return seen_; }

 private:
  std::vector<T> converted_;
  const T* data_ = nullptr;
  const T* seen_ = nullptr;
};

// What a loss divides by: weights of rows, times their targets that are not missing where each
// element counts; or the weights of these. Targets may be null.
template <class T>
double total_weight(Index n, Index c, const T* targets, const std::vector<T>& weights,
                    bool weighs_elements = false) {
  double total = 0;
  if (weighs_elements) {
    for (Index i = 0; i < n * c; ++i) {
      const T weight = weights[static_cast<std::size_t>(i)];
      total += static_cast<double>(targets[i] == targets[i] ? weight : T(0));
    }
    return total;
  }
  for (Index r = 0; r < n; ++r) {
    Index present = targets == nullptr ? 1 : 0;
    for (Index j = 0; targets != nullptr && j < c; ++j) {
      present += targets[r * c + j] == targets[r * c + j] ? 1 : 0;
    }
    const T weight = weights.empty() ? T(1) : weights[static_cast<std::size_t>(r)];
    total += static_cast<double>(weight) * static_cast<double>(present);
  }
  return total;
}

// Runs a loss kernel whose arguments lack what all losses have in common.
template <class T>
py::tuple run_loss(CallSide& place, LossRows<T> rows, double total, const Array& outputs) {
  Result<T> d = place.out_like<T>(outputs);
  rows.scale = total > 0 ? static_cast<T>(1 / total) : T(0);
  rows.sums = place.sums();
  rows.gradient = d.data;
  if (rows.kind == LossKind::softmax_cross_entropy) {
    place.call<T>(&Kernels<T>::softmax_cross_entropy, rows);
  } else if (portable::is_of_rows(rows.kind)) {
    place.call<T>(&Kernels<T>::row_loss, rows);
  } else {
    place.call<T>(&Kernels<T>::element_loss, rows);
  }
  const double sum = place.total_loss(rows.sums, rows.n);
  return py::make_tuple(total > 0 ? sum / total : 0.0, d.array);
}

// What the arguments of a loss are called.
struct LossNames {
  const char* outputs;
  const char* targets;
};

py::tuple row_loss(const std::string& name, const Array& logits, const Array& labels,
                   const Weights& sample_weight, const py::dict& options,
                   std::optional<std::int32_t> ignore_class, const Weights& column_weight) {
  const auto kind = find_name<LossKind>("loss", loss_names, name);
  check(portable::is_of_rows(kind), "loss: ", name, " is of elements");
  const bool classes = portable::targets_of(kind) == Targets::classes;
  const LossNames names = portable::head_of(kind) != Head::none ? LossNames{"logits", "labels"}
                                                                : LossNames{"pred", "target"};
  check_axes(logits, names.outputs, 2);
  const Index n = logits.shape(0);
  const Index c = logits.shape(1);
  check(c >= 1, names.outputs, ": expected at least 1 ", classes ? "class" : "output",
        ", got shape ", shape_of(logits));
  const bool sparse = classes && labels.dtype().kind() == 'i';
  if (sparse) {
    check_shape(labels, names.targets, {n});
  } else {
    check_shape(labels, names.targets, {n, c});
    check(!ignore_class, "ignore_class: only for integer labels");
  }
  return with_type(logits, [&]<class T>() -> py::tuple {
    CallSide place(logits);
    std::vector<T> weights = checked_weights<T>(sample_weight, "sample_weight", "row", n);
    const std::vector<T> columns = checked_weights<T>(column_weight, "alpha", "class", c);
    std::optional<CheckedTargets<T>> targets;
    LossRows<T> a{};
    a.kind = kind;
    loss_options(kind, options, a.options);
    if (sparse) {
      const auto* const given = place.look_at<std::int32_t>(labels, names.targets);
      a.labels = place.in(given, n);
      const Unlocked unlocked;
      check_labels(names.targets, given, nullptr, n, c, ignore_class.has_value(),
                   ignore_class.value_or(0));
      if (ignore_class) {
        if (weights.empty()) weights.assign(static_cast<std::size_t>(n), T(1));
        for (Index r = 0; r < n; ++r) {
          if (given[r] == *ignore_class) weights[static_cast<std::size_t>(r)] = T(0);
        }
      }
    } else {
      targets.emplace(place, labels, names.targets, classes, [&](const ArrayView& view) {
        if (classes) check_probabilities(names.targets, view, {nullptr, 0, n});
      });
      a.targets = targets->data();
    }
    a.n = n;
    a.c = c;
    a.outputs = place.in<T>(logits, names.outputs);
    a.weights = place.in(weights.empty() ? nullptr : weights.data(), n);
    a.column_weights = place.in(columns.empty() ? nullptr : columns.data(), c);
    return run_loss<T>(place, a, total_weight<T>(n, c, nullptr, weights), logits);
  });
}

py::tuple element_loss(const std::string& name, const Array& outputs, const Array& targets,
                       const Weights& sample_weight, const Weights& column_weight,
                       const py::dict& options, bool ignore_nan) {
  const auto kind = find_name<LossKind>("loss", loss_names, name);
  check(!portable::is_of_rows(kind), "loss: ", name, " is of rows");
  const bool folds = portable::head_of(kind) != Head::none;
  const LossNames names = folds ? LossNames{"logits", "targets"} : LossNames{"pred", "target"};
  check(outputs.ndim() == 1 || outputs.ndim() == 2, names.outputs, ": expected shape (n, ",
        folds ? "c" : "o", ") or (n,), got ", shape_of(outputs));
  const Index n = outputs.shape(0);
  const int each = portable::outputs_of_target(kind);
  const Index wide = outputs.ndim() == 2 ? outputs.shape(1) : 1;
  const Index c = wide / each;
  if (each == 1) {
    check_like(targets, names.targets, outputs, names.outputs);
  } else {
    check(wide % each == 0 && outputs.ndim() == 2, names.outputs, ": expected shape (n, ", each,
          " o), ", each, " outputs for each target, got ", shape_of(outputs));
    check_shape(targets, names.targets, {n, c});
  }
  check(c >= 1, names.outputs, ": expected at least 1 ", folds ? "label" : "output", ", got shape ",
        shape_of(outputs));
  return with_type(outputs, [&]<class T>() -> py::tuple {
    CallSide place(outputs);
    const bool weighs_elements = sample_weight && sample_weight->ndim() == 2;
    const std::vector<T> weights =
        weighs_elements ? checked_element_weights<T>(*sample_weight, n, c)
                        : checked_weights<T>(sample_weight, "sample_weight", "row", n);
    const std::vector<T> columns = checked_weights<T>(column_weight, "pos_weight", "label", c);
    LossRows<T> a{};
    a.kind = kind;
    loss_options(kind, options, a.options);
    a.by_element = portable::counts_elements(kind) || ignore_nan || weighs_elements;
    a.weighs_elements = weighs_elements;
    a.n = n;
    a.c = c;
    a.outputs = place.in<T>(outputs, names.outputs);
    const Targets expected = portable::targets_of(kind);
    const CheckedTargets<T> given(
        place, targets, names.targets, expected != Targets::numbers || a.by_element,
        [&](const ArrayView& view) {
          check_targets(expected, names.targets, view, {nullptr, 0, n}, ignore_nan);
        });
    a.targets = given.data();
    a.weights = place.in(weights.empty() ? nullptr : weights.data(), weighs_elements ? n * c : n);
    a.column_weights = place.in(columns.empty() ? nullptr : columns.data(), c);
    const double total =
        total_weight<T>(n, c, a.by_element ? given.on_host() : nullptr, weights, weighs_elements);
    return run_loss<T>(place, a, total, outputs);
  });
}

// -- optimizers, in place ---------------------------------------------------

// `slots` are those of the row, in its order; None for one that these settings do not use.
void optimizer_step(const std::string& optimizer, Array param, const Array& grad,
                    std::vector<Optional> slots, const py::dict& given, std::int64_t step) {
  const auto kind = find_name<OptimizerKind>("optimizer", optimizer_names, optimizer);
  const OptimizerSettings settings = settings_of(kind, given);
  check(step >= 1, "step: expected at least 1 (the first step is 1), got ", step);
  check_like(grad, "grad", param, "param");
  const bool muon = kind == OptimizerKind::muon;
  check(!muon || param.ndim() == 2, "param: expected a matrix, got shape ", shape_of(param));
  const WholeShape shape{muon ? param.shape(0) : 1, muon ? param.shape(1) : param.size(), muon};
  portable::with_optimizer(kind, [&](auto rule) {
    using Rule = decltype(rule);
    check(slots.size() == std::size_t{Rule::slots}, "slots: expected ", Rule::slots, ", got ",
          slots.size());
    const unsigned kept = Rule::kept(settings.own);
    for (std::size_t i = 0; i < std::size(Rule::slot_names); ++i) {
      const char* const name = Rule::slot_names[i];
      check(slots[i].has_value() || (kept >> i & 1U) == 0, name, ": these settings need one");
      if (slots[i]) check_like(*slots[i], name, param, "param");
    }
    with_type(param, [&]<class T>() {
      CallSide place(param);
      OptimizerStep<T> a{.kind = kind,
                         .n = param.size(),
                         .param = nullptr,
                         .grad = place.in<T>(grad, "grad"),
                         .slots = {},
                         .settings = settings,
                         .step = static_cast<std::uint64_t>(step)};
      a.param = place.in_out<T>(param, "param");
      for (std::size_t i = 0; i < std::size(Rule::slot_names); ++i) {
        if (slots[i]) a.slots[i] = place.in_out<T>(*slots[i], Rule::slot_names[i]);
      }
      if (!portable::steps_whole(kind)) {
        place.call<T>(&Kernels<T>::optimizer_step, a);
        return;
      }
      place.run([&](const Machine& machine) {
        Memory memory(machine);
        WholeSteps<T> whole(machine, memory, std::span(&shape, 1));
        whole.step(a, shape);
        if (machine.order != nullptr) machine.order->wait(*machine.context);
      });
    });
  });
}

}  // namespace

void register_ops(py::module_& module) {
  using namespace py::literals;
  module.def("dense_forward", dense_forward, "x"_a, "w"_a, "b"_a, "activation"_a,
             "activation_parameters"_a = py::tuple());
  module.def("dense_backward", dense_backward, "dy"_a, "x"_a, "w"_a, "y"_a, "z"_a, "activation"_a,
             "activation_parameters"_a = py::tuple());
  module.def("activation_forward", activation_forward, "x"_a, "name"_a,
             "parameters"_a = py::tuple());
  module.def("activation_backward", activation_backward, "dy"_a, "x"_a, "y"_a, "name"_a,
             "parameters"_a = py::tuple());
  module.def("softmax", softmax, "x"_a, "logarithm"_a = false);
  module.def("row_loss", row_loss, "loss"_a, "logits"_a, "labels"_a, "sample_weight"_a, "options"_a,
             "ignore_class"_a, "column_weight"_a = py::none());
  module.def("element_loss", element_loss, "loss"_a, "outputs"_a, "targets"_a, "sample_weight"_a,
             "column_weight"_a, "options"_a, "ignore_nan"_a = false);
  module.def("optimizer_step", optimizer_step, "optimizer"_a, "param"_a, "grad"_a, "slots"_a,
             "settings"_a, "step"_a = 1);
}

}  // namespace fastnn::bindings
