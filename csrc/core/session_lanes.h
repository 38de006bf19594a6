// Networks of one plan trained side by side: each has a lane of every vector, and goes its own way
// through its own data. Each gets the bits that a plain session of its own gives.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/plan.h"
#include "core/session.h"

namespace fastnn {

// Steps that a network is to make in its lane.
struct LaneSteps {
  const Dataset* data;
  Epoch epoch;
  Index first;
  Steps done;
  Rates rates;
  Sums sums;
};

class LaneSession {
 public:
  LaneSession() = default;
  LaneSession(const LaneSession&) = delete;
  LaneSession& operator=(const LaneSession&) = delete;
  virtual ~LaneSession() = default;

  virtual Index lanes() const = 0;
  // A network enters a lane: its key, parameters and optimizer's state.
  virtual void put(Index lane, std::uint64_t key, const Buffers& buffers) = 0;
  // Brings what its lane made of them to where they came from.
  virtual void bring(Index lane, const Buffers& buffers) = 0;
  // Trains `count` steps in each lane that has any to make; null: it rests. `ran` is by lane.
  virtual void run(std::span<const LaneSteps* const> lanes, Index count, std::span<Ran> ran) = 0;
  // Whether all parameters of a lane are numbers.
  virtual bool finite_parameters(Index lane) = 0;
};

}  // namespace fastnn
