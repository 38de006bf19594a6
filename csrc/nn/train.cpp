// Training, evaluation and prediction: the loops over epochs, steps and rows.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "core/check.h"
#include "nn/network.h"

namespace fastnn {
namespace {

using SteadyClock = std::chrono::steady_clock;

// How often Python is looked in on, and how long a run of steps may take before
// the clock is looked at.
constexpr auto poll_interval = std::chrono::milliseconds(100);
constexpr auto run_target = std::chrono::milliseconds(10);

std::string advice(Index epoch, Index step, double loss) {
  return message("the loss became ", loss, " at epoch ", epoch, ", step ", step,
                 ". The weights of a recent good state are back in place. Try a lower "
                 "learning_rate, inputs scaled to about [-1, 1], or targets of that size.");
}

}  // namespace

Diverged::Diverged(Index at_epoch, Index at_step, double bad_loss)
    : std::runtime_error(advice(at_epoch, at_step, bad_loss)),
      epoch(at_epoch),
      step(at_step),
      loss(bad_loss) {}

// Decides how many steps to run before the next look at the clock, and when
// that look should go on to Python.
struct Network::Clock {
  SteadyClock::time_point last_poll = SteadyClock::now();
  SteadyClock::time_point begin{};
  Index count = 1;
  static constexpr Index most = Index{1} << 20;

  Index start(Index room) {
    begin = SteadyClock::now();
    return std::min(count, room);
  }
  bool poll_is_due() {
    const auto now = SteadyClock::now();
    const auto taken = now - begin;
    if (taken < run_target / 2) {
      count = std::min(count * 2, most);
    } else if (taken > run_target) {
      count = std::max<Index>(count / 2, 1);
    }
    if (now - last_poll < poll_interval) return false;
    last_poll = now;
    return true;
  }
};

// Holds the network for reading by any number of threads.
class Network::Reading {
 public:
  explicit Reading(Network& network) : network_(network) {
    const std::lock_guard<std::mutex> lock(network_.mutex_);
    if (network_.writing_) refuse("the model is being trained in another thread");
    ++network_.readers_;
    network_.plan();
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
  ~Reading() {
    const std::lock_guard<std::mutex> lock(network_.mutex_);
    --network_.readers_;
    network_.readers_gone_.notify_all();
  }

 private:
  Network& network_;
};

// Holds the network for training; waits for readers, refuses a second writer.
class Network::Writing {
 public:
  explicit Writing(Network& network) : network_(network) {
    std::unique_lock<std::mutex> lock(network_.mutex_);
    if (network_.writing_) refuse("the model is being trained in another thread");
    network_.writing_ = true;
    network_.readers_gone_.wait(lock, [&] { return network_.readers_ == 0; });
    network_.buffer_->set_training(true);
  }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
  ~Writing() {
    network_.buffer_->set_training(false);
    network_.buffer_->mark_changed();
    const std::lock_guard<std::mutex> lock(network_.mutex_);
    network_.writing_ = false;
  }

