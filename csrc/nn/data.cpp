#include "nn/data.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/check.h"

namespace fastnn {
namespace {

Rows all_rows(const Dataset& data) { return {data.rows, 0, data.count}; }

Index row_at(const Rows& rows, Index r) {
  return rows.order != nullptr ? rows.order[r] : rows.first + r;
}

// f(row, values) for every row, some rows at a time.
template <class F>
void each_row(const ArrayView& view, const Rows& rows, const F& f) {
  const Index chunk = std::clamp<Index>(65536 / std::max<Index>(view.columns, 1), 1, rows.n);
  std::vector<double> values(static_cast<std::size_t>(chunk * view.columns));
  for (Index first = 0; first < rows.n; first += chunk) {
    const Index n = std::min(chunk, rows.n - first);
    const Rows part = rows.order != nullptr ? Rows{rows.order + first, 0, n}
                                            : Rows{nullptr, rows.first + first, n};
    const Status status =
        backend().table->f64.gather(backend().context(), {view, part, 1.0, 0.0, values.data()});
    if (status != Status::ok) throw std::bad_alloc();
    for (Index r = 0; r < n; ++r) f(row_at(part, r), values.data() + r * view.columns);
  }
}

void check_finite(const char* name, const ArrayView& view, const Rows& rows, Element element) {
  Index row = -1;
  Index column = 0;
  const Status status = backend().table->scan(backend().context(),
                                              {view, rows, element == Element::f32, &row, &column});
  if (status != Status::ok) throw std::bad_alloc();
  if (row < 0) return;
  each_row(view, {nullptr, row, 1}, [&](Index, const double* values) {
    const bool narrow = std::isfinite(values[column]);
    invalid(name, ": expected finite numbers", narrow ? " of float32" : "", ", got ",
            values[column], " at row ", row, ", column ", column);
  });
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
    const double weight = data.weights[row_at(rows, i)];
    check(std::isfinite(weight) && weight >= 0,
          "sample_weight: expected finite numbers of at least 0, got ", weight, " at row ",
          row_at(rows, i));
  }
}

}  // namespace

void check_labels(const char* name, const std::int32_t* labels, const Index* rows, Index n,
                  Index classes, bool ignores, std::int32_t ignore_class) {
  for (Index i = 0; i < n; ++i) {
    const Index row = rows != nullptr ? rows[i] : i;
    const std::int32_t label = labels[row];
    const bool known = label >= 0 && label < classes;
    check(known || (ignores && label == ignore_class), name, ": expected integers in [0, ", classes,
          "), got ", label, " at row ", row);
  }
}

void check_probabilities(const char* name, const ArrayView& targets, const Rows& rows) {
  each_row(targets, rows, [&](Index row, const double* values) {
    double sum = 0;
    for (Index j = 0; j < targets.columns; ++j) {
      check(values[j] >= 0 && std::isfinite(values[j]), name, ": expected probabilities, got ",
            values[j], " at row ", row, ", column ", j);
      sum += values[j];
    }
    constexpr double rounding = 1e-3;
    check(std::abs(sum - 1) <= rounding, name,
          ": expected rows that add up to 1 (one class, or a distribution over classes), got ", sum,
          " at row ", row, "; labels that do not exclude each other want binary_crossentropy");
  });
}

void check_binary_targets(const char* name, const ArrayView& targets, const Rows& rows) {
  each_row(targets, rows, [&](Index row, const double* values) {
    for (Index j = 0; j < targets.columns; ++j) {
      check(std::isnan(values[j]) || (values[j] >= 0 && values[j] <= 1), name,
            ": expected numbers in [0, 1], or NaN for a missing label, got ", values[j], " at row ",
            row, ", column ", j);
    }
  });
}

void check_input(const Plan& plan, const Dataset& data) {
  check_rows(data);
  check(data.x.columns == plan.input_width(), "x: expected ", plan.input_width(),
        " features in each row, got ", data.x.columns);
  check_finite("x", data.x, all_rows(data), plan.element);
}

void check_data(const Plan& plan, const Dataset& data) {
  check_input(plan, data);
  const Rows rows = all_rows(data);
  const Index outputs = plan.output_width();
  const bool softmax = plan.loss.kind == LossKind::softmax_cross_entropy;
  if (data.labels != nullptr) {
    check(softmax, "y: this loss takes targets of shape (n, ", outputs, "), not class labels");
    check_labels("y", data.labels, data.rows, data.count, outputs, plan.loss.ignores,
                 plan.loss.ignore_class);
  } else {
    check(data.targets.data != nullptr, "y: expected targets, got none");
    check(data.targets.columns == outputs, "y: expected shape (", data.x.rows, ", ", outputs,
          ") to match the output, got (", data.targets.rows, ", ", data.targets.columns, ")");
    if (softmax) {
      check_probabilities("y", data.targets, rows);
    } else if (plan.loss.kind == LossKind::sigmoid_cross_entropy) {
      check_binary_targets("y", data.targets, rows);
    } else {
      check_finite("y", data.targets, rows, plan.element);
    }
  }
  check_weights(data);
}

}  // namespace fastnn
