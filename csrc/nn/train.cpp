// Training, evaluation and prediction: the loops over epochs, steps and rows.
#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <new>
#include <utility>

#include "core/check.h"
#include "nn/checks.h"
#include "nn/network.h"

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

// Where training ends by an exception, sees to the state that is left; lets go of the data then,
// or also where it ends well.
class Ending {
 public:
  Ending(Session& session, IdleSessions& idle, bool keeps_data,
         const std::function<void()>& recover)
      : session_(session), idle_(idle), keeps_data_(keeps_data), recover_(recover) {}
  Ending(const Ending&) = delete;
  Ending& operator=(const Ending&) = delete;
  ~Ending() {
    const bool failed = std::uncaught_exceptions() > before_;
    if (failed) recover_();
    if (keeps_data_ && !failed) return;
    session_.forget_data();
    idle_.forget_data();
  }

 private:
  Session& session_;
  IdleSessions& idle_;
  const bool keeps_data_;
  const std::function<void()>& recover_;  // throws nothing
  const int before_ = std::uncaught_exceptions();
};

bool finite(double x) { return std::isfinite(x); }

std::string number(double x) {
  if (std::isnan(x)) return "nan";
  return x > 0 ? "inf" : "-inf";
}

Index steps_of(const Dataset& data, Index batch_size) {
  return data.count / batch_size + (data.count % batch_size != 0 ? 1 : 0);
}

std::vector<double> make_sums(Index epochs, std::size_t columns) {
  constexpr std::size_t most = std::size_t{1} << 40;
  if (static_cast<std::size_t>(epochs) > most / columns) throw std::bad_alloc();
  return std::vector<double>(static_cast<std::size_t>(epochs) * columns);
}

}  // namespace

Diverged::Diverged(const std::string& what, Index at_epoch, Index at_step, double bad_loss)
    : std::runtime_error(
          message(what, " at epoch ", at_epoch, ", step ", at_step,
                  " (both counted from 0). The weights are back where the loss was last known "
                  "to be a number, or as they were before. Try a lower learning_rate, inputs "
                  "scaled to about [-1, 1], or targets of that size.")),
      epoch(at_epoch),
      step(at_step),
      loss(bad_loss) {}

std::vector<ParameterBuffer*> Network::state() {
  std::vector<ParameterBuffer*> state{buffer_.get()};
  for (const auto& slot : slots_) state.push_back(slot.get());
  return state;
}

void Network::diverge(const std::string& what, Index epoch, Index step, double loss) {
  go_back();
  if (training_session_) training_session_->parameters_at(buffer_->version());
  throw Diverged(what, epoch, step, loss);
}

// What is newer elsewhere, while training goes on there.
void Network::fetch() {
  if (there_ == nullptr) return;
  there_->bring_optimizer_state();
  there_->bring_parameters();
}

// After an exception: what was trained so far or, where a device has no use for it any more,
// what it was when that was last copied.
void Network::recover(Session& session) {
  if (there_ == nullptr) return;
  try {
    session.trained_to(buffer_->version());
    fetch();
  } catch (const std::exception&) {
    go_back();
  }
}

// Steps now.step..last of one epoch.
void Network::train_steps(Session& session, const Dataset& data, const Train& request,
                          const Epoch& epoch, Index last, Pace& pace, Now& now) {
  const std::vector<ParameterBuffer*> buffers = state();
  const auto fetch = [this] { this->fetch(); };
  // What comes after no steps at all may have to go back, too.
  if (now.step == last) snapshots_.consider(buffers, {steps_, updates_}, fetch);
  while (now.step < last) {
    const Steps done{steps_, updates_};
    snapshots_.consider(buffers, done, fetch);
    const Index count = pace.pieces(last - now.step);
    const Ran ran =
        session.run(data, epoch, now.step, count, done, request.rates.from(now.updates), now.sums);
    now.step += ran.steps;
    now.updates += ran.steps;
    steps_ += static_cast<std::uint64_t>(ran.steps);
    updates_ += static_cast<std::uint64_t>(ran.steps);
    if (ran.steps > 0) snapshots_.prove();
    if (ran.bad_loss) {
      diverge("the loss became " + number(*ran.bad_loss), now.epoch, now.step, *ran.bad_loss);
    }
    pace.done();
  }
}

