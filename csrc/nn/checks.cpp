#include "nn/checks.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "core/embedding.h"
#include "core/loss.h"
#include "core/machine.h"
#include "nn/ticker.h"

namespace fastnn {
namespace {

Rows all_rows(const Dataset& data) { return {data.rows, 0, data.count}; }

Index row_at(const Rows& rows, Index r) {
  return rows.order != nullptr ? rows.order[r] : rows.first + r;
}

Rows part_of(const Rows& rows, Index first, Index n) {
  return rows.order != nullptr ? Rows{rows.order + first, 0, n}
                               : Rows{nullptr, rows.first + first, n};
}

// f(row, values) for every row, some rows at a time.
template <class F>
void each_row(const ArrayView& view, const Rows& rows, const Poll& poll, const F& f) {
  const Index most = std::max<Index>(65536 / std::max<Index>(view.columns, 1), 1);
  const Index chunk = std::min(most, std::max<Index>(rows.n, 1));
  Ticker ticker(poll);
  std::vector<double> values(static_cast<std::size_t>(chunk * view.columns));
  for (Index first = 0; first < rows.n; first += chunk) {
    const Index n = std::min(chunk, rows.n - first);
    const Rows part = part_of(rows, first, n);
    const Status status = backend().table->f64.gather(*backend().here().context,
                                                      {view, part, 1.0, 0.0, values.data()});
    if (status != Status::ok) throw std::bad_alloc();
    for (Index r = 0; r < n; ++r) f(row_at(part, r), values.data() + r * view.columns);
    ticker.done();
  }
}

// refuse(value, row, column) for the first element that is not as expected.
template <class F>
void check_elements(const ArrayView& view, const Rows& rows, Expected expected, const Poll& poll,
                    const F& refuse) {
  const Index chunk = std::max<Index>((Index{1} << 22) / std::max<Index>(view.columns, 1), 1);
  Ticker ticker(poll);
  for (Index first = 0; first < rows.n; first += chunk) {
    Index row = -1;
    Index column = 0;
    const Rows part = part_of(rows, first, std::min(chunk, rows.n - first));
    const Scan scan{view, part, expected, &row, &column};
    if (backend().table->scan(*backend().here().context, scan) != Status::ok)
      throw std::bad_alloc();
    if (row >= 0) {
      each_row(view, {nullptr, row, 1}, poll,
               [&](Index, const double* values) { refuse(values[column], row, column); });
    }
    ticker.done();
  }
}

[[noreturn]] void refuse_number(const char* name, double value, Index row, Index column,
                                const char* or_gap = "") {
  invalid(name, ": expected finite numbers", std::isfinite(value) ? " of float32" : "", or_gap,
          ", got ", value, " at row ", row, ", column ", column);
}

void check_rows(const Dataset& data) {
  check(data.count > 0, "x: expected at least one row, got none");
  if (data.rows == nullptr) return;
  for (Index i = 0; i < data.count; ++i) {
    check(data.rows[i] >= 0 && data.rows[i] < data.x.rows, "rows: expected indices in [0, ",
          data.x.rows, "), got ", data.rows[i]);
  }
}

void check_weights(const Dataset& data) {
  const Rows rows = all_rows(data);
  for (Index i = 0; data.weights != nullptr && i < rows.n; ++i) {
    check_weight("sample_weight", data.weights[row_at(rows, i)], "row", row_at(rows, i));
  }
}

// Whether the loss, or a metric that is a loss, takes such targets.
bool takes(const Plan& plan, Targets targets) {
  return portable::targets_of(plan.loss.kind) == targets ||
         std::any_of(plan.metrics.begin(), plan.metrics.end(), [&](const Metric& metric) {
           return metric.kind == MetricKind::mean_of &&
                  portable::targets_of(metric.loss.kind) == targets;
         });
}

}  // namespace

void check_finite(const char* name, const ArrayView& view, const Rows& rows, Element element,
                  const Poll& poll, const std::vector<bool>& gaps, Index first_column) {
  std::vector<Index> whole;  // columns that may have no gap
  for (Index j = 0; !gaps.empty() && j < view.columns; ++j) {
    if (!gaps[static_cast<std::size_t>(first_column + j)]) whole.push_back(j);
  }
  const bool some_gaps = !gaps.empty() && static_cast<Index>(whole.size()) < view.columns;
  const bool single = element == Element::f32;
  const Expected expected = some_gaps ? (single ? Expected::bounded_float : Expected::bounded)
                                      : (single ? Expected::finite_float : Expected::finite);
  const char* const or_gap = some_gaps ? ", or NaN for a gap" : "";
  check_elements(view, rows, expected, poll, [&](double value, Index row, Index column) {
    refuse_number(name, value, row, column, or_gap);
  });
  if (!some_gaps || whole.empty()) return;
  each_row(view, rows, poll, [&](Index row, const double* values) {
    for (const Index column : whole) {
      check(!std::isnan(values[column]), name, ": expected finite numbers, got ", values[column],
            " at row ", row, ", column ", column);
    }
  });
}

void check_labels(const char* name, const std::int32_t* labels, const Index* rows, Index n,
                  Index classes, bool ignores, std::int32_t ignore_class, const Poll& poll) {
  Ticker ticker(poll);
  constexpr Index chunk = 1 << 20;
  for (Index i = 0; i < n; ++i) {
    if (i % chunk == 0) ticker.done();
    const Index row = rows != nullptr ? rows[i] : i;
    const std::int32_t label = labels[row];
    const bool known = label >= 0 && label < classes;
    check(known || (ignores && label == ignore_class), name, ": expected integers in [0, ", classes,
          "), got ", label, " at row ", row, "; there are ", classes,
          " outputs, and labels count from 0");
  }
}

void check_probabilities(const char* name, const ArrayView& targets, const Rows& rows,
                         const Poll& poll) {
  // Probabilities may be rounded to two digits, each by up to half a hundredth, and stored in
  // float16. A row then counts by its sum, in the loss and in the gradient.
  const double rounding = 1e-3 + std::min(0.005 * static_cast<double>(targets.columns), 0.05);
  each_row(targets, rows, poll, [&](Index row, const double* values) {
    double sum = 0;
    for (Index j = 0; j < targets.columns; ++j) {
      check(values[j] >= 0 && std::isfinite(values[j]), name, ": expected probabilities, got ",
            values[j], " at row ", row, ", column ", j);
      sum += values[j];
    }
    check(std::abs(sum - 1) <= rounding, name,
          ": expected rows that add up to 1 (one class, or a distribution over classes), got ", sum,
          " at row ", row,
          "; divide each row by its sum, or use binary_crossentropy if labels do not exclude each"
          " other");
  });
}

void check_binary_targets(const char* name, const ArrayView& targets, const Rows& rows,
                          const Poll& poll) {
  check_elements(targets, rows, Expected::unit_or_missing, poll,
                 [&](double value, Index row, Index column) {
                   const char* const meant =
                       value == -1  ? "; for labels -1 and 1 use (y + 1) / 2, or the loss hinge"
                       : value == 2 ? "; for more than two classes use an output for each, and the"
                                      " loss sparse_categorical_crossentropy"
                                    : "";
                   invalid(name, ": expected numbers in [0, 1], or NaN for a missing label, got ",
                           value, " at row ", row, ", column ", column, meant);
                 });
}

namespace {

// Rows of numbers for which `fits`; with `gaps` any may be missing.
template <class F>
void check_numbers(const char* name, const ArrayView& targets, const Rows& rows, bool gaps,
                   const char* expected, const Poll& poll, const F& fits) {
  each_row(targets, rows, poll, [&](Index row, const double* values) {
    for (Index j = 0; j < targets.columns; ++j) {
      const bool missing = gaps && std::isnan(values[j]);
      check(missing || fits(values[j]), name, ": expected ", expected,
            gaps ? ", or NaN for a missing one, got " : ", got ", values[j], " at row ", row,
            ", column ", j);
    }
  });
}

// Rows of 1 for yes and, for no, -1 or 0, but not both.
void check_signs(const char* name, const ArrayView& targets, const Rows& rows, bool gaps,
                 const Poll& poll) {
  double no = 1;  // how the first no is written
  const auto is_sign = [](double value) { return value == 1 || value == 0 || value == -1; };
  check_numbers(name, targets, rows, gaps, "1 for yes and -1 (or 0) for no", poll, is_sign);
  each_row(targets, rows, poll, [&](Index row, const double* values) {
    for (Index j = 0; j < targets.columns; ++j) {
      const double value = values[j];
      if (value == 1 || std::isnan(value)) continue;
      check(no == 1 || no == value, name, ": expected -1 or 0 for no, not both, got ", value,
            " at row ", row, ", column ", j, " after ", no);
      no = value;
    }
  });
}

bool counts_elements(const Plan& plan, const Dataset& data) {
  return plan.loss.by_element || data.element_weights.data != nullptr;
}

// Weights of elements, and whether the plan takes them.
void check_element_weights(const Plan& plan, const Dataset& data, const Poll& poll) {
  const ArrayView& weights = data.element_weights;
  if (weights.data == nullptr) return;
  check(!portable::is_of_rows(plan.loss.kind),
        "sample_weight: expected one weight a row, shape (n,): this loss is of whole rows, got (",
        weights.rows, ", ", weights.columns, ")");
  check(weights.columns == plan.target_width(), "sample_weight: expected shape (", weights.rows,
        ",) or (", weights.rows, ", ", plan.target_width(), "), got (", weights.rows, ", ",
        weights.columns, ")");
  for (const Metric& metric : plan.metrics) {
    const bool by_element =
        metric.kind == MetricKind::sides ||
        (metric.kind == MetricKind::mean_of && !portable::is_of_rows(metric.loss.kind));
    check(by_element || !metric.weighted,
          "weighted_metrics: a metric of whole rows takes no sample_weight of shape (n, outputs)");
  }
  each_row(weights, all_rows(data), poll, [&](Index row, const double* values) {
    for (Index j = 0; j < weights.columns; ++j) {
      check_weight("sample_weight", values[j], "row", row);
    }
  });
}

}  // namespace

void check_targets(Targets expected, const char* name, const ArrayView& targets, const Rows& rows,
                   bool gaps, const Poll& poll) {
  switch (expected) {
    case Targets::unit_or_missing:
      return check_binary_targets(name, targets, rows, poll);
    case Targets::not_negative:
      return check_numbers(name, targets, rows, gaps, "finite numbers of at least 0", poll,
                           [](double value) { return value >= 0 && std::isfinite(value); });
    case Targets::positive:
      return check_numbers(name, targets, rows, gaps, "finite numbers above 0", poll,
                           [](double value) { return value > 0 && std::isfinite(value); });
    case Targets::signs:
      return check_signs(name, targets, rows, gaps, poll);
    case Targets::classes:
    case Targets::numbers:
      return;
  }
}

void check_named(const char* name, const std::vector<NamedColumn>& columns, const ArrayView& view,
                 const Rows& rows, const Poll& poll, Index first_column) {
  std::vector<NamedColumn> own;
  for (const NamedColumn& one : columns) {
    const Index column = one.column - first_column;
    if (column >= 0 && column < view.columns) own.push_back({column, one.vocabulary});
  }
  if (own.empty()) return;
  each_row(view, rows, poll, [&](Index row, const double* values) {
    for (const auto& [column, vocabulary] : own) {
      if (vocabulary == any_vocabulary) {
        check(std::isnan(values[column]) || values[column] == std::floor(values[column]), name,
              ": expected whole numbers of categories, or NaN for a missing one, got ",
              values[column], " at row ", row, ", column ", column);
        continue;
      }
      check(portable::named_row(values[column], vocabulary) >= 0, name,
            ": expected whole numbers in [0, ", vocabulary, "), got ", values[column], " at row ",
            row, ", column ", column);
    }
  });
}

double counted_by_row(const Plan& plan, const Dataset& data) {
  return counts_elements(plan, data) ? static_cast<double>(plan.target_width()) : 1;
}

double total_weight(const Plan& plan, const Dataset& data, const Poll& poll) {
  const auto weight_at = [&](Index row) {
    return data.weights != nullptr ? data.weights[row] : 1.0;
  };
  const Rows rows = all_rows(data);
  double total = 0;
  if (data.element_weights.data != nullptr) {
    const ArrayView& weights = data.element_weights;
    each_row(data.targets, rows, poll, [&](Index row, const double* values) {
      const auto* const own = static_cast<const double*>(weights.data) + row * weights.columns;
      for (Index j = 0; j < data.targets.columns; ++j) {
        total += std::isnan(values[j]) ? 0.0 : own[j];
      }
    });
    return total;
  }
  if (plan.loss.by_element) {
    each_row(data.targets, rows, poll, [&](Index row, const double* values) {
      Index present = 0;
      for (Index j = 0; j < data.targets.columns; ++j) present += std::isnan(values[j]) ? 0 : 1;
      total += weight_at(row) * static_cast<double>(present);
    });
    return total;
  }
  const bool ignores = data.labels != nullptr && plan.loss.ignores;
  if (data.weights == nullptr && !ignores) return static_cast<double>(data.count);
  for (Index i = 0; i < data.count; ++i) {
    const Index row = row_at(rows, i);
    const bool ignored = ignores && data.labels[row] == plan.loss.ignore_class;
    total += ignored ? 0.0 : weight_at(row);
  }
  return total;
}

namespace {

// The numbers of sparse rows, each row as an array of one row.
void check_sparse(const Plan& plan, const Dataset& data, const Poll& poll) {
  const SparseView& x = data.sparse;
  const Expected expected =
      plan.element == Element::f32 ? Expected::finite_float : Expected::finite;
  const Index bytes = bytes_of(x.element);
  Ticker ticker(poll);
  Index since = 0;
  for (Index r = 0; r < data.count; ++r) {
    const Index row = row_at(all_rows(data), r);
    const Index first = x.starts[row];
    const Index n = x.starts[row + 1] - first;
    const ArrayView numbers{.data = static_cast<const char*>(x.values) + first * bytes,
                            .element = x.element,
                            .rows = 1,
                            .columns = n,
                            .column_stride = bytes};
    Index bad = -1;
    Index place = 0;
    const Scan scan{numbers, {nullptr, 0, 1}, expected, &bad, &place};
    if (backend().table->scan(*backend().here().context, scan) != Status::ok)
      throw std::bad_alloc();
    if (bad >= 0) {
      const double value =
          x.element == Element::f64
              ? static_cast<const double*>(x.values)[first + place]
              : static_cast<double>(static_cast<const float*>(x.values)[first + place]);
      refuse_number("x", value, row, x.columns[first + place]);
    }
    since += n;
    if (since > (Index{1} << 22)) {
      since = 0;
      ticker.done();
    }
  }
  const std::vector<NamedColumn> named = named_columns(plan);
  if (named.empty()) return;
  std::vector<double> values(static_cast<std::size_t>(data.x.columns));
  for (Index r = 0; r < data.count; ++r) {
    const Rows one{nullptr, row_at(all_rows(data), r), 1};
    must(backend().table->f64.gather_sparse(*backend().here().context,
                                            {x, one, data.x.columns, 1.0, 0.0, values.data()}));
    const ArrayView row{.data = values.data(),
                        .element = Element::f64,
                        .rows = 1,
                        .columns = data.x.columns,
                        .column_stride = sizeof(double)};
    check_named("x", named, row, {nullptr, 0, 1}, poll);
    ticker.done();
  }
}

}  // namespace

void check_input(const Plan& plan, const Dataset& data, const Poll& poll) {
  check_rows(data);
  check(data.x.columns == plan.input_width(), "x: expected ", plan.input_width(),
        " features in each row, got ", data.x.columns);
  if (data.sparse.starts != nullptr) return check_sparse(plan, data, poll);
  check_finite("x", data.x, all_rows(data), plan.element, poll, columns_with_gaps(plan));
  check_named("x", named_columns(plan), data.x, all_rows(data), poll);
}

void check_data(const Plan& plan, const Dataset& data, const Poll& poll) {
  check_input(plan, data, poll);
  const Rows rows = all_rows(data);
  const bool classes = portable::targets_of(plan.loss.kind) == Targets::classes;
  check_weights(data);
  if (data.labels != nullptr) {
    const Index outputs = plan.output_width();
    check(classes, "y: this loss takes targets of shape (n, ", outputs, "), not class labels");
    check_labels("y", data.labels, data.rows, data.count, outputs, plan.loss.ignores,
                 plan.loss.ignore_class, poll);
    check_element_weights(plan, data, poll);
    return;
  }
  check(data.targets.data != nullptr, "y: expected targets, got none");
  check(data.targets.columns == plan.target_width(), "y: expected shape (", data.x.rows, ", ",
        plan.target_width(), ") to match the output, got (", data.targets.rows, ", ",
        data.targets.columns, ")");
  check_element_weights(plan, data, poll);
  if (takes(plan, Targets::classes)) check_probabilities("y", data.targets, rows, poll);
  const bool units = takes(plan, Targets::unit_or_missing);
  if (units) check_binary_targets("y", data.targets, rows, poll);
  const bool gaps = plan.loss.by_element;
  // Numbers in [0, 1] are not negative, and a missing one may be among them.
  if (!units && takes(plan, Targets::not_negative)) {
    check_targets(Targets::not_negative, "y", data.targets, rows, gaps, poll);
  }
  for (const Targets expected : {Targets::positive, Targets::signs}) {
    if (takes(plan, expected)) check_targets(expected, "y", data.targets, rows, gaps, poll);
  }
  if (portable::targets_of(plan.loss.kind) == Targets::unit_or_missing) return;
  if (!gaps) return check_finite("y", data.targets, rows, plan.element, poll);
  const double most = plan.element == Element::f32
                          ? static_cast<double>(std::numeric_limits<float>::max())
                          : std::numeric_limits<double>::max();
  check_numbers("y", data.targets, rows, true, "finite numbers", poll,
                [&](double value) { return std::abs(value) <= most; });
}

}  // namespace fastnn
