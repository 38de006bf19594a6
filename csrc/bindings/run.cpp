// A training under way and a kept forward pass, as Python drives them.
#include "nn/run.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/data.h"
#include "bindings/exchange.h"
#include "bindings/network.h"
#include "bindings/tables.h"
#include "bindings/unlocked.h"
#include "nn/many.h"
#include "nn/network.h"
#include "nn/recorded.h"

namespace fastnn::bindings {

namespace {

// Handles signals, then calls `progress` unless it is None.
OnProgress on_progress_with(const py::object& progress) {
  return [&progress](Index epoch, Index step, std::span<const double> sums) {
    poll_signals();
    const py::gil_scoped_acquire locked;
    if (!progress.is_none()) progress(epoch, step, array_of(sums));
  };
}

// {"place", "root", "more_is_better", "min_delta", "first_epoch", "patience", "wait", "best",
// "baseline", "keeps_best", "has_best"}, of which "best" and "baseline" may be None; and, where the
// rule is scikit-learn's, {"terms", "offset"}: (numerator, denominator, scale) of each term.
Watch watch_of(const py::dict& given) {
  const auto number = [&](const char* name) {
    const py::object value = given[name];
    return value.is_none() ? std::nan("") : py::cast<double>(value);
  };
  Watch watch;
  watch.place = py::cast<Index>(given["place"]);
  watch.root = py::cast<bool>(given["root"]);
  watch.more_is_better = py::cast<bool>(given["more_is_better"]);
  watch.min_delta = py::cast<double>(given["min_delta"]);
  watch.first_epoch = py::cast<Index>(given["first_epoch"]);
  watch.patience = py::cast<Index>(given["patience"]);
  watch.wait = py::cast<Index>(given["wait"]);
  watch.best = number("best");
  watch.baseline = number("baseline");
  watch.keeps_best = py::cast<bool>(given["keeps_best"]);
  watch.has_best = py::cast<bool>(given["has_best"]);
  if (given.contains("terms")) {
    watch.offset = number("offset");
    using Term = std::tuple<Index, Index, double>;
    for (const auto& [numerator, denominator, scale] :
         py::cast<std::vector<Term>>(given["terms"])) {
      watch.terms.push_back({numerator, denominator, scale});
    }
    check(!watch.terms.empty(), "watches: terms: expected at least one");
  }
  return watch;
}

// A run, with the network and the data that it refers to. They are kept here: py::keep_alive of
// pybind11 3.1 ends the process where an argument is of the wrong type.
struct BoundRun {
  py::object network, data, validation, exchange;
  std::unique_ptr<Run> run;  // goes first
  OptimizerKind optimizer;
  // A call that waits for its lane or is in it, what it refers to, and how it ended.
  std::optional<Run::Request> call = {};
  std::optional<py::array> rates = {};
  py::object progress = py::none();
  std::exception_ptr error = {};
};

std::unique_ptr<BoundRun> start_run(Network& network, const Data& data, Index batch_size,
                                    const Data* validation, bool shuffle, bool fresh,
                                    bool streams_in, std::optional<double> row_weight,
                                    BoundExchange* exchange, bool shards, Index total, Index before,
                                    Index average_every) {
  Run::Options options{batch_size, shuffle, fresh, streams_in, row_weight, {}};
  if (exchange != nullptr)
    options.ranks = {&exchange->exchange, shards, total, before, average_every};
  auto run =
      std::make_unique<Run>(network.parts(), data.dataset(),
                            validation != nullptr ? &validation->dataset() : nullptr, options);
  constexpr auto existing = py::return_value_policy::reference;
  return std::make_unique<BoundRun>(BoundRun{.network = py::cast(&network, existing),
                                             .data = py::cast(&data, existing),
                                             .validation = py::cast(validation, existing),
                                             .exchange = py::cast(exchange, existing),
                                             .run = std::move(run),
                                             .optimizer = network.optimizer()});
}

// (epochs, sums)
py::array_t<double> finished(const BoundRun& self) {
  const std::span<const double> sums = self.run->finished();
  const auto width = static_cast<py::ssize_t>(self.run->width());
  const py::ssize_t epochs = width > 0 ? static_cast<py::ssize_t>(sums.size()) / width : 0;
  return array_of(sums).reshape({epochs, width});
}

// The arguments of a call, but for `optimizer` and `progress`.
struct Advance {
  Index epochs, first_epoch, first_step;
  std::optional<Index> steps;
  bool validates, ends;
  std::optional<py::array> rates, logits, validation_logits;
  std::vector<py::dict> watches;
  std::optional<double> seconds;
};

Run::Request request_of(const BoundRun& self, const py::dict& optimizer, const Advance& given) {
  Run::Request request;
  request.epochs = given.epochs;
  request.first_epoch = given.first_epoch;
  request.first_step = given.first_step;
  request.steps = given.steps.value_or(-1);
  request.validates = given.validates;
  request.ends = given.ends;
  request.rates.settings = settings_of(self.optimizer, optimizer);
  if (given.rates) {
    check(given.rates->ndim() == 1, "rates: expected one axis, got ", shape_of(*given.rates));
    request.rates.rates = data_of<double>(*given.rates, "rates");
    request.rates_given = given.rates->shape(0);
  }
  auto& network = self.network.cast<Network&>();
  request.logits = logits_of(network, given.logits, self.data.cast<const Data&>().dataset().count);
  if (given.validation_logits && !self.validation.is_none()) {
    const Index rows = self.validation.cast<const Data&>().dataset().count;
    request.validation_logits = logits_of(network, given.validation_logits, rows);
  }
  for (const py::dict& watch : given.watches) request.watches.values.push_back(watch_of(watch));
  if (given.seconds) {
    request.watches.until = std::chrono::steady_clock::now() +
                            std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                                std::chrono::duration<double>(std::min(*given.seconds, 1e9)));
  }
  return request;
}

// `f` as a method that takes the arguments of a call, with its keywords.
template <class F>
void def_call(py::class_<BoundRun>& type, const char* name, const F& f) {
  using namespace py::literals;
  type.def(
      name,
      [f](BoundRun& self, const py::dict& optimizer, Index epochs, Index first_epoch,
          Index first_step, std::optional<Index> steps, bool validates, bool ends,
          const py::object& progress, std::optional<py::array> rates,
          std::optional<py::array> logits, std::optional<py::array> validation_logits,
          std::vector<py::dict> watches, std::optional<double> seconds) {
        const Advance given{epochs,
                            first_epoch,
                            first_step,
                            steps,
                            validates,
                            ends,
                            std::move(rates),
                            std::move(logits),
                            std::move(validation_logits),
                            std::move(watches),
                            seconds};
        return f(self, request_of(self, optimizer, given), given, progress);
      },
      py::kw_only(), "optimizer"_a, "epochs"_a = 1, "first_epoch"_a = 0, "first_step"_a = 0,
      "steps"_a = py::none(), "validates"_a = false, "ends"_a = false, "progress"_a = py::none(),
      "rates"_a = py::none(), "logits"_a = py::none(), "validation_logits"_a = py::none(),
      "watches"_a = py::tuple(), "seconds"_a = py::none());
}

py::array_t<double> advance(BoundRun& self, const Run::Request& request, const Advance&,
                            const py::object& progress) {
  {
    const Unlocked unlocked;
    self.run->advance(request, on_progress_with(progress));
  }
  return finished(self);
}

// Keeps a call for a lane; what it has to have in common with the others there, or None.
py::object keep_call(BoundRun& self, const Run::Request& request, const Advance& given,
                     const py::object& progress) {
  const std::string kind = [&] {
    const Brief brief;
    return Lanes::kind_of(*self.run, request);
  }();
  if (kind.empty()) return py::none();
  self.call = request;
  self.rates = given.rates;
  self.progress = progress;
  self.error = nullptr;
  return py::bytes(kind);
}

// Makes the call that was kept, without a lane.
py::array_t<double> make_call(BoundRun& self) {
  check(self.call.has_value(), "make_call: the run keeps no call");
  const Run::Request request = *std::exchange(self.call, std::nullopt);
  {
    const Unlocked unlocked;
    self.run->advance(request, on_progress_with(self.progress));
  }
  return finished(self);
}

// What `advance` would have given or raised, for a call that has left its lane.
py::array_t<double> result(BoundRun& self) {
  if (self.error) std::rethrow_exception(std::exchange(self.error, nullptr));
  return finished(self);
}

// -- several runs -----------------------------------------------------------

// Lanes, with the runs in them.
class BoundLanes {
 public:
  void add(const py::object& run) {
    auto& own = run.cast<BoundRun&>();
    check(own.call.has_value(), "add: the run has no call to make");
    runs_.push_back(run);
    try {
      const Brief brief;
      lanes_.add(*own.run, *own.call, on_progress_with(own.progress));
    } catch (...) {
      runs_.pop_back();
      throw;
    }
  }
  py::list advance(bool more, Index fewest) {
    std::vector<Lanes::Ended> ended;
    {
      const Unlocked unlocked;
      ended = lanes_.advance(more ? 0 : fewest);
    }
    py::list left;
    for (const Lanes::Ended& one : ended) {
      const auto of = std::find_if(runs_.begin(), runs_.end(), [&](const py::object& run) {
        return run.cast<BoundRun&>().run.get() == one.run;
      });
      auto& own = of->cast<BoundRun&>();
      own.call.reset();
      own.error = one.error;
      left.append(*of);
      runs_.erase(of);
    }
    return left;
  }
  void clear() {
    {
      const Unlocked unlocked;
      lanes_.clear();
    }
    runs_.clear();
  }

