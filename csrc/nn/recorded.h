// A forward pass that is kept until its gradient is asked for: what a tape of operations calls.
//
// It reads the parameters where they are: once they change, there is no gradient. On the CPU alone.
#pragma once

#include <atomic>
#include <cstdint>
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
  // Where the rows are part of a batch of several ranks: the number of the first in it, which
  // random numbers count, what statistics are summed over, and the rows of the batch.
  Index first_row = 0;
  Exchange* exchange = nullptr;
  Index batch = 0;
};

// Memory for values and gradients of so many rows, over a plan without a loss.
class PassMemory {
 public:
  // `head`: the softmax or sigmoid that the plan leaves out; null: none.
  static std::unique_ptr<PassMemory> make(Plan plan, const char* head, const Recording& how,
                                          std::shared_ptr<ParameterBuffer> parameters, Index rows);
  PassMemory(const PassMemory&) = delete;
  PassMemory& operator=(const PassMemory&) = delete;
  virtual ~PassMemory() = default;

  const Plan& plan() const { return plan_; }
  const char* head() const { return head_; }
  bool input_gradient() const { return how_.input_gradient; }
  ParameterBuffer& parameters() const { return *parameters_; }
  // Whether it is made for such a pass.
  bool serves(const Recording& how, Index rows) const;
  // Whether it is small enough to be kept for the next pass.
  bool worth_keeping() const;

  virtual void forward(const Dataset& data, const Pass& pass) = 0;
  virtual const void* outputs() const = 0;
  virtual void pull(const void* dy, void* dx, void* dparameters) = 0;

  std::uint64_t generation = 0;  // see IdlePass

 protected:
  PassMemory(Plan plan, const char* head, const Recording& how,
             std::shared_ptr<ParameterBuffer> parameters, Index rows);

  Plan plan_;

 private:
  const char* head_;
  Recording how_;
  std::shared_ptr<ParameterBuffer> parameters_;
  Index rows_;
};

// The memory that waits for the next pass of a network: a loop makes one pass after the other.
//
// Any number of threads take and give at once, without a lock, which a fork could leave locked.
class IdlePass {
 public:
  IdlePass() = default;
  IdlePass(const IdlePass&) = delete;
  IdlePass& operator=(const IdlePass&) = delete;
  ~IdlePass();

  // Null where none waits.
  std::unique_ptr<PassMemory> take();
  void give(std::unique_ptr<PassMemory> memory);
  // Memory that is made from now on is of the next generation; that of earlier ones is not kept.
  std::uint64_t generation() const { return generation_.load(); }
  void forget();

 private:
  std::atomic<std::uint64_t> generation_{0};
  std::atomic<PassMemory*> waiting_{nullptr};
};

class Recorded {
 public:
  // Runs the pass over all rows of the data, as many as the memory has at most, which afterwards
  // goes to `idle`.
  Recorded(std::shared_ptr<IdlePass> idle, std::unique_ptr<PassMemory> memory, const Dataset& data,
           const Pass& pass);
  Recorded(const Recorded&) = delete;
  Recorded& operator=(const Recorded&) = delete;
  ~Recorded();

  Index rows() const { return rows_; }
  bool input_gradient() const { return memory_->input_gradient(); }
  const Plan& plan() const { return memory_->plan(); }
  // The softmax or sigmoid at the end that was left out; null: there is none.
  const char* head() const { return memory_->head(); }
  // (rows, output width), of the plan's element type.
  const void* outputs() const { return memory_->outputs(); }
  // From dy, the gradient at the outputs, those at the inputs, (rows, input width), where the pass
  // was recorded for that (else dx is null), and of the parameters, laid out as these, zeros where
  // one is not trained; between parameters nothing is written. May be asked for again, by one
  // thread after the other: others wait. Throws std::runtime_error where parameters have changed.
  void pull(const void* dy, void* dx, void* dparameters);

 private:
  void check_unchanged() const;

  std::shared_ptr<IdlePass> idle_;
  std::unique_ptr<PassMemory> memory_;
  Index rows_;
  std::uint64_t version_;  // of the weights
  std::mutex pulling_;
};

}  // namespace fastnn
