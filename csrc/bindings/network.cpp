// The network as Python drives it.
#include "bindings/network.h"
#include "bindings/unlocked.h"

#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "bindings/data.h"
#include "bindings/tables.h"
#include "core/loss.h"
#include "core/names.h"
#include "core/plan_bytes.h"
#include "core/session_plain.h"
#include "nn/checks.h"
#include "nn/network.h"

namespace fastnn::bindings {

namespace {

// {"kind": a name of core/metric.h, "weighted": bool, "value": threshold or k; of mean_of: "loss",
// a name, "options": its options by name; of confusion: "thresholds", (sets, outputs), "top"}
Metric metric_of(const py::dict& given) {
  Metric metric;
  metric.kind = find_name<MetricKind>("metric", metric_names, py::cast<std::string>(given["kind"]));
  if (given.contains("value")) metric.value = py::cast<double>(given["value"]);
  if (given.contains("weighted")) metric.weighted = py::cast<bool>(given["weighted"]);
  if (given.contains("top")) metric.top = py::cast<Index>(given["top"]);
  check(metric.top >= 0, "metrics: top: expected a number of at least 0, got ", metric.top);
  if (given.contains("thresholds")) {
    const auto thresholds = py::cast<py::array_t<double, py::array::c_style>>(given["thresholds"]);
    metric.thresholds.assign(thresholds.data(), thresholds.data() + thresholds.size());
  }
  for (const double threshold : metric.thresholds) {
    check(threshold >= 0 && threshold <= 1, "metrics: thresholds: expected numbers in [0, 1], got ",
          threshold);
  }
  if (metric.kind != MetricKind::mean_of) return metric;
  metric.loss.kind =
      find_name<LossKind>("metric", loss_names, py::cast<std::string>(given["loss"]));
  const py::dict none;
  metric.loss.outputs_of_target = portable::outputs_of_target(metric.loss.kind);
  loss_options(metric.loss.kind, given.contains("options") ? py::dict(given["options"]) : none,
               metric.loss.options);
  return metric;
}

ParameterGroup group_of(const py::dict& given) {
  ParameterGroup group;
  for (const auto& [name, value] : given) {
    const auto key = py::cast<std::string>(name);
    const auto number = py::cast<double>(value);
    check(number >= 0 && std::isfinite(number), "groups: ", key,
          ": expected a finite number of at least 0, got ", number);
    if (key == "rate") {
      group.rate = number;
    } else if (key == "decay") {
      group.decay = number;
    } else if (key == "l1") {
      group.l1 = number;
    } else if (key == "l2") {
      group.l2 = number;
    } else if (key == "orthogonal") {
      group.orthogonal = number != 0;
    } else if (key == "constraint") {
      check(number == 0 || number == 1 || number == 2, "groups: constraint: expected 0, 1 or 2");
      group.constraint.kind = static_cast<ConstraintKind>(static_cast<int>(number));
    } else if (key == "low") {
      group.constraint.low = number;
    } else if (key == "high") {
      group.constraint.high = number;
    } else if (key == "constraint_rate") {
      group.constraint.rate = number;
    } else if (key == "over_rows") {
      group.constraint.over_rows = number != 0;
    } else if (key == "over_columns") {
      group.constraint.over_columns = number != 0;
    } else {
      invalid("groups: unknown setting '", key, "'");
    }
  }
  return group;
}

std::vector<ParameterGroup> groups_of(const py::handle& given) {
  const auto groups = given.cast<std::vector<py::dict>>();
  check(groups.size() <= max_groups_of_parameters, "groups: expected at most ",
        max_groups_of_parameters, ", got ", groups.size());
  std::vector<ParameterGroup> all;
  for (const py::dict& group : groups) all.push_back(group_of(group));
  if (all.empty()) all.emplace_back();
  return all;
}

Update update_of(const std::string& optimizer, const py::dict& stage) {
  Update update;
  update.optimizer = find_name<OptimizerKind>("optimizer", optimizer_names, optimizer);
  for (const auto& [name, value] : stage) {
    const auto key = py::cast<std::string>(name);
    if (key == "groups") {
      update.groups = groups_of(value);
    } else if (key == "average_momentum") {
      update.averages = !value.is_none();
      update.average_momentum = value.is_none() ? 0.0 : value.cast<double>();
    } else if (key == "overwrite") {
      update.overwrite = value.cast<std::uint64_t>();
    } else if (key == "clip_value") {
      update.clip_value = value.cast<double>();
    } else if (key == "clip_norm") {
      update.clip_norm = value.cast<double>();
    } else if (key == "global_clip_norm") {
      update.global_clip_norm = value.cast<double>();
    } else if (key == "accumulate") {
      update.accumulate = value.cast<std::uint64_t>();
      check(update.accumulate >= 1, "accumulate: expected at least 1");
    } else if (key == "initial_state") {
      update.initial_state = value.cast<double>();
    } else {
      invalid("compile: unknown part of the update stage '", key, "'");
    }
  }
  check(update.overwrite == 0 || update.averages, "overwrite: no average of the weights is kept");
  return update;
}

Loss loss_of(const std::string& name, const py::dict& options,
             std::optional<std::int32_t> ignore_class,
             const std::optional<py::array_t<double, py::array::c_style>>& column_weights,
             bool by_batch_weight, bool ignore_nan) {
  Loss loss;
  loss.kind = find_name<LossKind>("loss", loss_names, name);
  loss_options(loss.kind, options, loss.options);
  loss.ignores = ignore_class.has_value();
  loss.ignore_class = ignore_class.value_or(0);
  loss.by_batch_weight = by_batch_weight;
  check(!ignore_nan || !portable::is_of_rows(loss.kind), "ignore_nan: ", name, " is of whole rows");
  loss.by_element = portable::counts_elements(loss.kind) || ignore_nan;
  loss.outputs_of_target = portable::outputs_of_target(loss.kind);
  if (!column_weights) return loss;
  portable::with_loss(loss.kind, [&](auto row) {
    check(decltype(row)::column_weights, "pos_weight: ", name, " has none");
  });
  for (Index j = 0; j < column_weights->size(); ++j) {
    check_weight("pos_weight", column_weights->data()[j], "label", j);
  }
  loss.column_weights.assign(column_weights->data(),
                             column_weights->data() + column_weights->size());
  return loss;
}

void compile(Network& network, const std::string& loss, const std::string& optimizer,
             const py::dict& options, std::optional<std::int32_t> ignore_class,
             const std::optional<py::array_t<double, py::array::c_style>>& pos_weight,
             bool by_batch_weight, bool ignore_nan, const std::vector<py::dict>& metrics,
             const std::string& session, const std::string& precision, const std::string& device,
             bool collects, const py::kwargs& stage) {
  Compile request;
  request.collects = collects;
  if (device != "auto") request.device = find_name<Device>("device", device_names, device);
  request.precision = find_name<Precision>("precision", precision_names, precision);
  request.session = find_name<SessionKind>("session", session_names, session);
  request.loss = loss_of(loss, options, ignore_class, pos_weight, by_batch_weight, ignore_nan);
  request.update = update_of(optimizer, stage);
  for (const py::dict& metric : metrics) request.metrics.push_back(metric_of(metric));
  network.compile(request);
}

// Checks of data that stand beside the network, so that another thread may make them while it
// trains.
struct DataCheck {
  Plan plan;
  void check(const Data& data) const {
    const Unlocked unlocked;
    check_data(plan, data.dataset(), poll_signals);
  }
  void check_x(const Data& data) const {
    const Unlocked unlocked;
    check_input(plan, data.dataset(), poll_signals);
  }
  double weight(const Data& data) const {
    const Unlocked unlocked;
    return total_weight(plan, data.dataset(), poll_signals);
  }
};

py::array_t<double> evaluate(Network& network, const Data& data,
                             const std::optional<py::array>& logits,
                             const std::optional<py::array>& so_far) {
  std::vector<double> sums;
  void* const to = logits_of(network, logits, data.dataset().count);
  std::span<const double> before;
  if (so_far) {
    before =
        std::span(data_of<double>(*so_far, "so_far"), static_cast<std::size_t>(so_far->size()));
  }
  {
    const Unlocked unlocked;
    sums = network.evaluate(data.dataset(), poll_signals, to, before);
  }
  return array_of(sums);
}

py::array predict(Network& network, const Data& data) {
  const Index rows = data.dataset().count;
  py::array out(dtype_of(network.element()), std::vector<Index>{rows, network.output_width()});
  void* const memory = out.mutable_data();
  const Unlocked unlocked;
  network.predict(data.dataset(), memory, poll_signals);
  return out;
}

py::tuple gradients(Network& network, const Data& data, bool training) {
  const ParameterBuffer gradient(network.parameter_size(), network.element());
  double loss = 0;
  {
    const Unlocked unlocked;
    loss = network.gradients(data.dataset(), training, gradient.data(), poll_signals);
  }
  // Without a base, NumPy copies.
  return py::make_tuple(loss, py::array(dtype_of(network.element()),
                                        std::vector<Index>{gradient.size()}, gradient.data()));
}

py::list parameters(const Network& network) {
  py::list list;
  for (const Parameter& p : network.parameters()) {
    py::tuple shape = py::make_tuple(p.rows, p.columns);
    if (p.role != Role::matrix) shape = py::make_tuple(p.columns);
    list.append(py::make_tuple(p.offset, shape));
  }
  return list;
}

std::vector<py::array> optimizer_state(Network& network) {
  std::vector<py::array> state;
  const Unlocked unlocked;
  network.optimizer_state([&](const ParameterBuffer& slot) {
    stay_if_ending();
    const py::gil_scoped_acquire locked;
    state.emplace_back(dtype_of(slot.element()), std::vector<Index>{slot.size()}, slot.data());
  });
  return state;
}

void set_optimizer_state(Network& network, const std::vector<py::array>& state) {
  std::vector<const void*> values;
  for (const py::array& array : state) {
    check(array.ndim() == 1 && array.shape(0) == network.parameter_size(),
          "optimizer state: expected shape (", network.parameter_size(), ",), got ",
          shape_of(array));
    values.push_back(network.element() == Element::f64
                         ? static_cast<const void*>(data_of<double>(array, "optimizer state"))
                         : static_cast<const void*>(data_of<float>(array, "optimizer state")));
  }
  network.set_optimizer_state(values);
}

// A Python exception with the place where training went wrong.
void register_diverged(py::module_& module) {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> storage;
  storage.call_once_and_store_result([&]() -> py::object {
    return py::reinterpret_steal<py::object>(
        PyErr_NewExceptionWithDoc("fastnn.TrainingDiverged",
                                  R"(The loss of a training step was NaN or infinite.

    >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])
    >>> model.compile(fastnn.optimizers.SGD(1e9), "mean_squared_error")
    >>> try:
    ...     history = model.fit([[1.0]], [1.0], epochs=9, verbose=0)
    ... except fastnn.TrainingDiverged as error:
    ...     print(error.loss, error.step)
    inf 0

Attributes: epoch and step (both from 0), loss. The weights are those of an earlier
step, after which training went well for a while, or those before training. Copies to go
back to are made after a number of steps that depends on the shape alone, so the same
training goes back to the same weights.)",
                                  PyExc_ArithmeticError, nullptr));
  });
  module.attr("TrainingDiverged") = storage.get_stored();
  // NOLINTNEXTLINE(performance-unnecessary-value-param): pybind11 asks for this signature
  py::register_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const Diverged& diverged) {
      const py::object& type = storage.get_stored();
      const py::object made = type(diverged.what());
      made.attr("epoch") = diverged.epoch;
      made.attr("step") = diverged.step;
      made.attr("loss") = diverged.loss;
      PyErr_SetObject(type.ptr(), made.ptr());
    }
  });
}

