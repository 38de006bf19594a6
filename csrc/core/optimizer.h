// The table of optimizers: one row, one struct (optimizer_rules.h), for every target. The update
// stage (updates.h) calls rows; clipping, penalties and averages of weights are its business, not
// theirs.
//
// To add one: a struct there with its formula, and its line in FASTNN_OPTIMIZERS here.
#pragma once

#include <stdint.h>

#include "core/optimizer_rules.h"
#include "core/optimizer_whole.h"
#include "core/target.h"

#define FASTNN_OPTIMIZERS(use) \
  use(sgd, Sgd)                \
  use(adam, Adam)              \
  use(rmsprop, RmsProp)        \
  use(lion, Lion)              \
  use(amsgrad, AmsGrad)        \
  use(adamax, Adamax)          \
  use(nadam, Nadam)            \
  use(adagrad, Adagrad)        \
  use(adadelta, Adadelta)      \
  use(lamb, Lamb)              \
  use(muon, Muon)

namespace fastnn {

#define FASTNN_USE(name, type) name,
enum class OptimizerKind : unsigned char { FASTNN_OPTIMIZERS(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name, type) #name,
inline constexpr const char* optimizer_names[] = {FASTNN_OPTIMIZERS(FASTNN_USE)};
#undef FASTNN_USE

// The rates of a row without its type, for what only carries them.
template <class T>
struct AnyRates {
  T value[most_rates];
};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

// Which slots a step reads and writes, as bits.
template <unsigned bits>
struct SlotsInUse {
  static constexpr bool has(int slot) { return (bits >> static_cast<unsigned>(slot) & 1U) != 0; }
};

// Calls f(Sgd{}) and so on for the optimizer at hand.
template <class F>
FASTNN_INLINE auto with_optimizer(OptimizerKind kind, F&& f) {
  switch (kind) {
#define FASTNN_USE(name, type) \
  case OptimizerKind::name:    \
    return f(type{});
    FASTNN_OPTIMIZERS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// Calls f(SlotsInUse<bits>{}) for the slots that a row has in use, from its list of variants.
template <class Rule, unsigned index = 0, class F>
FASTNN_INLINE auto with_kept(unsigned bits, F&& f) {
  constexpr unsigned count = sizeof(Rule::variants) / sizeof(unsigned);
  constexpr unsigned variant = Rule::variants[index];
  if constexpr (index + 1 == count) {
    return f(SlotsInUse<variant>{});
  } else {
    if (bits == variant) return f(SlotsInUse<variant>{});
    return with_kept<Rule, index + 1>(bits, f);
  }
}

// The rates of one step of a row, as what carries them holds them.
template <class T>
FASTNN_INLINE AnyRates<T> rates_of(OptimizerKind kind, const OptimizerSettings& settings,
                                   uint64_t step) {
  return with_optimizer(kind, [&](auto rule) {
    using Rates = typename decltype(rule)::template Rates<T>;
    static_assert(sizeof(Rates) <= sizeof(AnyRates<T>));
    const Rates rates = decltype(rule)::template rates<T>(settings, step);
    AnyRates<T> any{};
    __builtin_memcpy(&any, &rates, sizeof rates);
    return any;
  });
}

template <class Rule, class T>
FASTNN_INLINE typename Rule::template Rates<T> rates_from(const AnyRates<T>& any) {
  typename Rule::template Rates<T> rates;
  __builtin_memcpy(&rates, &any, sizeof rates);
  return rates;
}

// Slots that an optimizer has in use, as bits, and how many it may have.
FASTNN_INLINE unsigned kept_slots(OptimizerKind kind, const OptimizerSettings& settings) {
  return with_optimizer(kind, [&](auto rule) { return decltype(rule)::kept(settings.own); });
}
// Whether a step needs the whole gradient of a parameter (whole_steps.h).
FASTNN_INLINE bool steps_whole(OptimizerKind kind) {
  return with_optimizer(kind, [](auto rule) { return requires { decltype(rule)::whole; }; });
}
FASTNN_INLINE int slot_count(OptimizerKind kind) {
  return with_optimizer(kind, [](auto rule) { return decltype(rule)::slots; });
}

}  // namespace fastnn::FASTNN_TARGET
