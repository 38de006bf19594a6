#include "nn/sessions.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "core/check.h"
#include "nn/ticker.h"

namespace fastnn {

std::unique_ptr<Session> IdleSessions::take() {
  for (std::atomic<Session*>& place : places_) {
    if (place.load(std::memory_order_relaxed) == nullptr) continue;
    if (Session* session = place.exchange(nullptr, std::memory_order_acquire)) {
      return std::unique_ptr<Session>(session);
    }
  }
  return nullptr;
}

void IdleSessions::give(std::unique_ptr<Session> session) {
  Session* const given = session.release();
  for (std::atomic<Session*>& place : places_) {
    Session* empty = nullptr;
    if (place.compare_exchange_strong(empty, given, std::memory_order_release,
                                      std::memory_order_relaxed)) {
      return;
    }
  }
  session.reset(given);
}

void IdleSessions::clear() {
  while (take() != nullptr) {
  }
}

void IdleSessions::forget_data() {
  std::vector<std::unique_ptr<Session>> waiting;
  while (std::unique_ptr<Session> session = take()) waiting.push_back(std::move(session));
  for (std::unique_ptr<Session>& session : waiting) {
    session->forget_data();
    give(std::move(session));
  }
}

Device device_for(const Plan& plan, const Compile& compiled, Index batch_size) {
  return compiled.device ? *compiled.device : choose_device(plan, batch_size);
}

namespace {

// What trains over ranks: all gradients are summed before a step. A GPU's plain session would need,
// for that: gradients read to the host before Exchange::sum and written back; statistics of batch
// normalization in two kernels each way, with sums over ranks between them (their rules work on
// memory of the host); the order and the places of a shard's rows on the device; means of weights
// there; and parameters that are brought before they are compared. Recorded graphs hold whole
// steps.
void check_ranks(const Compile& compiled) {
  const bool plain =
      compiled.session == SessionKind::automatic || compiled.session == SessionKind::plain;
  check(plain, "session: '", session_names[static_cast<std::size_t>(compiled.session)],
        "' steps before all gradients are there, which ranks need; expected 'auto' or 'plain'");
  check(!compiled.device || *compiled.device == Device::cpu,
        "comm: ranks train on CPUs alone; compile with device='cpu'");
}

}  // namespace

Session& SessionPool::training(const Needs& needs, Index batch_size, bool ranks) {
  if (training_ && training_batch_ == batch_size && training_ranks_ == ranks) return *training_;
  if (ranks) check_ranks(*needs.compiled);
  needs.state.bring();  // the next may be on another device, or fail
  training_.reset();
  const std::optional<Device> before = std::exchange(device_, std::nullopt);
  const Device device = ranks ? Device::cpu : device_for(needs.plan, *needs.compiled, batch_size);
  training_ = backend(device).prepare({&needs.plan, needs.state.buffers(), batch_size,
                                       ranks ? SessionKind::plain : needs.compiled->session,
                                       needs.compiled->precision});
  training_batch_ = batch_size;
  training_ranks_ = ranks;
  if (device != before) idle_.clear();  // they follow it: its parameters are there
  device_ = device;
  needs.state.attach(training_->device_copy());
  return *training_;
}

std::unique_ptr<Session> SessionPool::borrow(const Needs& needs) {
  ParameterBuffer& parameters = *needs.state.parameters();
  std::unique_ptr<Session> session = idle_.take();
  if (session == nullptr) {
    // Where training is, or would be.
    const bool fixed = needs.compiled != nullptr && needs.compiled->device;
    const Device device = device_ ? *device_ : fixed ? *needs.compiled->device : default_device();
    if (device == Device::cpu) parameters.bring();
    session = backend(device).prepare({&needs.plan, needs.state.buffers(), 0});
  }
  session->parameters_at(parameters.version());
  return session;
}

void SessionPool::forget() {
  training_.reset();
  device_.reset();
  idle_.clear();
}

void SessionPool::forget_data() {
  if (training_) training_->forget_data();
  idle_.forget_data();
}

void predict_rows(Session& session, const Dataset& data, Index row_bytes, void* out,
                  const Poll& poll) {
  Ticker ticker(poll);
  const Index most = session.capacity();
  for (Index first = 0; first < data.count; first += most) {
    session.predict(data, first, std::min(most, data.count - first),
                    static_cast<char*>(out) + first * row_bytes);
    ticker.done();
  }
}

}  // namespace fastnn
