// What ends a native call of training after an epoch: a value that no longer improves. The clock
// ends it within one, which then counts as finished.
//
// These are the rules of callbacks (python/fastnn/callbacks/stopping.py and rates.py), which go
// through the epochs of a call afterwards and act. A call has to end no later than an epoch after
// which one of them acts; ending earlier changes nothing.
#pragma once

#include <chrono>
#include <cmath>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "core/arrays.h"

namespace fastnn {

struct Watch {
  // The value of an epoch is sums[place] / sums[place + 1], or its root; NaN where nothing counted.
  Index place = 0;
  bool root = false;
  bool more_is_better = false;
  double min_delta = 0;
  Index first_epoch = 0;  // epochs before it do not count
  Index patience = 1;     // the call ends after so many epochs without an improvement
  Index wait = 0;         // of those before this call
  double best = std::numeric_limits<double>::quiet_NaN();      // NaN: none yet
  double baseline = std::numeric_limits<double>::quiet_NaN();  // what an improvement must also beat
  // Whether the weights of the best epoch are to be kept, and whether there are any from before.
  bool keeps_best = false, has_best = false;
  // scikit-learn's rule, where there are terms: an epoch without an improvement is one that is not
  // better than the best value so far by min_delta, and the best value is that of any epoch that
  // was better at all. The value is the sum of the terms, in their order, and the offset.
  struct Term {
    Index numerator, denominator;  // places of sums
    double scale;                  // of their ratio
  };
  std::vector<Term> terms;
  double offset = 0;

  static double ratio(std::span<const double> sums, Index numerator, Index denominator) {
    const double weight = sums[static_cast<std::size_t>(denominator)];
    if (weight == 0) return std::numeric_limits<double>::quiet_NaN();
    return sums[static_cast<std::size_t>(numerator)] / weight;
  }
  double value(std::span<const double> sums) const {
    if (terms.empty()) {
      const double found = ratio(sums, place, place + 1);
      return root ? std::sqrt(found) : found;
    }
    double found = 0;
    for (const Term& term : terms) {
      found += term.scale * ratio(sums, term.numerator, term.denominator);
    }
    return found + offset;
  }
  // Whether all that it looks at is among so many sums.
  bool fits(std::size_t width) const {
    const auto among = [&](Index at) { return at >= 0 && static_cast<std::size_t>(at) < width; };
    for (const Term& term : terms) {
      if (!among(term.numerator) || !among(term.denominator)) return false;
    }
    return among(place) && among(place + 1);
  }
  bool improves(double value, double on) const {
    if (std::isnan(value)) return false;
    if (std::isnan(on)) return true;
    const double sign = more_is_better ? -1.0 : 1.0;
    return sign * (value + sign * min_delta) < sign * on;
  }

  struct Seen {
    bool ends,
        copies;  // whether the call ends, and whether the weights are those of the best epoch
  };
  // Takes note of a finished epoch.
  Seen after(Index epoch, std::span<const double> sums) {
    if (epoch < first_epoch) return {false, false};
    const double now = value(sums);
    if (!terms.empty()) return after_any(now);
    bool copies = keeps_best && !has_best;
    has_best = true;
    ++wait;
    if (improves(now, best)) {
      best = now;
      copies = keeps_best;
      if (improves(now, baseline)) wait = 0;
      return {false, copies};
    }
    return {wait >= patience, copies};
  }
  // The same by scikit-learn's rule. Comparisons with NaN are false, as they are there.
  Seen after_any(double now) {
    const bool short_of = more_is_better ? now < best + min_delta : now > best - min_delta;
    wait = short_of ? wait + 1 : 0;
    const bool better = more_is_better ? now > best : now < best;
    if (better) best = now;
    return {wait >= patience, better && keeps_best};
  }
};

struct Watches {
  std::vector<Watch> values;
  std::optional<std::chrono::steady_clock::time_point> until;

  bool any() const { return !values.empty() || until; }
};

}  // namespace fastnn
