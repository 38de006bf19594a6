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

// Buffers as long as the parameters that the optimizer keeps: velocity; m and v.
constexpr int slot_count(OptimizerKind kind) { return kind == OptimizerKind::adam ? 2 : 1; }

}  // namespace fastnn
