// Rows of a batch, chosen from a data set: those of a call, or of a recorded step.
#pragma once

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {

// Rows, whose first row a recorded step may set.
struct RowsOfStep {
  const Index* order;
  Index first;
  const StepValues* values;

  FASTNN_DEVICE Index at(Index r) const {
    const Index place = (values != nullptr ? values->first : first) + r;
    return order != nullptr ? order[place] : place;
  }
};

inline RowsOfStep rows_of(const Rows& rows, const StepValues* values = nullptr) {
  return {rows.order, rows.order != nullptr ? 0 : rows.first, values};
}

}  // namespace fastnn::FASTNN_TARGET
