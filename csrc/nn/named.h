// What the columns of the input may hold: numbers of rows of a table, or of categories, which must
// be whole, and below what; and gaps.
#pragma once

#include <vector>

#include "core/plan.h"

namespace fastnn {

// The columns of a table encode what is below no vocabulary, too: any whole number, or NaN.
inline constexpr Index any_vocabulary = 0;

struct NamedColumn {
  Index column;      // of the input
  Index vocabulary;  // its numbers are below this, or any
};

// The columns of the input that embeddings, categories and encodings of levels take as they are, or
// moved.
std::vector<NamedColumn> named_columns(const Plan& plan);

// By column of the input, whether it may be NaN: encodings of columns alone read it. Empty: none
// may.
std::vector<bool> columns_with_gaps(const Plan& plan);

}  // namespace fastnn