 private:
  std::vector<py::object> runs_;
  Lanes lanes_;  // goes first
};

// The parameters of the best epoch, in one array; None: none were kept.
py::object best_of(const BoundRun& self, std::size_t watch) {
  const std::span<const std::byte> kept = self.run->best(watch);
  if (kept.empty()) return py::none();
  const py::dtype dtype = dtype_of(self.network.cast<Network&>().element());
  const auto size = static_cast<Index>(kept.size()) / static_cast<Index>(dtype.itemsize());
  return py::array(dtype, std::vector<Index>{size}, kept.data());  // a copy
}

// -- a pass that is kept ----------------------------------------------------

std::unique_ptr<Recorded> record(Network& network, const Data& data, bool training, bool logits,
                                 bool input_gradient) {
  const Unlocked unlocked;
  const Recording how{.training = training, .logits = logits, .input_gradient = input_gradient};
  return network.record(data.dataset(), how, poll_signals);
}

// The same for rows of an array, whose head is left out: a call less for each step of a loop.
py::object record_rows(Network& network, const py::array& x, bool training, bool input_gradient,
                       const std::optional<py::object>& exchange, Index first_row, Index batch) {
  const Data data(x, std::nullopt, std::nullopt, std::nullopt, std::nullopt);
  const Index rows = data.dataset().count;
  check(first_row >= 0 && (!exchange || batch >= first_row + rows), "batch: expected ", rows,
        " rows from ", first_row, " on, and those of others, got ", batch);
  Recording how{.training = training, .logits = true, .input_gradient = input_gradient};
  how.first_row = first_row;
  how.batch = batch;
  if (exchange) how.exchange = &exchange->cast<BoundExchange&>().exchange;
  std::unique_ptr<Recorded> made;
  {
    const Unlocked unlocked;
    made = network.record(data.dataset(), how, poll_signals);
  }
  const py::object recorded = py::cast(std::move(made));
  // `pull` asks ranks for sums, too. As an argument of `def` this would end the process where an
  // argument is of the wrong type.
  if (exchange) py::detail::keep_alive_impl(recorded, *exchange);
  return recorded;
}

// The gradient at the inputs, or None, and that of each parameter: parts of one array.
py::list pull(Recorded& recorded, const py::array& dy) {
  const Plan& plan = recorded.plan();
  const std::vector<Index> shape{recorded.rows(), plan.output_width()};
  check(dy.ndim() == 2 && dy.shape(0) == shape[0] && dy.shape(1) == shape[1],
        "dy: expected shape (", shape[0], ", ", shape[1], "), got ", shape_of(dy));
  const void* const given = plan.element == Element::f64
                                ? static_cast<const void*>(data_of<double>(dy, "dy"))
                                : static_cast<const void*>(data_of<float>(dy, "dy"));
  const py::dtype dtype = dtype_of(plan.element);
  py::list gradients;
  void* dx = nullptr;
  if (recorded.input_gradient()) {
    py::array made(dtype, std::vector<Index>{recorded.rows(), plan.input_width()});
    dx = made.mutable_data();
    gradients.append(std::move(made));
  } else {
    gradients.append(py::none());
  }
  py::array dparameters(dtype, std::vector<Index>{plan.parameter_size});
  auto* const first = static_cast<char*>(dparameters.mutable_data());
  {
    const Unlocked unlocked;
    recorded.pull(given, dx, first);
  }
  for (const Parameter& p : plan.parameters) {
    const std::vector<Index> lengths = p.role == Role::matrix
                                           ? std::vector<Index>{p.rows, p.columns}
                                           : std::vector<Index>{p.columns};
    gradients.append(py::array(dtype, lengths, first + p.offset * dtype.itemsize(), dparameters));
  }
  return gradients;
}

}  // namespace

