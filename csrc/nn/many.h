// Runs of several networks whose steps are made side by side, a lane of vectors for each. Each
// keeps its data, rates, epochs and rules, and gets the numbers that it gets by `advance` alone.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.h"
#include "nn/run.h"

namespace fastnn {

class Lanes {
 public:
  static constexpr Index count = 16;

  Lanes();
  Lanes(const Lanes&) = delete;
  Lanes& operator=(const Lanes&) = delete;
  ~Lanes();

  // What runs have to have in common to be trained side by side; empty: this one goes alone.
  static std::string kind_of(const Run& run, const Run::Request& request);

  // Begins a call in a free lane. All that are under way are of one kind. Throws as `advance` of
  // the run does, and std::runtime_error where no lane is free.
  void add(Run& run, const Run::Request& request, const OnProgress& on_progress);
  bool is_empty() const;
  // Trains until one or more of them have ended. Less than `fewest` end one after another, each by
  // a session of its own.
  struct Ended {
    Run* run;
    std::exception_ptr error;  // which `advance` would have thrown; null: it ended well
  };
  std::vector<Ended> advance(Index fewest);
  // All end where they are.
  void clear();

 private:
  class Place;

  Index taken() const;
  void end(Place& place, std::exception_ptr error, std::vector<Ended>& ended);
  void end_alone(std::vector<Ended>& ended);
  void step(std::vector<Ended>& ended);

  std::string kind_;
  std::unique_ptr<LaneSession> session_;
  std::vector<std::unique_ptr<Place>> places_;  // by lane
};

}  // namespace fastnn
