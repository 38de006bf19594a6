// What a backend offers: its kernels, something for them to run on, sessions.
// csrc/registry.cpp alone knows which backends there are.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/kernels.h"
#include "core/machine.h"
#include "core/session.h"
#include "core/session_lanes.h"

namespace fastnn {

struct SessionRequest {
  const Plan* plan;  // must outlive the session
  Buffers buffers;
  Index batch_size;  // rows in a training step; 0: for inference alone
  SessionKind kind = SessionKind::automatic;
  Precision precision = Precision::highest;
};

enum class Device : unsigned char { cpu, cuda };
inline constexpr const char* device_names[] = {"cpu", "cuda"};

struct Backend {
  const KernelTable* table;
  // A machine of the calling thread, for single ops.
  const Machine& (*here)();
  Machine (*make)();  // another, for one user
  std::unique_ptr<Session> (*prepare)(const SessionRequest&);
  // The session that a request gets which leaves it open: of shape, and of what the device has.
  SessionKind (*choose)(const Plan&, Index batch_size);
  // Parts in bfloat16 into which a session for training, of a kind that is not left open,
  // splits operands of products; 0: it splits none. Layers too small to gain by it
  // keep float32.
  int (*bf16_parts)(const SessionRequest&);
  Kernel<SplitProduct> split_product;  // null where there is no unit for it
  // Networks of a plan side by side, in batches of so many rows. Null where none can be, or where
  // they would be no faster than one after another.
  std::unique_ptr<LaneSession> (*prepare_lanes)(const Plan&, Index batch_size);
  bool (*takes_lanes)(const Plan&, Index batch_size);
};

// The backend of a device; the CPU's is always there. Throws std::runtime_error, with what to
// do about it, where the device or FASTNN_ISA's instruction set is not to be had.
const Backend& backend(Device device = Device::cpu);

// What is known of a device, found out by opening it.
struct DeviceReport {
  bool usable = true;
  std::string reason;  // why it is not usable, and what to do
  std::string name, capability, driver, library;
  std::size_t memory = 0;  // bytes
};
DeviceReport report_on(Device device);
// The library of others that multiplies large matrices there, or why there is none. Opens
// it, which takes longer than to open the device.
std::string products_library(Device device);

// The device that FASTNN_DEVICE asks for; the CPU where it is silent.
Device default_device();
// The one to train on where the choice is free: of shape alone, where there are both.
Device choose_device(const Plan& plan, Index batch_size);

// What limits the number of threads by default: the physical cores that this process may run on,
// the CPU time that its control groups grant, and the first number of OMP_NUM_THREADS and of
// OMP_THREAD_LIMIT. Limits that are not set are left out, and so are values that OpenMP does not
// know. `root` stands before the paths of files about control groups, for tests.
struct ThreadLimit {
  std::string name;
  double most;
};
std::vector<ThreadLimit> thread_limits(const std::string& root = "");

// Threads that a kernel may use: at first FASTNN_NUM_THREADS, else the least of thread_limits().
int num_threads();
void set_num_threads(int n);
// Ends them; the next call that has use for several starts them again.
void stop_workers();

// Names of the kernel tables of the CPU, least capable first.
std::vector<std::string> isas_built();
std::vector<std::string> isas_supported();

}  // namespace fastnn
