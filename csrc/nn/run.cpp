#include "nn/run.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <functional>
#include <limits>
#include <new>
#include <utility>

#include "core/check.h"
#include "nn/checks.h"

namespace fastnn {
namespace {

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

// A buffer's values become their means over ranks. Not in place: where a rank has left or is
// interrupted, the buffer stays as it was.
template <class T>
void average_as(ParameterBuffer& buffer, Exchange& exchange) {
  auto* const values = static_cast<T*>(buffer.data());
  std::vector<T> sums(values, values + buffer.size());
  exchange.sum({}, sums.data(), buffer.size());
  for (Index i = 0; i < buffer.size(); ++i) {
    values[i] = sums[static_cast<std::size_t>(i)] / static_cast<T>(exchange.size());
  }
}

void average(ParameterBuffer& buffer, Exchange& exchange) {
  if (buffer.element_size() == static_cast<Index>(sizeof(double))) {
    average_as<double>(buffer, exchange);
  } else {
    average_as<float>(buffer, exchange);
  }
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

Index Run::batch_size() const {
  // Batches of a stream that are smaller run in the same session.
  if (options_.streams_in) return options_.batch_size;
  return std::clamp<Index>(options_.batch_size, 1, std::max<Index>(rows(), 1));
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

void Run::bring(Index first_step, std::vector<Ranks::Part> parts) {
  check(ranks() != nullptr && ranks()->average_every == 0,
        "bring: expected a run over ranks that sum gradients in every step");
  check(first_step >= 0, "first_step: expected at least 0, got ", first_step);
  check(!parts.empty(), "parts: expected those of at least one step");
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const Index step = first_step + static_cast<Index>(i);
    const Index own = std::clamp<Index>(data_.count - step * batch_size(), 0, batch_size());
    check(parts[i].before >= 0 && parts[i].whole >= std::max<Index>(parts[i].before + own, 1),
          "parts: expected rows of this rank's ", own, " and of others in step ", step, ", got ",
          parts[i].before, " before it and ", parts[i].whole, " in all");
  }
  options_.ranks.first_part = first_step;
  options_.ranks.parts = std::move(parts);
}

// The steps of an epoch.
Index Run::steps() const {
  if (ranks() != nullptr && ranks()->brings()) {
    return ranks()->first_part + static_cast<Index>(ranks()->parts.size());
  }
  return steps_of(rows(), batch_size());
}

// -- a call -----------------------------------------------------------------

Run::Call::Call(Run& run, const Request& request, OnProgress on_progress)
    : run_((run.forget_finished(), run)),
      request_(request),
      on_progress_(std::move(on_progress)),
      writing_(run.parts_.gate(), [this] { poll(); }),
      ticker_([this] { poll(); }),
      watches_(request.watches),
      batch_size_(run.batch_size()) {
  check(request.epochs >= 0, "epochs: expected at least 0, got ", request.epochs);
  if (run_.parts_.compilations != run_.compilation_) {
    refuse("the network was compiled again since this training began");
  }
  static_cast<void>(state().buffers());  // throws where there are none
  all_ = run_.steps();
  const bool part = request.steps >= 0;
  check(!part || (request.first_step >= 0 && request.first_step <= all_ &&
                  request.steps <= all_ - request.first_step),
        "steps: expected them in [0, ", all_, "), got ", request.steps, " from ",
        request.first_step);
  first_ = part ? request.first_step : 0;
  last_ = part ? first_ + request.steps : all_;
  columns_ = static_cast<std::size_t>(run_.parts_.plan->sums());
  run_.width_ = (request.validates ? 2 : 1) * columns_;
  check_request();
  const std::vector<double> before =
      std::exchange(run_.sums_, make_sums(request.epochs, run_.width_));
  const Index until = std::exchange(run_.part_until_, -1);
  if (part && first_ == until && std::min(before.size(), run_.sums_.size()) >= columns_) {
    std::copy_n(before.begin(), columns_, run_.sums_.begin());
  }
  state().begin(std::exchange(run_.fresh_, false));
  weight_ = run_.row_weight([this] { poll(); });
}

void Run::Call::check_request() const {
  const Request& request = request_;
  check(request.rates.rates == nullptr || request.rates_given == request.epochs * (last_ - first_),
        "rates: expected one for each of ", request.epochs * (last_ - first_), " updates, got ",
        request.rates_given);
  check(!request.validates || run_.validation_ != nullptr,
        "validates: the run has no validation data");
  const bool collects = request.logits != nullptr || request.validation_logits != nullptr;
  check(!collects || (request.epochs == 1 && run_.parts_.plan->collects),
        "logits: expected one epoch of a network that is compiled to collect them");
  for (const Watch& watch : request.watches.values) {
    check(watch.fits(run_.width_), "watches: expected places among ", run_.width_, " sums");
  }
}

void Run::Call::by(Stepper& stepper) {
  const bool begins = stepper_ == nullptr;
  stepper_ = &stepper;
  if (!begins) return;
  if (run_.ranks() != nullptr) run_.ranks()->exchange->forget_wishes();
  ParameterBuffer& parameters = *state().parameters();
  training_.emplace(parameters);
  parameters.set_on_device(state().device_copy() != nullptr);
  parameters.attach(nullptr);  // until the run ends, readers get the last copy brought to the host
  interval_ = state().copies_every(*run_.parts_.plan, batch_size_);
  run_.best_.assign(watches_.values.size(), {});
}

// Whether the time is up. Ranks agree on that in a round of their own steps.
bool Run::Call::is_over() const {
  const bool over =
      request_.watches.until && std::chrono::steady_clock::now() >= *request_.watches.until;
  const Ranks* const ranks = run_.ranks();
  if (ranks == nullptr) return over;
  if (over) ranks->exchange->wish_to_end();
  return ranks->exchange->ends();
}

// Where ranks have trained apart: the optimizer's state becomes the mean of theirs, which a file
// has for all of them.
void Run::Call::average_state() const {
  const Ranks* const ranks = run_.ranks();
  if (ranks == nullptr || ranks->average_every == 0) return;
  for (const auto& slot : state().slots()) average(*slot, *ranks->exchange);
}

// RankFailure where the parameters of ranks differ.
void Run::Call::compare_ranks() const {
  const Ranks* const ranks = run_.ranks();
  if (ranks == nullptr) return;
  const ParameterBuffer& parameters = *state().parameters();
  const std::uint64_t hash = hash_of(parameters.data(), parameters.bytes());
  ranks->exchange->same("the weights", std::as_bytes(std::span(&hash, 1)));
}

void Run::Call::diverge(const std::string& what, Index step, double loss) {
  const std::uint64_t made = state().steps;
  state().go_back();
  average_state();
  stepper_->went_back();
  throw Diverged(what, now_.epoch, step, loss, static_cast<Index>(made - state().steps));
}

Sums Run::Call::row() const {
  return std::span(run_.sums_)
      .subspan(static_cast<std::size_t>(begun_ - 1) * run_.width_, run_.width_);
}

void Run::Call::begin_epoch() {
  const bool part = request_.steps >= 0;
  epoch_ = {part ? state().epochs.load() : state().epochs++,
            batch_size_,
            run_.options_.shuffled,
            weight_,
            request_.logits,
            run_.ranks()};
  now_.epoch = request_.first_epoch + begun_++;
  now_.step = first_;
  now_.sums = row().first(columns_);
  within_ = true;
  over_ = false;
  until_ = now_.step;
  // What comes after no steps at all may have to go back, too.
  if (now_.step == last_) static_cast<void>(copy_if_due());
}

// The first step from this one on before which ranks have the same weights: copies are made there.
Index Run::Call::averaged_at(Index step) const {
  const Index every = run_.ranks() != nullptr ? run_.ranks()->average_every : 0;
  return every == 0 ? step : (step + every - 1) / every * every;
}

// As TrainingState::copy_if_due.
Index Run::Call::copy_if_due() {
  if (state().copy_is_due(interval_)) stepper_->bring();
  return state().copy_if_due(interval_);
}

// The rates of the next steps, of which it may leave fewer.
Rates Run::Call::rates_of(Index& count) const {
  Rates rates = request_.rates.from(now_.updates);
  if (const double whole = rates.settings.penalty_rows; whole > 0) {
    // The last batch of an epoch, which may be shorter, has a factor of its own.
    Index rows = run_.rows() - (now_.step + count - 1) * epoch_.batch_size;
    if (rows < epoch_.batch_size && count > 1) {
      --count;
      rows = epoch_.batch_size;
    }
    rows = std::min(rows, epoch_.batch_size);
    // Losses of elements count a row as often as it has any.
    const double weight = epoch_.row_weight / counted_by_row(*run_.parts_.plan, run_.data_);
    rates.settings.penalties = whole / (static_cast<double>(rows) * weight);
  }
  return rates;
}

std::optional<Run::Call::Piece> Run::Call::next(Index most) {
  while (true) {
    if (!within_) {
      if (begun_ == request_.epochs) {
        end();
        return std::nullopt;
      }
      begin_epoch();
    }
    if (now_.step == last_ || over_) {
      end_epoch();
      continue;
    }
    if (now_.step == until_) {
      until_ = std::min(last_, averaged_at(now_.step + copy_if_due()));
      loss_ = now_.sums[0];
      counted_ = now_.sums[1];
    }
    Index count = std::min(most, ticker_.pieces(until_ - now_.step));
    const Rates rates = rates_of(count);
    return Piece{epoch_, now_.step, count, rates, now_.sums};
  }
}

void Run::Call::made(const Ran& ran) {
  now_.step += ran.steps;
  now_.updates += ran.steps;
  state().count(ran.steps);
  if (ran.bad_loss) {
    diverge("the loss became " + number(*ran.bad_loss), now_.step, *ran.bad_loss);
  }
  ticker_.done();
  over_ = is_over();
  if (now_.step == until_ || over_) state().saw(now_.sums[0] - loss_, now_.sums[1] - counted_);
}

void Run::Call::end_epoch() {
  within_ = false;
  average_state();
  compare_ranks();
  // The last update of a run is followed by no loss that would show it wrong.
  const bool last = begun_ == request_.epochs && (last_ == all_ || request_.ends);
  const auto check_parameters = [&] {
    if (stepper_->finite_parameters()) return;
    diverge("a weight became nan or infinite", last_ - 1, std::nan(""));
  };
  if (last) check_parameters();
  if (request_.validates) validate(row().last(columns_), last_ - 1);
  const bool ends = (watches_.any() || run_.ranks() != nullptr) && watched(row());
  if (ends && !last) check_parameters();
  ++run_.finished_;
  if (ends) begun_ = request_.epochs;
}

// Shows a finished epoch to all watches; whether one of them ends the call.
bool Run::Call::watched(std::span<const double> sums) {
  bool ends = is_over();
  for (std::size_t i = 0; i < watches_.values.size(); ++i) {
    const Watch::Seen seen = watches_.values[i].after(now_.epoch, sums);
    ends = ends || seen.ends;
    if (!seen.copies) continue;
    if (state().device_copy() != nullptr) {
      ends = true;  // they are brought from the device when they are asked for between two calls
      continue;
    }
    stepper_->bring();
    const ParameterBuffer& parameters = *state().parameters();
    const auto* const first = static_cast<const std::byte*>(parameters.data());
    run_.best_[i].assign(first, first + parameters.bytes());
  }
  return ends;
}

void Run::Call::validate(Sums sums, Index step) {
  stepper_->bring();
  evaluate_into(run_.parts_, *run_.validation_, sums, request_.validation_logits, ticker_,
                run_.ranks());
  if (!std::isfinite(sums[0])) {
    diverge("the validation loss became " + number(sums[0]), step, sums[0]);
  }
}

void Run::Call::end() {
  stepper_->bring();
  const std::uint64_t version = state().parameters()->version() + 1;  // which `training_` marks
  state().trained_to(version);
  stepper_->trained_to(version);
  if (state().device_copy() != nullptr) state().parameters()->attach(state().device_copy());
  if (request_.steps >= 0) run_.part_until_ = now_.step;
}

// -- by a session of its own ------------------------------------------------

namespace {

// A session of the network's own, which has its parameters and state where they are, or on a
// device.
struct BySession final : Run::Call::Stepper {
  BySession(TrainingParts& parts_of_run, Session& session_of_run)
      : parts(parts_of_run), session(session_of_run) {
    session.parameters_at(parts.state.parameters()->version());
  }
  void bring() override {}
  bool finite_parameters() override { return session.finite_parameters(); }
  void went_back() override { session.parameters_at(parts.state.parameters()->version()); }
  void trained_to(std::uint64_t version) override { session.trained_to(version); }

  TrainingParts& parts;
  Session& session;
};

// After an exception: what was trained so far or, where a device has no use for it any more,
// what it was when that was last copied.
void recover(TrainingState& state, Session& session) {
  if (state.device_copy() == nullptr) return;
  try {
    session.trained_to(state.parameters()->version());
    state.fetch();
  } catch (const std::exception&) {
    state.go_back();
  }
}

}  // namespace

void train_by(Session& session, Run::Call& call) {
  TrainingParts& parts = call.parts();
  BySession stepper(parts, session);
  call.by(stepper);
  const std::function<void()> recovers = [&] { recover(parts.state, session); };
  const Ending ending(parts.sessions, recovers);
  while (const std::optional<Run::Call::Piece> piece =
             call.next(std::numeric_limits<Index>::max())) {
    call.made(session.run(call.data(), piece->epoch, piece->first, piece->count, parts.state.done(),
                          piece->rates, piece->sums));
  }
}

void Run::advance(const Request& request, const OnProgress& on_progress) {
  Call call(*this, request, on_progress);
  train_by(own_session(), call);
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
