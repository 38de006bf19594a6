// The way from _core to _cuda, which is opened when the device is first asked for.
#pragma once

#include <memory>
#include <string>

#include "core/machine.h"
#include "cuda/abi.h"

namespace fastnn {

// Whether the device can be used, and if not, why and what to do. Opens the library.
struct CudaState {
  bool usable = false;
  std::string reason;  // where it is not usable
  DeviceInfo device{};
  std::string kind;  // of the library
};
CudaState cuda_state();

// The library, the same one from its first use on. Throws std::runtime_error with the reason where
// the device cannot be used.
const CudaLibrary& cuda_library();

// Throws what a status says; nothing where it is ok.
void cuda_must(Status status);

// A machine on the device, with a context of its own.
Machine cuda_machine();

// Waits until all work of the context is done.
void cuda_wait(Context& context);

// Nothing in a child that a fork made, where there is no device to give it back to.
void cuda_release(CudaGraph* graph);

}  // namespace fastnn