void register_run(py::module_& module, py::class_<Network>& network) {
  using namespace py::literals;
  network.def("run", start_run, "data"_a, py::kw_only(), "batch_size"_a,
              "validation"_a = py::none(), "shuffle"_a = true, "fresh"_a = true,
              "streams_in"_a = false, "row_weight"_a = py::none(), "exchange"_a = py::none(),
              "shards"_a = false, "total"_a = 0, "before"_a = 0, "average_every"_a = 0);
  py::class_<BoundRun> type(module, "Run");
  def_call(type, "advance", advance);
  def_call(type, "keep_call", keep_call);
  type.def("make_call", make_call)
      .def("result", result)
      .def("best", best_of, "watch"_a)
      .def(
          "go_on",
          [](BoundRun& self, Index step, const py::array& sums) {
            const auto count = static_cast<std::size_t>(sums.size());
            self.run->go_on(step, std::span(data_of<double>(sums, "sums"), count));
          },
          "step"_a, "sums"_a)
      .def(
          "bring",
          [](BoundRun& self, Index first_step, const std::vector<Index>& before,
             const std::vector<Index>& rows) {
            check(before.size() == rows.size(), "rows: expected as many as before, ", before.size(),
                  ", got ", rows.size());
            std::vector<Ranks::Part> parts;
            for (std::size_t i = 0; i < rows.size(); ++i) parts.push_back({before[i], rows[i]});
            self.run->bring(first_step, std::move(parts));
          },
          "first_step"_a, "before"_a, "rows"_a)
      .def("take_finished",
           [](BoundRun& self) {
             const py::array_t<double> sums = finished(self);
             self.run->forget_finished();
             return sums;
           })
      .def("__enter__",
           [](py::object self) {
             self.cast<BoundRun&>();  // refuses one that was made without its constructor
             return self;
           })
      .def("__exit__", [](BoundRun& self, const py::args&) {
        const Brief brief;
        self.run->close();
      });
}

