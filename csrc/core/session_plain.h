// The plain session: walks the plan over a kernel table, node by node.
//
// It works for every plan, element type and backend, keeps every activation and
// every gradient, and is the reference for the sessions that are cleverer.
#pragma once

#include <memory>

#include "core/backend.h"

namespace fastnn {

// Kernels, what they run on, and its memory. On a CPU this is the host's.
struct Machine {
  const KernelTable* table;
  std::unique_ptr<Context, void (*)(Context*)> context;
  void* (*allocate)(Context&, std::size_t bytes);  // aligned to 64 bytes; null: out of memory
  void (*release)(Context&, void* memory);
  void (*read)(Context&, void* host, const void* memory, std::size_t bytes);
};

std::unique_ptr<Session> prepare_plain(Machine machine, const SessionRequest& request);

}  // namespace fastnn
