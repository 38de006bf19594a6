// What data must be before anything is computed from it. Errors name the row, in
// the caller's numbering, and the value. `poll` may be empty.
#pragma once

#include "core/backend.h"
#include "core/check.h"
#include "nn/gate.h"
#include "nn/named.h"

namespace fastnn {

// The numbers of an array named `name`: NaN, infinity and, for f32, what a float cannot hold. By
// column of the input, `gaps` says which may be NaN; empty: none. `first_column`: the input's
// column that the view begins with.
void check_finite(const char* name, const ArrayView& view, const Rows& rows, Element element,
                  const Poll& poll, const std::vector<bool>& gaps = {}, Index first_column = 0);

// Columns that embeddings, categories and encodings take: whole numbers in their range.
void check_named(const char* name, const std::vector<NamedColumn>& columns, const ArrayView& view,
                 const Rows& rows, const Poll& poll, Index first_column = 0);

// x alone: its width, NaN and infinity.
void check_input(const Plan& plan, const Dataset& data, const Poll& poll);

// x, labels or targets as the plan's loss and metrics take them, and weights.
void check_data(const Plan& plan, const Dataset& data, const Poll& poll);

// What all rows weigh, as the loss counts them: weights of rows, times the labels that are not
// missing where each counts for itself; ignored rows nothing.
double total_weight(const Plan& plan, const Dataset& data, const Poll& poll);
// What a row with the weight 1 counts: 1, or its labels where each counts for itself.
double counted_by_row(const Plan& plan, const Dataset& data);

// Labels of softmax cross-entropy, also for single ops. `rows` may be null.
void check_labels(const char* name, const std::int32_t* labels, const Index* rows, Index n,
                  Index classes, bool ignores, std::int32_t ignore_class, const Poll& poll = {});

// Targets of a loss of elements, as the loss expects them; those of `numbers` are not looked at.
// With `gaps` any may be missing (NaN).
void check_targets(Targets expected, const char* name, const ArrayView& targets, const Rows& rows,
                   bool gaps, const Poll& poll = {});

// Rows of probabilities for softmax cross-entropy: not negative, adding up to 1.
void check_probabilities(const char* name, const ArrayView& targets, const Rows& rows,
                         const Poll& poll = {});

// Targets of sigmoid cross-entropy: in [0, 1], or NaN for a missing label.
void check_binary_targets(const char* name, const ArrayView& targets, const Rows& rows,
                          const Poll& poll = {});

// The largest weight of a row, or of a label's positive term. Bounded so that neither a weight nor
// one over a sum of them leaves the range of float.
inline void check_weight(const char* name, double weight, const char* where, Index at) {
  constexpr double small = 1e-30;
  constexpr double large = 1e30;
  check(weight == 0 || (weight >= small && weight <= large), name,
        ": expected 0 or a number in [1e-30, 1e30], got ", weight, " at ", where, " ", at);
}

}  // namespace fastnn
