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

  // The parts and the data must outlive it. Throws std::runtime_error where nothing is compiled.
  Run(TrainingParts& parts, const Dataset& data, const Dataset* validation, const Options& options);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  // Trains. `finished` has its results, also where it throws.
  void advance(const Request& request, const OnProgress& on_progress);
  // Lets the next call, if it begins at this step of an epoch, go on from these sums, which another
  // run had there.
  void go_on(Index step, std::span<const double> sums);
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

 private:
  struct Now {  // where training is
    Index epoch = 0, step = 0;
    Index updates = 0;  // of this call
    Sums sums;
  };

  void train_steps(Session& session, const Request& request, const Epoch& epoch, Index last,
                   Index interval, Ticker& ticker, Now& now);
  void train_piece(Session& session, const Request& request, const Epoch& epoch, Index until,
                   Ticker& ticker, Now& now);
  void validate(Sums sums, void* logits, Index epoch, Index step, Ticker& ticker);
  Index rows() const { return ranks() != nullptr ? options_.ranks.total : data_.count; }
  const Ranks* ranks() const {
    return options_.ranks.exchange != nullptr ? &options_.ranks : nullptr;
  }
  bool is_over(const Watches& watches);
  void compare_ranks();
  double row_weight(const Poll& poll);
  void recover(Session& session);
  bool watched(Watches& watches, Index epoch, std::span<const double> sums);
  [[noreturn]] void diverge(const std::string& what, Index epoch, Index step, double loss);

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

}  // namespace fastnn
