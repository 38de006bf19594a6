// A run of training steps in one launch of one block: what the kernel `resident` is told.
//
// Parameters, the optimizer's state and all of a batch lie in the memory that the block
// shares; offsets there count in floats from its beginning. session_resident.cpp
// lays it out.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/kernels.h"

namespace fastnn {

struct Progress;

struct Resident {
  static constexpr int most_layers = 6;
  static constexpr int most_items = 5;    // the loss, and metrics
  static constexpr int rate_steps = 128;  // whose rates are worked out together
  static constexpr int row_multiple = 4;  // there is room for a multiple of so many rows
  static constexpr size_t most_bytes = size_t{227} << 10U;

  // Rows begin `at`, `stride` apart. The two fill a word that no address could be taken
  // for, as the emulator does with any of a kernel's arguments.
  struct alignas(8) SharedBlock {
    int at, stride;
  };

  // y = activation(x w + b). Rows of x have one more column, of ones, and zeros up to a
  // multiple of four; w has as many rows, the first after its own being b (or zeros).
  struct Layer {
    int i, o;
    int size;  // of w and b
    Activation activation;
    bool has_bias, trains_kernel, trains_bias;
    Index kernel, bias;  // in the parameter buffer
    SharedBlock x;       // of the first layer it counts from the batch's own place
    SharedBlock w;       // of odd stride: neither rows nor columns meet in one bank
    SharedBlock y;       // the x of the next
    SharedBlock z;       // at 0: not kept
    SharedBlock dz;
  };

  // Arrays come last: behind them GCC 12 mistakes values for padding, which the emulator
  // has it clear.

  // Steps first..first+steps of an epoch of `count` rows, `rows` of them a step. The
  // row at a place in the epoch is order[place] or, without order, the place itself.
  Index rows, count, first, steps;
  const Index* order;
  ArrayView x, targets;  // rows are packed; no targets: labels
  const int32_t* labels;
  const double* row_weights;      // may be null
  const double* element_weights;  // (rows, targets of a row) in place of those, may be null
  int targets_of_row;
  float input_scale, input_offset;

  LossKind loss;
  bool by_element;
  double loss_options[max_loss_options];
  double row_weight;  // see Epoch
  int32_t ignore_class;
  bool ignores;
  const float* column_weights;  // may be null

  OptimizerKind optimizer;
  OptimizerSettings settings;
  const double* learning_rates;  // of the steps; null: that of the settings
  uint64_t updates;              // before the first step
  float* parameters;

  // (32, 2 * items): sum and weight of each over the steps that were made, by the lane that
  // added them up. Those of the run before, where this one continues it.
  double* sums;
  bool continues;
  Progress* progress;        // which step, counted from 0, had a bad loss: its update was not made
  float* state[rule_slots];  // null: not in use

  int layers;
  int items;  // 1 + metrics
  Layer layer[most_layers];

  // What comes with rows besides x, which begins it; twice, `stride` apart, for this step
  // and the next.
  struct Batch {
    SharedBlock targets;
    SharedBlock labels;   // int32_t
    SharedBlock weights;  // 0 for the ignored class
    SharedBlock present;  // 1, or 0 for that
    SharedBlock numbers;  // Index: of rows in the caller's arrays
    Index stride;
  };
  Batch batch;

  SharedBlock weights;               // those of all layers; the stride is 0
  SharedBlock state_of[rule_slots];  // as they are laid out
  SharedBlock column_weight;         // at 0: none
  SharedBlock row_losses;            // double
  SharedBlock rates;                 // AnyRates<float> of rate_steps steps
  SharedBlock totals;                // double: sum and weight of each item, for each lane of a warp
  SharedBlock scale;                 // what gradients are multiplied by
  SharedBlock stop;                  // int: whether a loss is bad
  Index floats;                      // that all these take

  struct Metrics {
    MetricKind kind[most_items - 1];
    LossKind loss[most_items - 1];  // of mean_of: an element loss
    double options[most_items - 1][max_loss_options];
    bool weighted[most_items - 1];
    SharedBlock output[most_items - 1];  // of the rows that it reads
    double value[most_items - 1];
  };
  Metrics metrics;
};

}  // namespace fastnn
