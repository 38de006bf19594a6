// One training under way: a data set in batches, over as many native calls as are needed.
//
// A run keeps what its calls have in common: the data and their copies on a device, what a row
// weighs, the state to go back to. Between two calls the model may be evaluated, its weights
// written, its rates changed. Which call of fit may train a model is decided in Python.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "nn/gate.h"
#include "nn/lower.h"
#include "nn/sessions.h"
#include "nn/ticker.h"
#include "nn/training_state.h"
#include "nn/watch.h"

namespace fastnn {

// What training works on: the parts of a network that a run shares with it.
struct TrainingParts {
  std::unique_ptr<const Plan> plan;  // null: the graph has no output yet
  std::optional<Compile> compiled;
  Index compilations = 0;  // so far
  TrainingState state;
  SessionPool sessions;

  Gate unbound;  // the gate before parameters are bound

  // To be passed by each thread that reads or changes the rest.
  Gate& gate() { return state.parameters() ? state.parameters()->gate() : unbound; }
  SessionPool::Needs needs() { return {*plan, compiled ? &*compiled : nullptr, state}; }
};

// Adds loss and metrics of all rows to `sums`, over a session that waits for such work. Unless it
// is null, `logits` gets those of all rows. Over ranks each evaluates its part.
void evaluate_into(TrainingParts& parts, const Dataset& data, Sums sums, void* logits,
                   Ticker& ticker, const Ranks* ranks = nullptr);

// Called now and then from long calls; what it throws ends them.
using OnProgress = std::function<void(Index epoch, Index step, std::span<const double>)>;

// A loss, or the weights after the last step, became NaN or infinite. The parameters are those of
// a recent step: see Snapshots.
struct Diverged : std::runtime_error {
  Diverged(const std::string& what, Index at_epoch, Index at_step, double bad_loss,
           Index steps_back);
  Index epoch, step;
  double loss;
};

class Run {
 public:
  struct Options {
    Index batch_size = 32;
    bool shuffled = true;
    // Nothing before the first step is gone back to; else that may be a state from before.
    bool fresh = true;
    // The data are a part of what is not known yet: their rows are taken to weigh 1 on average.
    bool streams_in = false;
    // What a row weighs on average in all of which the data are a part, where that is known.
    std::optional<double> row_weight = std::nullopt;
    Ranks ranks;  // without an exchange there are none
  };
  struct Request {
    Index epochs = 1;
    Index first_epoch = 0;  // for messages
    // Part of one epoch, which then does not count as begun; steps < 0: all.
    Index first_step = 0, steps = -1;
    bool validates = false;  // after each epoch
    bool ends = false;       // no step follows, so the weights after the last one are checked
    // For the updates of this call: settings and, where rates are given, one for each of them.
    Rates rates;
    Index rates_given = 0;
    // Of one epoch, or a part of it: where the logits of its rows go, in the order of its steps,
    // and those of the validation data (see Epoch); null: they are not wanted.
    void* logits = nullptr;
    void* validation_logits = nullptr;
    Watches watches;  // which end the call after an epoch
  };

  class Call;

  // The parts and the data must outlive it. Throws std::runtime_error where nothing is compiled.
  Run(TrainingParts& parts, const Dataset& data, const Dataset* validation, const Options& options);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Trains. `finished` has its results, also where it throws.
  void advance(const Request& request, const OnProgress& on_progress);
  // Lets the next call, if it begins at this step of an epoch, go on from these sums, which another
  // run had there.
  void go_on(Index step, std::span<const double> sums);
  // Over ranks that bring their own rows of every batch: those of the steps from one on, at least
  // one, which the calls that follow may make.
  void bring(Index first_step, std::vector<Ranks::Part> parts);
  // For each epoch of the last call that was finished, or each part of an epoch, its sums, then
  // those of the validation data where it was validated. A part of an epoch that follows the part
  // before it goes on from its sums, so that those of the whole do not depend on how it was cut.
  std::span<const double> finished() const { return std::span(sums_).first(finished_ * width_); }
  void forget_finished() { finished_ = 0; }
  // The parameters of the best epoch that a watch of the last call kept; empty: it kept none.
  std::span<const std::byte> best(std::size_t watch) const {
    return watch < best_.size() ? std::span(best_[watch]) : std::span<const std::byte>();
  }
  std::size_t width() const { return width_; }  // the number of sums of an epoch
  // The end: a device may let go of the data.
  void close();

