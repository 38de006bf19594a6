// A network as it was at one moment, ready to answer from many threads at once.
//
// It has its own copy of the parameters and nothing that can be trained, so there
// is no gate to pass and nothing to wait for.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "core/plan.h"
#include "nn/gate.h"
#include "nn/named.h"
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

  // One of several inputs, whose columns stand side by side in a row of the network.
  struct Input {
    const std::string& name;  // for errors
    ArrayView x;
  };
  // One of several outputs: (rows, width) of memory for its columns.
  struct Output {
    Index width;
    void* memory;
  };
  // The same for all inputs and outputs of a network, of as many rows each. ValueErrors of
  // check_finite in checks.h, before anything is written.
  void predict(std::span<const Input> inputs, Index rows, std::span<const Output> outputs,
               const Poll& poll);

 private:
  std::unique_ptr<Session> borrow();

  Plan plan_;
  ParameterBuffer parameters_;
  std::vector<NamedColumn> named_;
  std::vector<bool> gaps_;  // by column: whether it may be NaN; empty: none may
  Index quick_rows_;
  IdleSessions idle_;
};

}  // namespace fastnn
