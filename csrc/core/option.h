// An option of a row of a table (an optimizer, a loss): its name, default and range. Checks,
// messages and Python's words are made from these; rows read options by their place.
#pragma once

namespace fastnn {

struct Interval {
  double low, high;
  bool open_low = false, open_high = false;

  constexpr bool has(double x) const {
    return (open_low ? x > low : x >= low) && (open_high ? x < high : x <= high);
  }
};

inline constexpr double no_bound = __builtin_inf();
inline constexpr Interval at_least_zero{0, no_bound, false, true};
inline constexpr Interval any_number{-no_bound, no_bound, true, true};
inline constexpr Interval above_zero{0, no_bound, true, true};
inline constexpr Interval unit{0, 1};
inline constexpr Interval below_one{0, 1, false, true};  // [0, 1)

struct Option {
  const char* name;
  double initial;
  Interval range;
  bool is_flag = false;  // 0 or 1
};

}  // namespace fastnn