void register_lanes(py::module_& module) {
  using namespace py::literals;
  py::class_<BoundLanes>(module, "Lanes")
      .def(py::init<>())
      .def("add", &BoundLanes::add, "run"_a)
      .def("advance", &BoundLanes::advance, py::kw_only(), "more"_a, "fewest"_a)
      .def("clear", &BoundLanes::clear)
      .attr("count") = Lanes::count;
}

void register_recorded(py::module_& module, py::class_<Network>& network) {
  using namespace py::literals;
  network.def("record", record, "data"_a, py::kw_only(), "training"_a = false, "logits"_a = false,
              "input_gradient"_a = true);
  network.def("record_rows", record_rows, "x"_a, "training"_a, "input_gradient"_a,
              "exchange"_a = py::none(), "first_row"_a = 0, "batch"_a = 0);
  py::class_<Recorded>(module, "Recorded")
      .def_property_readonly(
          "outputs",
          [](const Recorded& self) {
            const Plan& plan = self.plan();
            // Without a base, NumPy copies.
            return py::array(dtype_of(plan.element),
                             std::vector<Index>{self.rows(), plan.output_width()}, self.outputs());
          })
      .def_property_readonly("head", &Recorded::head)
      .def("pull", pull, "dy"_a);
}

}  // namespace fastnn::bindings
