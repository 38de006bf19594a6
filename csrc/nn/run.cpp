#include "nn/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <new>
#include <utility>

#include "core/check.h"
#include "nn/checks.h"

namespace fastnn {
namespace {

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

// Where training ends by an exception, sees to the state that is left, and lets go of the data.
class Ending {
 public:
  Ending(SessionPool& sessions, const std::function<void()>& recover)
      : sessions_(sessions), recover_(recover) {}
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  ~Ending() {
    if (std::uncaught_exceptions() <= before_) return;
    recover_();
    sessions_.forget_data();
  }

 private:
  SessionPool& sessions_;
  const std::function<void()>& recover_;  // throws nothing
  const int before_ = std::uncaught_exceptions();
};

std::string number(double x) {
  if (std::isnan(x)) return "nan";
  return x > 0 ? "inf" : "-inf";
}

Index steps_of(Index rows, Index batch_size) {
  return rows / batch_size + (rows % batch_size != 0 ? 1 : 0);
}

// Any change of a word changes it; equal numbers that are +0 and -0 count as different.
std::uint64_t hash_of(const void* memory, Index bytes) {
  const auto* const from = static_cast<const std::byte*>(memory);
  std::uint64_t hash = 0x9e3779b97f4a7c15U;
  for (Index i = 0; i < bytes; i += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + i, static_cast<std::size_t>(std::min<Index>(8, bytes - i)));
    hash = (hash ^ word) * 0xff51afd7ed558ccdU;
    hash ^= hash >> 32U;
  }
  return hash;
}

std::vector<double> make_sums(Index epochs, std::size_t columns) {
  constexpr std::size_t most = std::size_t{1} << 40;
  if (static_cast<std::size_t>(epochs) > most / columns) throw std::bad_alloc();
  return std::vector<double>(static_cast<std::size_t>(epochs) * columns);
}

}  // namespace

Diverged::Diverged(const std::string& what, Index at_epoch, Index at_step, double bad_loss,
                   Index steps_back)
    : std::runtime_error(
          message(what, " at epoch ", at_epoch, ", step ", at_step,
                  " (both counted from 0). The weights are those of ", steps_back,
                  steps_back == 1 ? " step" : " steps",
                  " earlier. Try a lower learning_rate, inputs scaled to about [-1, 1], or targets "
                  "of that size.")),
      epoch(at_epoch),
      step(at_step),
      loss(bad_loss) {}

Run::Run(TrainingParts& parts, const Dataset& data, const Dataset* validation,
         const Options& options)
    : parts_(parts),
      data_(data),
      validation_(validation),
      options_(options),
      compilation_(parts.compilations),
      fresh_(options.fresh) {
  check(options.batch_size >= 1, "batch_size: expected at least 1, got ", options.batch_size);
  if (!parts.compiled) refuse("the network is not compiled");
}

void Run::diverge(const std::string& what, Index epoch, Index step, double loss) {
  const std::uint64_t made = parts_.state.steps;
  parts_.state.go_back();
  if (Session* const session = parts_.sessions.training()) {
    session->parameters_at(parts_.state.parameters()->version());
  }
  throw Diverged(what, epoch, step, loss, static_cast<Index>(made - parts_.state.steps));
}

// Whether the time is up. Ranks agree on that in a round of their own steps.
bool Run::is_over(const Watches& watches) {
  const bool over = watches.until && std::chrono::steady_clock::now() >= *watches.until;
  if (ranks() == nullptr) return over;
  if (over) ranks()->exchange->wish_to_end();
  return ranks()->exchange->ends();
}

// RankFailure where the parameters of ranks differ.
void Run::compare_ranks() {
  if (ranks() == nullptr) return;
  const ParameterBuffer& parameters = *parts_.state.parameters();
  const std::uint64_t hash = hash_of(parameters.data(), parameters.bytes());
  ranks()->exchange->same("the weights", std::as_bytes(std::span(&hash, 1)));
}

// After an exception: what was trained so far or, where a device has no use for it any more,
// what it was when that was last copied.
void Run::recover(Session& session) {
  TrainingState& state = parts_.state;
  if (state.device_copy() == nullptr) return;
  try {
    session.trained_to(state.parameters()->version());
    state.fetch();
  } catch (const std::exception&) {
    state.go_back();
  }
}

// Steps now.step..last of one epoch, or as many of them as the clock of the watches allows.
void Run::train_steps(Session& session, const Request& request, const Epoch& epoch, Index last,
                      Index interval, Ticker& ticker, Now& now) {
  TrainingState& state = parts_.state;
  // What comes after no steps at all may have to go back, too.
  if (now.step == last) static_cast<void>(state.copy_if_due(interval));
  while (now.step < last) {
    const Index until = std::min(last, now.step + state.copy_if_due(interval));
    const double loss = now.sums[0];
    const double weight = now.sums[1];
    bool over = false;
    while (now.step < until && !over) {
      train_piece(session, request, epoch, until, ticker, now);
      over = is_over(request.watches);
    }
    state.saw(now.sums[0] - loss, now.sums[1] - weight);
    if (over) return;
  }
}

