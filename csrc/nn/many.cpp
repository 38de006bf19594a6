#include "nn/many.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/check.h"
#include "core/plan_bytes.h"

namespace fastnn {
namespace {

// Whether the session that the run would have alone is one whose numbers lanes give.
bool fits_lanes(const TrainingParts& parts, Index batch_size) {
  const Plan& plan = *parts.plan;
  const Compile& compiled = *parts.compiled;
  if (compiled.session != SessionKind::automatic && compiled.session != SessionKind::plain) {
    return false;
  }
  if (parts.state.device_copy() != nullptr || default_device() != Device::cpu ||
      device_for(plan, compiled, batch_size) != Device::cpu) {
    return false;
  }
  if (!backend().takes_lanes(plan, batch_size)) return false;
  return compiled.precision == Precision::highest ||
         backend().bf16_parts({&plan, {}, batch_size, SessionKind::plain, compiled.precision}) == 0;
}

}  // namespace

// A lane with its network. The call marks the network's buffers as being trained while it lives.
class Lanes::Place final : public Run::Call::Stepper {
 public:
  Place(LaneSession& session, Index lane) : session_(session), lane_(lane) {}
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() override = default;

  void begin(Run& run, const Run::Request& request, const OnProgress& on_progress) {
    call_.emplace(run, request, on_progress);
    try {
      session_.put(lane_, run.parts().plan->key, run.parts().state.buffers());
      call_->by(*this);
    } catch (...) {
      call_.reset();  // the lane stays free
      throw;
    }
    run_ = &run;
    went_back_ = is_alone_ = false;
  }
  // The state so far is in the network's buffers afterwards.
  void end() {
    if (call_ && !went_back_ && !is_alone_) bring();
    call_.reset();
    run_ = nullptr;
  }
  Run* run() const { return run_; }
  Run::Call& call() { return *call_; }
  Index lane() const { return lane_; }

  // What is to be done next; null: the call has ended.
  const LaneSteps* next() {
    const std::optional<Run::Call::Piece> piece = call_->next(std::numeric_limits<Index>::max());
    if (!piece) return nullptr;
    count_ = piece->count;
    steps_ = {&run_->data(), piece->epoch, piece->first, run_->parts().state.done(),
              piece->rates,  piece->sums};
    return &steps_;
  }
  Index count() const { return count_; }
  // The rest of the call.
  void go_on_alone() {
    bring();
    is_alone_ = true;
    train_by(run_->own_session(), *call_);
  }

  void bring() override { session_.bring(lane_, run_->parts().state.buffers()); }
  bool finite_parameters() override { return session_.finite_parameters(lane_); }
  void went_back() override { went_back_ = true; }
  void trained_to(std::uint64_t) override {}

 private:
  LaneSession& session_;
  const Index lane_;
  Run* run_ = nullptr;
  std::optional<Run::Call> call_;
  LaneSteps steps_{};
  Index count_ = 0;
  bool went_back_ = false, is_alone_ = false;
};

Lanes::Lanes() = default;

Lanes::~Lanes() { clear(); }

std::string Lanes::kind_of(const Run& run, const Run::Request& request) {
  TrainingParts& parts = run.parts();
  const Gate::Reading reading(parts.gate());
  const Dataset& data = run.data();
  const bool plain = data.sparse.starts == nullptr && data.element_weights.data == nullptr;
  if (!plain || data.count < 1 || request.logits != nullptr || !parts.compiled) return {};
  if (run.ranks() != nullptr || request.watches.until) return {};  // no time to wait for a lane
  if (request.validation_logits != nullptr || !fits_lanes(parts, run.batch_size())) return {};
  const PlanBytes plan = bytes_of(*parts.plan);
  const unsigned kept = portable::kept_slots(parts.plan->update.optimizer, request.rates.settings);
  return message(plan.layers, plan.loss, plan.update, run.batch_size(), ' ', kept,
                 data.labels != nullptr ? " labels" : " targets");
}

void Lanes::add(Run& run, const Run::Request& request, const OnProgress& on_progress) {
  std::string kind = kind_of(run, request);
  check(!kind.empty(), "lanes: this run goes alone");
  if (kind != kind_ || session_ == nullptr) {
    check(is_empty(), "lanes: expected runs of one kind");
    places_.clear();
    session_ = backend().prepare_lanes(*run.parts().plan, run.batch_size());
    check(session_ != nullptr && session_->lanes() == count, "lanes: this run goes alone");
    for (Index lane = 0; lane < session_->lanes(); ++lane) {
      places_.push_back(std::make_unique<Place>(*session_, lane));
    }
    kind_ = std::move(kind);
  }
  for (const std::unique_ptr<Place>& place : places_) {
    if (place->run() == nullptr) return place->begin(run, request, on_progress);
  }
  refuse("lanes: all are taken");
}

Index Lanes::taken() const {
  return std::count_if(places_.begin(), places_.end(),
                       [](const std::unique_ptr<Place>& place) { return place->run() != nullptr; });
}

bool Lanes::is_empty() const { return taken() == 0; }

void Lanes::end(Place& place, std::exception_ptr error, std::vector<Ended>& ended) {
  ended.push_back({place.run(), std::move(error)});
  place.end();
}

std::vector<Lanes::Ended> Lanes::advance(Index fewest) {
  std::vector<Ended> ended;
  while (ended.empty() && !is_empty()) {
    if (taken() < fewest) {
      end_alone(ended);
    } else {
      step(ended);
    }
  }
  return ended;
}

// As many steps as the network can make that makes the fewest.
void Lanes::step(std::vector<Ended>& ended) {
  std::vector<const LaneSteps*> steps(places_.size());
  Index fewest = std::numeric_limits<Index>::max();
  for (std::size_t k = 0; k < places_.size(); ++k) {
    Place& place = *places_[k];
    if (place.run() == nullptr) continue;
    try {
      steps[k] = place.next();
      if (steps[k] == nullptr) end(place, nullptr, ended);
    } catch (...) {
      end(place, std::current_exception(), ended);
    }
    if (steps[k] != nullptr) fewest = std::min(fewest, place.count());
  }
  if (!ended.empty()) return;
  std::vector<Ran> ran(places_.size());
  session_->run(steps, fewest, ran);
  for (std::size_t k = 0; k < places_.size(); ++k) {
    if (steps[k] == nullptr) continue;
    try {
      places_[k]->call().made(ran[k]);
    } catch (...) {
      end(*places_[k], std::current_exception(), ended);
    }
  }
}

void Lanes::end_alone(std::vector<Ended>& ended) {
  for (const std::unique_ptr<Place>& place : places_) {
    if (place->run() == nullptr) continue;
    try {
      place->go_on_alone();
      end(*place, nullptr, ended);
    } catch (...) {
      end(*place, std::current_exception(), ended);
    }
  }
}

void Lanes::clear() {
  for (const std::unique_ptr<Place>& place : places_) place->end();
}

}  // namespace fastnn
