// Numbers of rows of a table, or of categories, among the columns of the input: which must be
// whole, and below what.
#pragma once

#include <vector>

#include "core/plan.h"

namespace fastnn {

struct NamedColumn {
  Index column;      // of the input
  Index vocabulary;  // its numbers are below this
};

// The columns of the input that embeddings and categories take as they are, or moved.
std::vector<NamedColumn> named_columns(const Plan& plan);

}  // namespace fastnn
