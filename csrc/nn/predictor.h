// A network as it was at one moment, ready to answer from many threads at once.
//
// It has its own copy of the parameters and nothing that can be trained, so there
// is no gate to pass and nothing to wait for.
#pragma once

#include "core/plan.h"
#include "nn/gate.h"
#include "nn/parameters.h"
#include "nn/sessions.h"

namespace fastnn {

class Predictor {
 public:
  // Copies the parameters. The plan has no loss.
  Predictor(Plan plan, const ParameterBuffer& parameters);
  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  Element element() const { return plan_.element; }
  Index input_width() const { return plan_.input_width(); }
  Index output_width() const { return plan_.output_width(); }

  // Whether so many rows are done in a few microseconds, and polls nothing.
  bool quick(Index rows) const { return rows <= quick_rows_; }

  // Writes (rows, output width) to out. ValueErrors of check_input in checks.h.
  // `poll` may be empty.
  void predict(const Dataset& data, void* out, const Poll& poll);

 private:
  Plan plan_;
  ParameterBuffer parameters_;
  Index quick_rows_;
  IdleSessions idle_;
};

}  // namespace fastnn
