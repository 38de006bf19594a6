#include "nn/sessions.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "nn/pace.h"

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

void predict_rows(Session& session, const Dataset& data, Index row_bytes, void* out,
                  const Look& look) {
  Pace pace(look);
  const Index most = session.capacity();
  for (Index first = 0; first < data.count; first += most) {
    session.predict(data, first, std::min(most, data.count - first),
                    static_cast<char*>(out) + first * row_bytes);
    pace.done();
  }
}

}  // namespace fastnn