  TrainingParts& parts() const { return parts_; }
  const Dataset& data() const { return data_; }
  // The rows of a step, as a session is made for them.
  Index batch_size() const;
  // The session of the network that trains in such batches.
  Session& own_session() {
    return parts_.sessions.training(parts_.needs(), batch_size(), ranks() != nullptr);
  }
  // Null: it trains alone.
  const Ranks* ranks() const {
    return options_.ranks.exchange != nullptr ? &options_.ranks : nullptr;
  }

 private:
  Index rows() const {
    return ranks() != nullptr && !ranks()->brings() ? options_.ranks.total : data_.count;
  }
  Index steps() const;
  double row_weight(const Poll& poll);

  TrainingParts& parts_;
  const Dataset& data_;
  const Dataset* validation_;
  Options options_;
  const Index compilation_;
  bool fresh_;
  std::optional<double> row_weight_;
  std::vector<double> sums_;  // of the last call
  std::size_t width_ = 0, finished_ = 0;
  std::vector<std::vector<std::byte>> best_;
  Index part_until_ = -1;  // where the last call ended, if it ran a part of an epoch
};

// Marks the buffer while its network trains on it.
class Training {
 public:
  explicit Training(ParameterBuffer& buffer) : buffer_(buffer) { buffer_.set_training(true); }
  Training(const Training&) = delete;
  Training& operator=(const Training&) = delete;
  ~Training() {
    buffer_.set_training(false);
    buffer_.mark_changed();
  }

 private:
  ParameterBuffer& buffer_;
};

// One call of `advance`, cut where steps are made: several calls can go on in turn, whose steps are
// made side by side. `next` and `made` take turns until there are no more steps; a call that an
// exception has left is over.
class Run::Call {
 public:
  // Who makes the steps, and has what they have changed.
  struct Stepper {
    virtual ~Stepper() = default;
    // Brings parameters and the optimizer's state to the host's buffers.
    virtual void bring() = 0;
    virtual bool finite_parameters() = 0;
    // The state on the host was put back to an earlier one.
    virtual void went_back() = 0;
    // The parameters, which were brought, are of this version.
    virtual void trained_to(std::uint64_t version) = 0;
  };
  struct Piece {
    Epoch epoch;
    Index first, count;
    Rates rates;
    Sums sums;
  };

  Call(Run& run, const Request& request, OnProgress on_progress);

  // To be told before the first steps, and again where another goes on, which has what was brought.
  void by(Stepper& stepper);
  // The steps to be made now, at most so many; none: the call has ended well.
  std::optional<Piece> next(Index most);
  void made(const Ran& ran);
  TrainingParts& parts() const { return run_.parts_; }
  const Dataset& data() const { return run_.data_; }
  // Calls on_progress.
  void poll() const { on_progress_(now_.epoch, now_.step, now_.sums); }

 private:
  void check_request() const;
  void begin_epoch();
  void end_epoch();
  void end();
  bool is_over() const;
  void average_state() const;
  void compare_ranks() const;
  bool watched(std::span<const double> sums);
  void validate(Sums sums, Index step);
  Index copy_if_due();
  Index averaged_at(Index step) const;
  Rates rates_of(Index& count) const;
  Sums row() const;
  [[noreturn]] void diverge(const std::string& what, Index step, double loss);
  TrainingState& state() const { return run_.parts_.state; }

  struct Now {  // where training is
    Index epoch = 0, step = 0;
    Index updates = 0;  // of this call
    Sums sums;
  };

  Run& run_;
  const Request request_;
  const OnProgress on_progress_;
  Now now_;
  const Gate::Writing writing_;
  Ticker ticker_;
  Stepper* stepper_ = nullptr;
  Watches watches_;
  std::optional<Training> training_;  // nothing has changed before there is one
  const Index batch_size_;
  Index all_ = 0;                  // steps of an epoch
  Index first_ = 0, last_ = 0;     // those of this call
  Index interval_ = 0;             // steps between copies of the state
  std::size_t columns_ = 0;        // sums of a pass
  double weight_ = 1;              // of a row
  Index begun_ = 0;                // epochs
  Epoch epoch_{};                  // the last of these
  bool within_ = false;            // that is under way
  bool over_ = false;              // its time is up
  Index until_ = 0;                // the step after which a copy may be due
  double loss_ = 0, counted_ = 0;  // sums when the last copy might have been due
};

// Makes the steps of a call, or those that are left, by a session of the network.
void train_by(Session& session, Run::Call& call);

}  // namespace fastnn
