// The one file that names the backends.
#include <cstdlib>
#include <string_view>

#include "core/backend.h"
#include "core/check.h"
#include "cpu/isa.h"
#include "cpu/session_cpu.h"
#include "cpu/session_lanes.h"
#include "cpu/split_product.h"
#include "cuda/host/cublas.h"
#include "cuda/host/library.h"
#include "cuda/host/session_cuda.h"

namespace fastnn {
namespace {

const Backend& cpu() {
  static const Backend backend{&cpu_kernels(),      cpu_here,           cpu_make,
                               prepare_cpu,         choose_cpu_session, cpu_bf16_parts,
                               cpu_split_product(), prepare_cpu_lanes,  cpu_takes_lanes};
  return backend;
}

const Backend& cuda() {
  static const Backend backend{cuda_library().table,
                               cuda_here,
                               cuda_machine,
                               prepare_cuda,
                               choose_cuda_session,
                               cuda_bf16_parts,
                               nullptr,
                               [](const Plan&, Index) { return std::unique_ptr<LaneSession>(); },
                               [](const Plan&, Index) { return false; }};
  static_cast<void>(cuda_library());  // which may be lost since
  return backend;
}

}  // namespace

const Backend& backend(Device device) { return device == Device::cuda ? cuda() : cpu(); }

DeviceReport report_on(Device device) {
  DeviceReport report;
  if (device == Device::cpu) {
    report.name = cpu().table->name;
    return report;
  }
  const CudaState state = cuda_state();
  report.usable = state.usable;
  report.reason = state.reason;
  report.name = state.device.name;
  report.capability = message(state.device.major, ".", state.device.minor);
  report.driver = message(state.device.driver / 1000, ".", state.device.driver % 1000 / 10);
  report.library = state.kind;
  report.memory = state.device.memory;
  return report;
}

std::string products_library(Device device) {
  if (device == Device::cpu) return "none: the CPU's products are of its own kernels";
  return cuda_state().usable ? cublas::library().about : "CUDA cannot be used";
}

Device default_device() {
  const char* const asked = std::getenv("FASTNN_DEVICE");
  return asked != nullptr && std::string_view(asked) == "cuda" ? Device::cuda : Device::cpu;
}

Device choose_device(const Plan& plan, Index batch_size) {
  // With less in a step a GPU's launches take longer than a CPU's arithmetic.
  constexpr double enough = 1e6;
  const bool worth_it = plan.operations(batch_size) >= enough;
  return worth_it && cuda_state().usable ? Device::cuda : Device::cpu;
}

}  // namespace fastnn
