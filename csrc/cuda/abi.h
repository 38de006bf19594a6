// What _cuda offers to _core: one symbol, a table of plain functions on plain data.
//
// The two are separate shared objects, so that _core never links CUDA. They are
// built from one tree; the version and the layout tell where they were not. No
// exception crosses. Memory of the device is named by its address there, which
// the host never dereferences.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/encoded_dense.h"
#include "core/kernels.h"
#include "cuda/resident.h"

namespace fastnn {

inline constexpr uint32_t cuda_abi_version = 6;

// What differs between one step of a recorded graph and the next: kernels read it from
// the memory of the device, so that one graph serves a whole training.
struct StepValues {
  Index first;    // of the batch's rows, in the epoch's order
  uint64_t life;  // steps in the life of the model, which random numbers count
  Index number;   // of this step in the run
  // What all elements of an update share, by group of parameters.
  struct Group {
    AnyRates<float> rates;
    float average_momentum;
  };
  Group group[max_groups_of_parameters];
};

// How far the steps of a run came.
struct Progress {
  Index stopped;    // the number of the first whose loss was bad; -1: none was
  double bad_loss;  // that loss
};

// What kernels take from the device's memory, in place of their arguments, while it is set:
// `gather` and `gather_labels` where their rows begin, in rows.order where there is one;
// `dropout` its step; `optimizer_step` in float the rates, and whether there is a step at all.
struct StepPlace {
  const StepValues* values = nullptr;
  const Progress* progress = nullptr;
};

// The end of a step's forward pass: adds what kernels summed by row group to totals, the
// loss first, and where that is NaN or infinite writes it down as progress and adds nothing,
// then nor later.
struct Collect {
  static constexpr int most = 32;
  struct Item {
    const double* sums;  // (groups, width)
    Index width;
  };
  Index n;  // rows
  int count;
  Item items[most];
  const double* penalty = nullptr;  // its sum is added to the mean loss; null: none
  Index penalty_sums = 0;
  // What gradients are divided by, where the loss is the mean of batches by rows (updates.h); else
  // 0.
  double divisor = 0;
  double* totals;  // of all items, one behind the other
  const StepValues* values;
  Progress* progress;
};

// What is made of a product that another library left as it is: y = activation(x + b) or,
// going back, y = x activation'(slope_of); of that its columns' sums, and parts in bfloat16,
// whose sum it is but for what they cannot hold.
struct Finish {
  static constexpr int most_parts = 2;
  Index n, c;
  const float* x;  // (n, c); null: x_bf16
  Activation activation = {};
  const float* b = nullptr;         // (c), may be null; not with slope_of
  const float* slope_of = nullptr;  // (n, c): y or z, as the activation's slope needs
  const uint16_t* x_bf16 = nullptr;
  const uint16_t* slope_of_bf16 = nullptr;  // in place of slope_of
  float* z = nullptr;                       // x + b; may be null, may be x
  float* y = nullptr;                       // may be null, may be x
  float* sums = nullptr;                    // (c), may be null; only with a slope
  int parts = 0;
  uint16_t* part[most_parts] = {};  // (n, c) each
};

struct DeviceInfo {
  char name[256];
  int major, minor;  // of its compute capability
  int multiprocessors;
  size_t memory, shared_memory;  // in bytes: in all; at most of one block
  int driver, runtime;           // versions, as CUDA counts them: 13000 is 13.0
};

struct CudaGraph;

struct CudaLibrary {
  uint32_t version;  // of this struct and of what it says
  uint64_t layout;   // see cuda_layout below
  const char* kind;  // "CUDA 13.0", "emulated"
  const KernelTable* table;
  const EncodedDense* encoded_dense;

  // Returns the message of this thread's last call that failed; never null.
  const char* (*last_error)();
  Status (*open)(DeviceInfo*);  // failed: there is no device that could be used

  Context* (*make_context)();  // null: failed
  void (*end_context)(Context*);
  // How exact float32 products must be, from now on; one of Precision.
  void (*set_precision)(Context*, int precision);
  // Parts in bfloat16 into which that splits the operands of a product (m, k) (k, n), of
  // shape alone; 0: none.
  int (*bf16_parts)(int precision, Index m, Index n, Index k);
  void (*set_step)(Context*, StepPlace);
  Status (*collect)(Context*, const Collect*);
  Status (*finish)(Context*, const Finish*);
  Status (*resident)(Context*, const Resident*);

  // Memory of the device, not cleared; null: there is not so much. On release its
  // users must be done.
  void* (*allocate)(Context*, size_t bytes);
  void (*release)(Context*, void* memory);
  // In the order of the context's other work. `read` waits until it is done, `write`
  // until `host` may change.
  Status (*write)(Context*, void* memory, const void* host, size_t bytes);
  Status (*read)(Context*, void* host, const void* memory, size_t bytes);
  Status (*copy)(Context*, void* to, const void* from, size_t bytes);
  Status (*clear)(Context*, void* memory, size_t bytes);
  Status (*wait)(Context*);   // until all is done
  void* (*stream)(Context*);  // a cudaStream_t
  // Work of the context from now on waits for what was given to another stream so far
  // and the other way round. Where one of the two is recorded the other is from then on, in
  // the same graph; it must be waited for before that ends.
  Status (*wait_for)(Context*, void* stream);
  Status (*let_wait)(Context*, void* stream);

  // Between the two, kernels are recorded and not run; memory must be there before.
  Status (*begin_graph)(Context*);
  CudaGraph* (*end_graph)(Context*);  // null: failed
  Status (*launch_graph)(Context*, CudaGraph*);
  void (*release_graph)(CudaGraph*);
};

// Differs where the two objects were compiled from other declarations.
constexpr uint64_t cuda_layout() {
  constexpr size_t sizes[] = {
      sizeof(CudaLibrary), sizeof(StepValues), sizeof(DeviceInfo), sizeof(Progress),
      sizeof(Collect),     sizeof(Finish),     sizeof(Resident),   sizeof(EncodedDense),
  };
  uint64_t sum = cuda_abi_version * 1000003U + layout_of_kernels();
  for (const size_t size : sizes) sum = sum * 1000003U + size;
  return sum;
}

}  // namespace fastnn

// The table, which lives as long as the object is loaded.
extern "C" __attribute__((visibility("default"))) const fastnn::CudaLibrary* fastnn_cuda_library();