 private:
  Network& network_;
};

// Steps first..last of one epoch.
void Network::train_steps(Session& session, const Dataset& data, const Train& request,
                          const Epoch& epoch, Index index, Index first, Index last, Clock& clock,
                          std::span<Sum> sums, const Poll& poll) {
  std::vector<ParameterBuffer*> state = optimizer_state();
  state.insert(state.begin(), buffer_.get());
  for (Index step = first; step < last;) {
    snapshots_.consider(state, steps);
    const Index count = clock.start(last - step);
    const Ran ran = session.run(data, epoch, step, count, steps, request.settings, sums);
    steps.life += static_cast<std::uint64_t>(ran.steps);
    steps.updates += static_cast<std::uint64_t>(ran.steps);
    if (ran.steps > 0) snapshots_.prove();
    if (ran.steps < count) {
      steps = snapshots_.restore(state);
      throw Diverged(request.first_epoch + index, step + ran.steps, ran.loss);
    }
    step += count;
    if (clock.poll_is_due()) poll(request.first_epoch + index, step, sums);
  }
}

std::vector<Sum> Network::train(const Dataset& data, const Train& request,
                                const Dataset* validation, const Poll& poll) {
  check(request.batch_size >= 1, "batch_size: expected at least 1, got ", request.batch_size);
  check(request.epochs >= 0, "epochs: expected at least 0, got ", request.epochs);
  compiled_plan();
  buffers();
  const Index all = (data.count + request.batch_size - 1) / request.batch_size;
  const bool part = request.steps >= 0;
  check(!part || (request.first_step >= 0 && request.first_step + request.steps <= all),
        "steps: expected them in [0, ", all, "), got ", request.steps, " from ",
        request.first_step);
  const std::size_t parts = validation != nullptr ? 2 : 1;
  std::vector<Sum> sums(static_cast<std::size_t>(request.epochs) * parts * columns());

  const Writing writing(*this);
  if (buffer_->version() != trained_version_) snapshots_.forget();
  struct Remember {  // that what the buffer holds at the end is our own work
    Network& network;
    ~Remember() { network.trained_version_ = network.buffer_->version() + 1; }
  } const remember{*this};
  Session& session = training_session(std::min(request.batch_size, data.count));
  Clock clock;
  for (Index e = 0; e < request.epochs; ++e) {
    const Epoch epoch{part ? epochs : epochs++, request.batch_size, request.shuffled};
    const std::span<Sum> row =
        std::span(sums).subspan(static_cast<std::size_t>(e) * parts * columns(), parts * columns());
    train_steps(session, data, request, epoch, e, part ? request.first_step : 0,
                part ? request.first_step + request.steps : all, clock, row.first(columns()), poll);
    if (validation != nullptr) {
      std::unique_ptr<Session> reader = borrow_session();
      evaluate_into(*reader, *validation, row.last(columns()), [&] {
        if (clock.poll_is_due()) poll(request.first_epoch + e, all, row.first(columns()));
      });
      give_back(std::move(reader));
    }
  }
  return sums;
}

void Network::evaluate_into(Session& session, const Dataset& data, std::span<Sum> sums,
                            const std::function<void()>& poll) {
  for (Index first = 0; first < data.count; first += session.capacity()) {
    session.evaluate(data, first, std::min(session.capacity(), data.count - first), sums);
    poll();
  }
}

std::vector<Sum> Network::evaluate(const Dataset& data, const Poll& poll) {
  compiled_plan();
  std::vector<Sum> sums(columns());
  const Reading reading(*this);
  std::unique_ptr<Session> session = borrow_session();
  Clock clock;
  evaluate_into(*session, data, sums, [&] {
    if (clock.poll_is_due()) poll(0, 0, sums);
  });
  give_back(std::move(session));
  return sums;
}

void Network::predict(const Dataset& data, void* out, const Poll& poll) {
  buffers();
  const Reading reading(*this);
  std::unique_ptr<Session> session = borrow_session();
  const Index row_bytes = plan_->output_width() * (element() == Element::f64 ? 8 : 4);
  Clock clock;
  for (Index first = 0; first < data.count; first += session->capacity()) {
    session->predict(data, first, std::min(session->capacity(), data.count - first),
                     static_cast<char*>(out) + first * row_bytes);
    if (clock.poll_is_due()) poll(0, 0, {});
  }
  give_back(std::move(session));
}

Sum Network::gradients(const Dataset& data, bool training, void* gradient, const Poll& poll) {
  compiled_plan();
  std::vector<Sum> sums(columns());
  const Reading reading(*this);
  std::unique_ptr<Session> session = borrow_session();
  Clock clock;
  const Index capacity = session->capacity();
  double total = 0;
  for (Index first = 0; first < data.count; first += capacity) {
    total += session->weight(data, first, std::min(capacity, data.count - first));
  }
  for (Index first = 0; first < data.count; first += capacity) {
    session->add_gradients(data, first, std::min(capacity, data.count - first), total, training,
                           steps.life, gradient, sums);
    if (clock.poll_is_due()) poll(0, 0, sums);
  }
  give_back(std::move(session));
  return sums[0];
}

}  // namespace fastnn
