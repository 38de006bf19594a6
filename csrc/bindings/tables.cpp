#include "bindings/tables.h"

#include "core/loss.h"

#include <iterator>
#include <span>

namespace fastnn::bindings {

namespace {

py::dict described(const Option& option) {
  using namespace py::literals;
  const Interval& range = option.range;
  return py::dict("name"_a = option.name, "default"_a = option.initial, "low"_a = range.low,
                  "high"_a = range.high, "open_low"_a = range.open_low,
                  "open_high"_a = range.open_high, "is_flag"_a = option.is_flag);
}

py::list described(std::span<const Option> options) {
  py::list list;
  for (const Option& option : options) list.append(described(option));
  return list;
}

py::list optimizers() {
  using namespace py::literals;
  py::list list;
  for (std::size_t i = 0; i < std::size(optimizer_names); ++i) {
    portable::with_optimizer(static_cast<OptimizerKind>(i), [&](auto rule) {
      using Rule = decltype(rule);
      py::list slots;
      for (const char* name : Rule::slot_names) slots.append(name);
      list.append(py::dict("name"_a = optimizer_names[i], "slots"_a = slots,
                           "options"_a = described(Rule::options)));
    });
  }
  return list;
}

template <class Row>
std::span<const Option> options_of(Row) {
  if constexpr (requires { Row::options[0]; }) {
    return Row::options;
  } else {
    return {};
  }
}

py::list losses() {
  using namespace py::literals;
  py::list list;
  for (std::size_t i = 0; i < std::size(loss_names); ++i) {
    const auto kind = static_cast<LossKind>(i);
    portable::with_loss(kind, [&](auto row) {
      using Row = decltype(row);
      list.append(py::dict("name"_a = loss_names[i],
                           "targets"_a = targets_names[static_cast<std::size_t>(Row::targets)],
                           "head"_a = head_names[static_cast<std::size_t>(Row::head)],
                           "by_element"_a = Row::by_element,
                           "column_weights"_a = Row::column_weights,
                           "by_row"_a = portable::is_of_rows(kind),
                           "outputs_of_target"_a = static_cast<int>(Row::outputs_of_target),
                           "options"_a = described(options_of(row))));
    });
  }
  return list;
}

void check_option(const Option& option, double value) {
  const Interval& range = option.range;
  check(range.has(value) && (!option.is_flag || value == 0 || value == 1), option.name,
        ": expected a number in ", range.open_low ? "(" : "[", range.low, ", ", range.high,
        range.open_high ? ")" : "]", ", got ", value);
}

// The place of an option in a row's list; -1: it has none of this name.
std::ptrdiff_t place_of(std::span<const Option> options, const std::string& name) {
  for (std::size_t i = 0; i < options.size(); ++i) {
    if (name == options[i].name) return static_cast<std::ptrdiff_t>(i);
  }
  return -1;
}

}  // namespace

void loss_options(LossKind kind, const py::dict& given, double (&options)[max_loss_options]) {
  portable::with_loss(kind, [&](auto row) {
    const std::span<const Option> known = options_of(row);
    for (std::size_t i = 0; i < known.size(); ++i) options[i] = known[i].initial;
    for (const auto& [name, value] : given) {
      const std::ptrdiff_t place = place_of(known, py::cast<std::string>(name));
      check(place >= 0, "loss: ", loss_names[static_cast<std::size_t>(kind)], " has no option '",
            py::cast<std::string>(name), "'");
      const auto number = py::cast<double>(value);
      check_option(known[static_cast<std::size_t>(place)], number);
      options[place] = number;
    }
  });
}

OptimizerSettings settings_of(OptimizerKind kind, const py::dict& given) {
  return portable::with_optimizer(kind, [&](auto rule) {
    const std::span<const Option> options = decltype(rule)::options;
    OptimizerSettings settings;
    for (std::size_t i = 0; i < options.size(); ++i) settings.own[i] = options[i].initial;
    for (const auto& [name, value] : given) {
      const auto key = py::cast<std::string>(name);
      const auto number = py::cast<double>(value);
      if (key == "learning_rate") {
        settings.learning_rate = number;
      } else if (key == "weight_decay") {
        settings.weight_decay = number;
      } else if (key == "plain_epsilon") {
        settings.plain_epsilon = number != 0;
      } else if (key == "penalty_rows") {
        settings.penalty_rows = number;
      } else if (key == "weighs_penalties") {
        settings.weighs_penalties = number != 0;
      } else {
        const std::ptrdiff_t place = place_of(options, key);
        check(place >= 0, "optimizer: ", optimizer_names[static_cast<std::size_t>(kind)],
              " has no setting '", key, "'");
        check_option(options[static_cast<std::size_t>(place)], number);
        settings.own[place] = number;
      }
    }
    return settings;
  });
}

void register_tables(py::module_& module) {
  module.def("losses", losses);
  module.def("optimizers", optimizers);
}

}  // namespace fastnn::bindings