// As many of the steps now.step..until as the clock allows.
void Run::train_piece(Session& session, const Request& request, const Epoch& epoch, Index until,
                      Ticker& ticker, Now& now) {
  Index count = ticker.pieces(until - now.step);
  Rates rates = request.rates.from(now.updates);
  if (const double whole = rates.settings.penalty_rows; whole > 0) {
    // The last batch of an epoch, which may be shorter, has a factor of its own.
    Index rows = this->rows() - (now.step + count - 1) * epoch.batch_size;
    if (rows < epoch.batch_size && count > 1) {
      --count;
      rows = epoch.batch_size;
    }
    rows = std::min(rows, epoch.batch_size);
    // Losses of elements count a row as often as it has any.
    const double weight = epoch.row_weight / counted_by_row(*parts_.plan, data_);
    rates.settings.penalties = whole / (static_cast<double>(rows) * weight);
  }
  const Ran ran = session.run(data_, epoch, now.step, count, parts_.state.done(), rates, now.sums);
  now.step += ran.steps;
  now.updates += ran.steps;
  parts_.state.count(ran.steps);
  if (ran.bad_loss) {
    diverge("the loss became " + number(*ran.bad_loss), now.epoch, now.step, *ran.bad_loss);
  }
  ticker.done();
}

// What a row of the data weighs on average.
double Run::row_weight(const Poll& poll) {
  if (options_.row_weight) return *options_.row_weight;
  if (options_.streams_in) return counted_by_row(*parts_.plan, data_);
  if (!row_weight_) {
    double weight = total_weight(*parts_.plan, data_, poll);
    if (options_.ranks.shards && ranks() != nullptr) ranks()->exchange->sum(std::span(&weight, 1));
    row_weight_ = weight / static_cast<double>(rows());
  }
  return *row_weight_;
}

void Run::go_on(Index step, std::span<const double> sums) {
  check(step >= 0, "step: expected at least 0, got ", step);
  sums_.assign(sums.begin(), sums.end());
  finished_ = 0;
  part_until_ = step;
}

void Run::advance(const Request& request, const OnProgress& on_progress) {
  check(request.epochs >= 0, "epochs: expected at least 0, got ", request.epochs);
  finished_ = 0;
  Now now;
  const Poll poll = [&] { on_progress(now.epoch, now.step, now.sums); };
  const Gate::Writing writing(parts_.gate(), poll);
  if (parts_.compilations != compilation_) {
    refuse("the network was compiled again since this training began");
  }
  TrainingState& state = parts_.state;
  static_cast<void>(state.buffers());  // throws where there are none
  const Index batch_size =
      options_.streams_in
          ? options_.batch_size  // batches of a stream that are smaller run in the same session
          : std::clamp<Index>(options_.batch_size, 1, std::max<Index>(rows(), 1));
  const Index all = steps_of(rows(), batch_size);
  const bool part = request.steps >= 0;
  check(!part || (request.first_step >= 0 && request.first_step <= all &&
                  request.steps <= all - request.first_step),
        "steps: expected them in [0, ", all, "), got ", request.steps, " from ",
        request.first_step);
  const Index begin = part ? request.first_step : 0;
  const Index end = part ? begin + request.steps : all;
  check(request.rates.rates == nullptr || request.rates_given == request.epochs * (end - begin),
        "rates: expected one for each of ", request.epochs * (end - begin), " updates, got ",
        request.rates_given);
  check(!request.validates || validation_ != nullptr, "validates: the run has no validation data");
  const bool collects = request.logits != nullptr || request.validation_logits != nullptr;
  check(!collects || (request.epochs == 1 && parts_.plan->collects),
        "logits: expected one epoch of a network that is compiled to collect them");
  const auto columns = static_cast<std::size_t>(parts_.plan->sums());
  width_ = (request.validates ? 2 : 1) * columns;
  for (const Watch& watch : request.watches.values) {
    check(watch.fits(width_), "watches: expected places among ", width_, " sums");
  }
  const std::vector<double> before = std::exchange(sums_, make_sums(request.epochs, width_));
  const Index until = std::exchange(part_until_, -1);
  if (part && begin == until && std::min(before.size(), sums_.size()) >= columns) {
    std::copy_n(before.begin(), columns, sums_.begin());
  }

  state.begin(std::exchange(fresh_, false));
  const double weight = row_weight(poll);
  Session& session = parts_.sessions.training(parts_.needs(), batch_size, ranks() != nullptr);
  if (ranks() != nullptr) ranks()->exchange->forget_wishes();
  ParameterBuffer& parameters = *state.parameters();
  const Training training(parameters);  // nothing has changed where there is no session
  session.parameters_at(parameters.version());
  parameters.set_on_device(state.device_copy() != nullptr);
  parameters.attach(nullptr);  // until the run ends, readers get the last copy brought to the host
  const std::function<void()> recover = [&] { this->recover(session); };
  const Ending ending(parts_.sessions, recover);
  const Index interval = state.copies_every(*parts_.plan, batch_size);
  Ticker ticker(poll);
  Watches watches = request.watches;
  best_.assign(watches.values.size(), {});
  for (Index e = 0; e < request.epochs; ++e) {
    const Epoch epoch{part ? state.epochs.load() : state.epochs++,
                      batch_size,
                      options_.shuffled,
                      weight,
                      request.logits,
                      ranks()};
    const Sums row = std::span(sums_).subspan(static_cast<std::size_t>(e) * width_, width_);
    now = {request.first_epoch + e, begin, now.updates, row.first(columns)};
    train_steps(session, request, epoch, end, interval, ticker, now);
    compare_ranks();
    // The last update of a run is followed by no loss that would show it wrong.
    const bool last = e + 1 == request.epochs && (end == all || request.ends);
    if (last && !session.finite_parameters()) {
      diverge("a weight became nan or infinite", now.epoch, end - 1, std::nan(""));
    }
    if (request.validates) {
      validate(row.last(columns), request.validation_logits, now.epoch, end - 1, ticker);
    }
    const bool ends = (watches.any() || ranks() != nullptr) && watched(watches, now.epoch, row);
    if (ends && !last && !session.finite_parameters()) {
      diverge("a weight became nan or infinite", now.epoch, end - 1, std::nan(""));
    }
    ++finished_;
    if (ends) break;
  }
  const std::uint64_t version = parameters.version() + 1;  // which `training` marks when it goes
  state.trained_to(version);
  session.trained_to(version);
  if (state.device_copy() != nullptr) parameters.attach(state.device_copy());
  if (part) part_until_ = now.step;
}

