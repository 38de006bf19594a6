// The list of optimizers and what each is told at every step. The formulas are
// in math.h.
#pragma once

#define FASTNN_OPTIMIZERS(use) \
  use(sgd)                     \
  use(adam)

namespace fastnn {

#define FASTNN_USE(name) name,
enum class OptimizerKind : unsigned char { FASTNN_OPTIMIZERS(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name) #name,
inline constexpr const char* optimizer_names[] = {FASTNN_OPTIMIZERS(FASTNN_USE)};
#undef FASTNN_USE

// May change from one step to the next; each optimizer reads what it knows.
struct OptimizerSettings {
  double learning_rate = 1e-3;
  double weight_decay = 0;
  double momentum = 0;
  bool nesterov = false;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-7;
};

// What all elements of one step share, worked out of the settings in math.h.
template <class T>
struct SgdRates {
  T learning_rate;
  T momentum;
  T decay;  // learning_rate * weight_decay
};

// The rates of one step, with what corrects the moments' bias in them, as at the
// end of section 2 of the paper: c_1 = 1 - beta_1^step, c_2 = 1 - beta_2^step.
template <class T>
struct AdamRates {
  T beta_1, beta_2;
  T rest_1, rest_2;  // 1 - beta, rounded once
  T scale;           // learning_rate sqrt(c_2) / c_1
  T epsilon;         // times sqrt(c_2): it is added to the root of the corrected moment
  T decay;           // learning_rate * weight_decay
};

// Buffers as long as the parameters that the optimizer keeps: velocity; m and v.
constexpr int slot_count(OptimizerKind kind) { return kind == OptimizerKind::adam ? 2 : 1; }

}  // namespace fastnn
