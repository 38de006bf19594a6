// What a backend offers: its kernels, something for them to run on, sessions.
// csrc/registry.cpp alone knows which backends there are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/kernels.h"
#include "core/session.h"

namespace fastnn {

template <class T>
const Kernels<T>& kernels(const KernelTable& table);
template <>
inline const Kernels<float>& kernels<float>(const KernelTable& table) {
  return table.f32;
}
template <>
inline const Kernels<double>& kernels<double>(const KernelTable& table) {
  return table.f64;
}

struct SessionRequest {
  const Plan* plan;  // must outlive the session
  Buffers buffers;
  Index batch_size;  // rows in a training step; 0: for inference alone
  SessionKind kind = SessionKind::automatic;
  Precision precision = Precision::highest;
};

struct Backend {
  const KernelTable* table;
  // A context of the calling thread, for single ops.
  Context& (*context)();
  std::unique_ptr<Session> (*prepare)(const SessionRequest&);
  // The session that a request gets which leaves it open: of shape alone.
  SessionKind (*choose)(const Plan&, Index batch_size);
  // Parts in bfloat16 into which a session for training, of a kind that is not left open,
  // splits operands of products; 0: it splits none. Layers too small to gain by it
  // keep float32.
  int (*planes)(const SessionRequest&);
  Kernel<SplitProduct> split_product;  // null where there is no unit for it
};

// The backend in use. Throws where FASTNN_ISA or FASTNN_DEVICE ask for what is not to be had.
const Backend& backend();

// Threads that a kernel may use: at first the physical cores that this process may
// run on, or FASTNN_NUM_THREADS.
int num_threads();
void set_num_threads(int n);
// Ends them; the next call that has use for several starts them again.
void stop_workers();

// Names of the kernel tables of the CPU, least capable first.
std::vector<std::string> isas_built();
std::vector<std::string> isas_supported();

}  // namespace fastnn
