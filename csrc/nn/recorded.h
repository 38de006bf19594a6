// A forward pass that is kept until its gradient is asked for: what a tape of operations calls.
//
// It copies the parameters, so that later training does not change what its gradients are of. On
// the CPU alone.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "core/frame.h"
#include "core/session.h"
#include "nn/parameters.h"

namespace fastnn {

struct Recording {
  bool training = false;
  bool logits = false;         // a softmax or sigmoid at the end is left out
  bool input_gradient = true;  // `pull` is asked for the gradient at the inputs
};

class Recorded {
 public:
  // Runs the pass over all rows of the data. The plan has no loss.
  Recorded(Plan plan, const char* head, const ParameterBuffer& parameters, const Dataset& data,
           const Pass& pass, bool input_gradient);
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;
  ~Recorded();

  Index rows() const { return rows_; }
  bool input_gradient() const { return input_gradient_; }
  const Plan& plan() const { return plan_; }
  // The softmax or sigmoid at the end that was left out; null: there is none.
  const char* head() const { return head_; }
  // (rows, output width), of the plan's element type.
  const void* outputs() const;
  // From dy, the gradient at the outputs, those at the inputs, (rows, input width), where the pass
  // was recorded for that (else dx is null), and of the
  // parameters, laid out as these: zeros where one is not trained. May be asked for again, by one
  // thread after the other: others wait.
  void pull(const void* dy, void* dx, void* dparameters);

 private:
  class Pass_;
  template <class T>
  class Typed;

  Plan plan_;
  const char* head_;
  bool input_gradient_;
  Index rows_;
  ParameterBuffer parameters_;
  std::unique_ptr<Pass_> pass_;
  std::mutex pulling_;
};

}  // namespace fastnn