// Shows a finished epoch to all watches; whether one of them ends the call.
bool Run::watched(Watches& watches, Index epoch, std::span<const double> sums) {
  bool ends = is_over(watches);
  for (std::size_t i = 0; i < watches.values.size(); ++i) {
    const Watch::Seen seen = watches.values[i].after(epoch, sums);
    ends = ends || seen.ends;
    if (!seen.copies) continue;
    if (parts_.state.device_copy() != nullptr) {
      ends = true;  // they are brought from the device when they are asked for between two calls
      continue;
    }
    const ParameterBuffer& parameters = *parts_.state.parameters();
    const auto* const first = static_cast<const std::byte*>(parameters.data());
    best_[i].assign(first, first + parameters.bytes());
  }
  return ends;
}

void Run::validate(Sums sums, void* logits, Index epoch, Index step, Ticker& ticker) {
  evaluate_into(parts_, *validation_, sums, logits, ticker, ranks());
  if (!std::isfinite(sums[0])) {
    diverge("the validation loss became " + number(sums[0]), epoch, step, sums[0]);
  }
}

void Run::close() {
  const Gate::Reading reading(parts_.gate());
  parts_.sessions.forget_data();
}

void evaluate_into(TrainingParts& parts, const Dataset& data, Sums sums, void* logits,
                   Ticker& ticker, const Ranks* ranks) {
  const std::vector<double> before(sums.begin(), sums.end());
  if (ranks != nullptr) std::fill(sums.begin(), sums.end(), 0.0);
  std::unique_ptr<Session> session = parts.sessions.borrow(parts.needs());
  const Index row_bytes = parts.plan->output_width() * parts.state.parameters()->element_size();
  const bool shares = ranks != nullptr && !ranks->shards;
  const Index begin = shares ? ranks->exchange->begin(data.count) : 0;
  const Index end = shares ? ranks->exchange->end(data.count) : data.count;
  for (Index first = begin; first < end; first += session->capacity()) {
    const Index count = std::min(session->capacity(), end - first);
    void* const here = logits == nullptr ? nullptr : static_cast<char*>(logits) + first * row_bytes;
    session->evaluate(data, first, count, sums, here);
    ticker.done();
  }
  if (ranks != nullptr) {
    ranks->exchange->sum(sums);
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += before[i];
  }
  sums[0] += session->penalty() * (sums[1] - before[1]);
  parts.sessions.give(std::move(session));
}

}  // namespace fastnn
