// The list of combinations of tensors of one shape, element by element, and the one switch over it.
//
// To add one: a struct here with its formulas, a line in FASTNN_COMBINATIONS, and its reference in
// tests/reference.py; the graph has a method of its name then.
//
// Each struct has
//   join(a, b)       the combination of the first operands, with the next one
//   finish(y, count) what is made of all of them; only where `finishes`
//   slope            how the gradient of an operand follows from dy:
//     scaled         dx = dy * factor(index, count)
//     others         dx = dy times every other operand
//     shared         dx = dy * share(x, y, ties): the operands that equal y share it
#pragma once

#include "core/math.h"
#include "core/target.h"

#define FASTNN_COMBINATIONS(use) \
  use(add, Added)                \
  use(subtract, Subtracted)      \
  use(multiply, Multiplied)      \
  use(average, Averaged)         \
  use(maximum, Largest)          \
  use(minimum, Smallest)

namespace fastnn {

enum class Combination : unsigned char {
#define FASTNN_USE(name, type) name,
  FASTNN_COMBINATIONS(FASTNN_USE)
#undef FASTNN_USE
};

inline constexpr const char* combination_names[] = {
#define FASTNN_USE(name, type) #name,
    FASTNN_COMBINATIONS(FASTNN_USE)
#undef FASTNN_USE
};

// Operands that one kernel takes.
inline constexpr int most_operands = 64;

enum class OperandSlope : unsigned char { scaled, others, shared };

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

struct Added {
  static constexpr bool finishes = false;
  static constexpr OperandSlope slope = OperandSlope::scaled;
  template <class T>
  static FASTNN_INLINE T join(T a, T b) {
    return a + b;
  }
  template <class T>
  static FASTNN_INLINE T factor(int, int) {
    return T(1);
  }
};

struct Subtracted {
  static constexpr bool finishes = false;
  static constexpr OperandSlope slope = OperandSlope::scaled;
  template <class T>
  static FASTNN_INLINE T join(T a, T b) {
    return a - b;
  }
  template <class T>
  static FASTNN_INLINE T factor(int index, int) {
    return index == 0 ? T(1) : T(-1);
  }
};

struct Multiplied {
  static constexpr bool finishes = false;
  static constexpr OperandSlope slope = OperandSlope::others;
  template <class T>
  static FASTNN_INLINE T join(T a, T b) {
    return a * b;
  }
};

struct Averaged {
  static constexpr bool finishes = true;
  static constexpr OperandSlope slope = OperandSlope::scaled;
  template <class T>
  static FASTNN_INLINE T join(T a, T b) {
    return a + b;
  }
  template <class T>
  static FASTNN_INLINE T finish(T y, int count) {
    return y / static_cast<T>(count);
  }
  template <class T>
  static FASTNN_INLINE T factor(int, int count) {
    return T(1) / static_cast<T>(count);
  }
};

// The gradient of an extreme goes to the operands that are equal to it, in equal shares; NaN has a
// slope of NaN, as relu has.
struct Extreme {
  static constexpr bool finishes = false;
  static constexpr OperandSlope slope = OperandSlope::shared;
  template <class T>
  static FASTNN_INLINE T share(T x, T y, T ties) {
    const T own = x == y ? T(1) / ties : T(0);
    return y == y ? own : y;
  }
};

struct Largest : Extreme {
  template <class T>
  static FASTNN_INLINE T join(T a, T b) {
    return ((a > b) | (a != a)) ? a : b;
  }
};

struct Smallest : Extreme {
  template <class T>
  static FASTNN_INLINE T join(T a, T b) {
    return ((a < b) | (a != a)) ? a : b;
  }
};

// Calls f(Added{}), f(Subtracted{}) and so on for the combination at hand.
template <class F>
FASTNN_INLINE auto with_combination(Combination combination, F&& f) {
  switch (combination) {
#define FASTNN_USE(name, type) \
  case Combination::name:      \
    return f(type{});
    FASTNN_COMBINATIONS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

}  // namespace fastnn::FASTNN_TARGET