void register_training(py::class_<Network>& network) {
  using namespace py::literals;
  network.def("compile", compile, py::kw_only(), "loss"_a, "optimizer"_a, "options"_a = py::dict(),
              "ignore_class"_a = py::none(), "pos_weight"_a = py::none(),
              "by_batch_weight"_a = false, "ignore_nan"_a = false, "metrics"_a = py::tuple(),
              "session"_a = "auto", "precision"_a = "highest", "device"_a = "auto",
              "collects"_a = false);
  network.def_property_readonly("whole_for", &Network::whole_for);
  network.def(
      "session",
      [](const Network& self, Index batch_size) {
        return session_names[static_cast<std::size_t>(self.session(batch_size))];
      },
      "batch_size"_a);
  network.def("bf16_parts", &Network::bf16_parts, "batch_size"_a);
  network.def(
      "device",
      [](const Network& self, Index batch_size) {
        return device_names[static_cast<std::size_t>(self.device(batch_size))];
      },
      "batch_size"_a);
  network.def_property("steps", &Network::steps, &Network::set_steps);
  network.def_property("updates", &Network::updates, &Network::set_updates);
  network.def_property("epochs", &Network::epochs, &Network::set_epochs);
  network.def_property("continues", &Network::continues, &Network::set_continues);
  network.def_property_readonly("optimizer_state", optimizer_state);
  network.def("set_optimizer_state", set_optimizer_state, "state"_a);
  network.def(
      "check",
      [](Network& self, const Data& data) {
        const UnlockedFor unlocked(data.numbers());
        self.check_data(data.dataset(), poll_signals);
      },
      "data"_a);
  network.def(
      "check_weight_of",
      [](Network& self, const std::string& name, const Data& data) {
        const UnlockedFor unlocked(data.numbers());
        return self.check_weight_of(name.c_str(), data.dataset(), poll_signals);
      },
      "name"_a, "data"_a);
  network.def("plan_bytes", [](Network& self) {
    const PlanBytes bytes = bytes_of(self.compiled_plan());
    return py::make_tuple(py::bytes(bytes.layers), py::bytes(bytes.loss), py::bytes(bytes.update));
  });
  network.def("data_check", [](Network& self) { return DataCheck{self.compiled_plan()}; });
  network.def_property_readonly("sum_widths", &Network::sum_widths);
  network.def_property_readonly("head", [](const Network& self) {
    return head_names[static_cast<std::size_t>(self.head())];
  });
  network.def_property_readonly("key", &Network::key);
  network.def_property_readonly("dtype",
                                [](const Network& self) { return name_of(self.element()); });
  network.def(
      "check_input",
      [](Network& self, const Data& data) {
        const Unlocked unlocked;
        self.check_input(data.dataset(), poll_signals);
      },
      "data"_a);
  network.def("evaluate", evaluate, "data"_a, "logits"_a = py::none(), "so_far"_a = py::none());
  network.def("predict", predict, "data"_a);
  network.def("predictor", make_predictor, "inputs"_a, "outputs"_a, "ends"_a, "convert"_a);
  network.def("gradients", gradients, "data"_a, py::kw_only(), "training"_a = false);
}

}  // namespace

