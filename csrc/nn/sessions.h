// Sessions of a network: which one trains, and those that wait for work.
//
// Any number of threads take and give at once, without a lock: a fork may come
// between any two instructions, and a lock that another thread held then would
// never be free in the child.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "core/session.h"
#include "nn/gate.h"
#include "nn/lower.h"
#include "nn/training_state.h"

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

// The sessions of one network: one that trains, and those that wait for other work.
class SessionPool {
 public:
  // The plan and what it is compiled with, as they are now; they must stay while sessions live.
  struct Needs {
    const Plan& plan;
    const Compile* compiled;  // null: not compiled
    TrainingState& state;
  };

  // The session that trains in batches of so many rows; of those of several ranks, if there are.
  Session& training(const Needs& needs, Index batch_size, bool ranks = false);
  // The one that was made last; null: none.
  Session* training() const { return training_.get(); }
  // For evaluation and prediction; to be given back.
  std::unique_ptr<Session> borrow(const Needs& needs);
  void give(std::unique_ptr<Session> session) { idle_.give(std::move(session)); }
  // All of them.
  void forget();
  // Data sets that they hold copies of.
  void forget_data();
  IdleSessions& idle() { return idle_; }

 private:
  std::unique_ptr<Session> training_;
  Index training_batch_ = 0;
  bool training_ranks_ = false;
  // Where that is, and the sessions that wait; nothing where they may be on several devices.
  std::optional<Device> device_;
  IdleSessions idle_;
};

// The device that training in batches of so many rows uses.
Device device_for(const Plan& plan, const Compile& compiled, Index batch_size);

// Writes the output of all rows, `row_bytes` each, as many at a time as the session takes.
void predict_rows(Session& session, const Dataset& data, Index row_bytes, void* out,
                  const Poll& poll);

}  // namespace fastnn
