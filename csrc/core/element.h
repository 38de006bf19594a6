// Elements of the caller's arrays, for all element types: conversion to a number, and the test for
// unexpected values.
#pragma once

#include "core/kernels.h"
#include "core/math.h"
#include "core/target.h"

namespace fastnn::FASTNN_TARGET {

template <class Pointer>
struct PointeeOf;
template <class U>
struct PointeeOf<const U*> {
  using Type = U;
};
template <class Pointer>
using Pointee = typename PointeeOf<Pointer>::Type;

// Calls f with a null pointer to the type of an element.
template <class F>
FASTNN_INLINE auto with_element(Element element, F&& f) {
  switch (element) {
#define FASTNN_USE(name, type) \
  case Element::name:          \
    return f(static_cast<const type*>(nullptr));
    FASTNN_ELEMENTS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// The same for numbers of sparse rows, which are float or double.
template <class F>
FASTNN_INLINE auto with_floats(Element element, F&& f) {
  return element == Element::f64 ? f(static_cast<const double*>(nullptr))
                                 : f(static_cast<const float*>(nullptr));
}

template <class Type>
inline constexpr bool whole_numbers = true;
template <>
inline constexpr bool whole_numbers<Half> = false;
template <>
inline constexpr bool whole_numbers<float> = false;
template <>
inline constexpr bool whole_numbers<double> = false;

template <class To, class From>
FASTNN_INLINE To convert(From x) {
  return static_cast<To>(x);
}

// IEEE binary16: the exponent and the fraction are moved into place. A multiplication corrects
// subnormal numbers; infinities and NaN are set separately.
template <class To>
FASTNN_INLINE To convert(Half x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000U) << 16U;
  const uint32_t rest = static_cast<uint32_t>(x.bits & 0x7FFFU) << 13U;
  const float scaled = __builtin_bit_cast(float, rest) * 0x1p112F;
  const uint32_t special = __builtin_bit_cast(uint32_t, scaled) | 0x7F800000U;
  const uint32_t magnitude =
      rest >= 0x0F800000U ? special | rest : __builtin_bit_cast(uint32_t, scaled);
  return static_cast<To>(__builtin_bit_cast(float, magnitude | sign));
}

// Tests whether an element is unexpected. `of_whole_numbers`: whether integers are tested too.
struct NotFinite {
  static constexpr bool of_whole_numbers = false;  // integers are finite, as floats too
  template <class From>
  FASTNN_INLINE bool operator()(From x) const {
    return !is_finite(x);
  }
  FASTNN_INLINE bool operator()(Half x) const { return (x.bits & 0x7C00U) == 0x7C00U; }
};

struct NotFiniteFloat : NotFinite {
  using NotFinite::operator();
  FASTNN_INLINE bool operator()(double x) const { return !is_finite(static_cast<float>(x)); }
};

struct Infinite {
  static constexpr bool of_whole_numbers = false;
  template <class From>
  FASTNN_INLINE bool operator()(From x) const {
    return (x == x) & !is_finite(x);
  }
  FASTNN_INLINE bool operator()(Half x) const { return (x.bits & 0x7FFFU) == 0x7C00U; }
};

struct InfiniteFloat : Infinite {
  using Infinite::operator();
  FASTNN_INLINE bool operator()(double x) const {
    return (x == x) & !is_finite(static_cast<float>(x));
  }
};

struct BeyondUnit {
  static constexpr bool of_whole_numbers = true;
  template <class From>
  FASTNN_INLINE bool operator()(From x) const {
    return beyond(convert<float>(x));
  }
  FASTNN_INLINE bool operator()(double x) const { return beyond(x); }

 private:
  template <class T>
  static FASTNN_INLINE bool beyond(T x) {
    return (x < T(0)) | (x > T(1));
  }
};

// Calls f with the test for elements that are not as expected.
template <class F>
FASTNN_INLINE auto with_expected(Expected expected, F&& f) {
  switch (expected) {
    case Expected::finite:
      return f(NotFinite{});
    case Expected::finite_float:
      return f(NotFiniteFloat{});
    case Expected::bounded:
      return f(Infinite{});
    case Expected::bounded_float:
      return f(InfiniteFloat{});
    case Expected::unit_or_missing:
      return f(BeyondUnit{});
  }
  __builtin_unreachable();
}

}  // namespace fastnn::FASTNN_TARGET