std::vector<double> Network::train(const Dataset& data, const Train& request,
                                   const Dataset* validation, const Poll& poll) {
  check(request.batch_size >= 1, "batch_size: expected at least 1, got ", request.batch_size);
  check(request.epochs >= 0, "epochs: expected at least 0, got ", request.epochs);
  Now now;
  const Look look = [&] { poll(now.epoch, now.step, now.sums); };
  const Gate::Writing writing(gate_, look);
  check_compiled();
  buffers();
  const Index batch_size = std::clamp<Index>(request.batch_size, 1, std::max<Index>(data.count, 1));
  const Index all = steps_of(data, batch_size);
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
  const std::size_t width = (validation != nullptr ? 2 : 1) * columns();
  std::vector<double> sums = make_sums(request.epochs, width);

  if (buffer_->version() != trained_version_) snapshots_.forget();
  if (request.fresh) snapshots_.renew();
  const double weight = request.streams_in ? counted_by_row(*plan_) : row_weight(data, look);
  Session& session = training_session(batch_size);
  const Training training(*buffer_);  // nothing has changed where there is no session
  session.parameters_at(buffer_->version());
  buffer_->travel(there_ != nullptr);
  buffer_->leave(nullptr);  // who looks meanwhile sees those that were brought last
  const std::function<void()> recover = [&] { this->recover(session); };
  const Ending ending(session, idle_, request.keeps_data, recover);
  Pace pace(look);
  for (Index e = 0; e < request.epochs; ++e) {
    const Epoch epoch{part ? epochs_.load() : epochs_++, batch_size, request.shuffled, weight};
    const Sums row = std::span(sums).subspan(static_cast<std::size_t>(e) * width, width);
    now = {request.first_epoch + e, begin, now.updates, row.first(columns())};
    train_steps(session, data, request, epoch, end, pace, now);
    // The last update of a run is followed by no loss that would show it wrong.
    if (end == all && e + 1 == request.epochs && !session.finite_parameters()) {
      diverge("a weight became nan or infinite", now.epoch, end - 1, std::nan(""));
    }
    if (validation == nullptr) continue;
    evaluate_into(*validation, row.last(columns()), pace);
    const double loss = row[columns()];
    if (!finite(loss)) {
      diverge("the validation loss became " + number(loss), now.epoch, end - 1, loss);
    }
  }
  trained_version_ = buffer_->version() + 1;  // which `training` marks when it goes
  session.trained_to(trained_version_);
  if (there_ != nullptr) buffer_->leave(there_);
  return sums;
}

// What a row of the data weighs on average.
double Network::row_weight(const Dataset& data, const Look& look) {
  if (weighed_.first != data.id || data.id == 0) {
    weighed_ = {data.id, total_weight(*plan_, data, look) / static_cast<double>(data.count)};
  }
  return weighed_.second;
}

void Network::evaluate_into(const Dataset& data, Sums sums, Pace& pace) {
  std::unique_ptr<Session> session = borrow_session();
  for (Index first = 0; first < data.count; first += session->capacity()) {
    session->evaluate(data, first, std::min(session->capacity(), data.count - first), sums);
    pace.done();
  }
  idle_.give(std::move(session));
}

void Network::forget_data() {
  const Gate::Reading reading(gate_);
  if (training_session_) training_session_->forget_data();
  idle_.forget_data();
}

std::vector<double> Network::evaluate(const Dataset& data, const Look& look) {
  const Gate::Reading reading(gate_);
  check_compiled();
  std::vector<double> sums(columns());
  Pace pace(look);
  evaluate_into(data, sums, pace);
  idle_.forget_data();
  return sums;
}

void Network::predict(const Dataset& data, void* out, const Look& look) {
  const Gate::Reading reading(gate_);
  buffers();
  std::unique_ptr<Session> session = borrow_session();
  predict_rows(*session, data, plan_->output_width() * buffer_->element_size(), out, look);
  idle_.give(std::move(session));
}

std::unique_ptr<Predictor> Network::predictor() {
  const Gate::Reading reading(gate_);
  if (!plan_) refuse("the network has no output");
  buffers();
  buffer_->bring();
  return std::make_unique<Predictor>(lower(graph_.plan(), nullptr), *buffer_);
}

double Network::gradients(const Dataset& data, bool training, void* gradient, const Look& look) {
  const Gate::Reading reading(gate_);
  check_compiled();
  std::vector<double> sums(columns());
  std::unique_ptr<Session> session = borrow_session();
  Pace pace(look);
  const Index capacity = session->capacity();
  const double total = total_weight(*plan_, data, look);
  for (Index first = 0; first < data.count; first += capacity) {
    session->add_gradients(data, first, std::min(capacity, data.count - first), total, training,
                           steps_, gradient, sums);
    pace.done();
  }
  session->forget_data();
  idle_.give(std::move(session));
  return sums[1] > 0 ? sums[0] / sums[1] : 0;
}

}  // namespace fastnn
