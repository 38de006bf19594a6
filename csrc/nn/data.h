// What data must be before anything is computed from it. Errors name the row, in
// the caller's numbering, and the value.
#pragma once

#include "core/backend.h"

namespace fastnn {

// x alone: its width, NaN and infinity.
void check_input(const Plan& plan, const Dataset& data);

// x, labels or targets as the plan's loss takes them, and weights.
void check_data(const Plan& plan, const Dataset& data);

// Labels of softmax cross-entropy, also for single ops. `rows` may be null.
void check_labels(const char* name, const std::int32_t* labels, const Index* rows, Index n,
                  Index classes, bool ignores, std::int32_t ignore_class);

// Rows of probabilities for softmax cross-entropy: not negative, adding up to 1.
void check_probabilities(const char* name, const ArrayView& targets, const Rows& rows);

// Targets of sigmoid cross-entropy: in [0, 1], or NaN for a missing label.
void check_binary_targets(const char* name, const ArrayView& targets, const Rows& rows);

}  // namespace fastnn