void* logits_of(Network& network, const std::optional<py::array>& array, Index rows) {
  if (!array) return nullptr;
  const Index width = network.output_width();
  const py::dtype dtype = dtype_of(network.element());
  const bool fits = array->ndim() == 2 && array->shape(0) == rows && array->shape(1) == width;
  check(fits && array->dtype().equal(dtype) && array->writeable() &&
            (array->flags() & py::array::c_style) != 0,
        "logits: expected a writable array of shape (", rows, ", ", width, ") and the network's ",
        "type, got shape ", shape_of(*array));
  return const_cast<void*>(array->data());
}

void register_network(py::module_& module) {
  using namespace py::literals;
  register_diverged(module);
  register_parameters(module);
  register_applied(module);
  register_data(module);
  register_predictor(module);
  py::class_<Graph> graph(module, "Graph");
  graph.def(py::init([](std::optional<Index> width, const std::string& dtype) {
              return std::make_unique<Graph>(width.value_or(0), element_named(dtype), 0);
            }),
            "width"_a, "dtype"_a);
  graph.def("set_output", &Graph::set_output, "tensor"_a);
  register_building(graph);
  py::class_<DataCheck>(module, "DataCheck")
      .def("check", &DataCheck::check, "data"_a)
      .def("check_input", &DataCheck::check_x, "data"_a)
      .def("weight", &DataCheck::weight, "data"_a)
      .def_property_readonly("rows_at_once",
                             [](const DataCheck& self) { return inference_rows(self.plan); });
  py::class_<Network> network(module, "Network");
  network.def(py::init([](Index width, const std::string& dtype, std::uint64_t key) {
                check(width >= 1, "width: expected at least 1, got ", width);
                return std::make_unique<Network>(Graph(width, element_named(dtype), key));
              }),
              "width"_a, "dtype"_a, "key"_a);
  register_building(network);
  network.def_property_readonly("parameter_size", &Network::parameter_size);
  network.def_property_readonly("parameters", parameters);
  network.def_property_readonly("parameter_count",
                                [](const Network& self) { return self.parameters().size(); });
  network.def("bind", &Network::bind, "parameters"_a);
  network.def(
      "take",
      [](Network& self, const std::shared_ptr<ParameterBuffer>& from,
         const std::vector<std::array<Index, 3>>& ranges) {
        std::vector<Network::Range> taken;
        for (const auto& [to, at, count] : ranges) taken.push_back({to, at, count});
        const Unlocked unlocked;
        self.take(*from, taken, poll_signals);
      },
      "parameters"_a, "ranges"_a);
  network.def("bring", [](Network& self) {
    const Unlocked unlocked;
    self.bring();
  });
  network.def("set_output", &Network::set_output, "tensor"_a);
  network.def_property_readonly("roles", [](const Network& self) {
    py::list roles;
    for (const Parameter& p : self.parameters()) {
      roles.append(role_names[static_cast<std::size_t>(p.role)]);
    }
    return roles;
  });
  network.def(
      "set_groups",
      [](Network& self, const std::vector<int>& groups) { self.graph().set_groups(groups); },
      "groups"_a);
  network.def(
      "set_trainable",
      [](Network& self, const std::vector<bool>& flags) { self.graph().set_trainable(flags); },
      "flags"_a);
  network.def("set_moving", &Network::set_moving, "flags"_a);
  register_training(network);
  register_run(module, network);
  register_recorded(module, network);
  register_lanes(module);
}

}  // namespace fastnn::bindings
