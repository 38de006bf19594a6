// The CPU's machine, and which session a request gets: today the plain one.
#include "cpu/session_cpu.h"

#include <cstring>
#include <utility>

#include "core/memory.h"
#include "core/session_plain.h"
#include "cpu/context.h"
#include "cpu/isa.h"

namespace fastnn {

std::unique_ptr<Session> prepare_cpu(const SessionRequest& request) {
  Machine machine{
      .table = &cpu_kernels(),
      .context = {new Context, [](Context* context) { delete context; }},
      .allocate = [](Context&, std::size_t bytes) { return allocate_zeroed(bytes); },
      .release = [](Context&, void* memory) { release_memory(memory); },
      .read = [](Context&, void* host, const void* memory,
                 std::size_t bytes) { std::memcpy(host, memory, bytes); },
  };
  return prepare_plain(std::move(machine), request);
}

Context& cpu_context() {
  thread_local Context context;
  return context;
}

}  // namespace fastnn
