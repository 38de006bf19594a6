// Inference sessions that wait for work.
//
// Any number of threads take and give at once, without a lock: a fork may come
// between any two instructions, and a lock that another thread held then would
// never be free in the child.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "core/session.h"
#include "nn/gate.h"

namespace fastnn {

class IdleSessions {
 public:
  IdleSessions() = default;
  IdleSessions(const IdleSessions&) = delete;
  IdleSessions& operator=(const IdleSessions&) = delete;
  ~IdleSessions() { clear(); }

  // Null where none waits.
  std::unique_ptr<Session> take();
  // Ends the session where as many wait already as there are places.
  void give(std::unique_ptr<Session> session);
  void clear();
  void forget_data();  // of those that wait

 private:
  // As many as the threads that one would have predict at once.
  std::array<std::atomic<Session*>, 16> places_{};
};

// Writes the output of all rows, `row_bytes` each, as many at a time as the session takes.
void predict_rows(Session& session, const Dataset& data, Index row_bytes, void* out,
                  const Look& look);

}  // namespace fastnn
