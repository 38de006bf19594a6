// The CPU's machine, and which session a request gets.
#include "cpu/session_cpu.h"

#include <cstring>
#include <utility>

#include "core/check.h"
#include "core/memory.h"
#include "core/session_plain.h"
#include "cpu/bf16_dense.h"
#include "cpu/context.h"
#include "cpu/isa.h"
#include "cpu/session_tiled.h"

namespace fastnn {
namespace {

Machine make_machine(bool alone) {
  return {
      .table = &cpu_kernels(),
      .context = {new Context(alone), [](Context* context) { delete context; }},
      .allocate = [](Context&, std::size_t bytes) { return allocate_zeroed(bytes); },
      .reserve = [](Context&, std::size_t bytes) { return allocate_zeroed(bytes); },
      .release = [](Context&, void* memory) { release_memory(memory); },
      .read = [](Context&, void* host, const void* memory,
                 std::size_t bytes) { std::memcpy(host, memory, bytes); },
      .write = [](Context&, void* memory, const void* host,
                  std::size_t bytes) { std::memcpy(memory, host, bytes); },
      .must = must,
      .order = nullptr,
      .encoded_dense = cpu_table().encoded_dense,
  };
}

// Products in bfloat16, where the request asks for them and there is a unit.
MakeProducts make_products(const SessionRequest& request) {
  const int bf16_parts = cpu_bf16_parts(request);
  if (bf16_parts == 0) return {};
  // Walks of one session share the weights, which the first of them makes. Walks alone
  // keep them: they lie in memory of a machine that this function may outlive.
  auto shared = std::make_shared<std::weak_ptr<Bf16Weights>>();
  return [shared, bf16_parts, request](const Machine& machine, Memory& memory, Index rows) {
    const Plan& plan = *request.plan;
    std::shared_ptr<Bf16Weights> weights = shared->lock();
    if (!weights) {
      weights =
          std::make_shared<Bf16Weights>(cpu_table(), machine, plan, bf16_parts, rows,
                                        static_cast<const float*>(request.buffers.parameters));
      *shared = weights;
    }
    return std::make_unique<Bf16Dense>(cpu_table(), machine, memory, plan, std::move(weights),
                                       rows);
  };
}

}  // namespace

int cpu_bf16_parts(const SessionRequest& request) {
  const int bf16_parts = request.precision == Precision::medium ? 1
                         : request.precision == Precision::high ? 2
                                                                : 0;
  // A split that is slower than float32 is of no use: float32 is the more exact.
  if (bf16_parts > cpu_table().bf16_parts || request.plan->element != Element::f32) return 0;
  const bool tiled = request.kind == SessionKind::tiled;
  return bf16_serves(*request.plan, tiled ? tile_rows : request.batch_size) ? bf16_parts : 0;
}

SessionKind choose_cpu_session(const Plan& plan, Index batch_size) {
  if (batch_size == 0 || plan.update.needs_whole()) return SessionKind::plain;
  Index widths = 0;
  for (const TensorShape& tensor : plan.tensors) widths += tensor.width;
  // Activations and their gradients that leave the second cache, and a model that
  // does not: tile by tile the first stay, and its gradient is added up there.
  constexpr Index cached = Index{1} << 18;  // numbers
  constexpr Index small = Index{1} << 16;
  if (is_row_local(plan) && batch_size >= 2 * tile_rows && widths > cached / 2 / batch_size &&
      plan.parameter_size <= small) {
    return SessionKind::tiled;
  }
  // Where all gradients stay in the second cache: the optimizer is one loop over all
  // parameters, and products are cut for threads as they like best.
  constexpr Index few = Index{1} << 18;
  return plan.parameter_size <= few ? SessionKind::plain : SessionKind::streaming;
}

std::unique_ptr<Session> prepare_cpu(const SessionRequest& given) {
  SessionRequest request = given;
  if (request.kind == SessionKind::automatic || request.batch_size == 0) {
    request.kind = choose_cpu_session(*request.plan, request.batch_size);
  }
  check(request.kind <= SessionKind::tiled, "session: a CPU has no session '",
        session_names[static_cast<std::size_t>(request.kind)],
        "'; expected 'auto', 'plain', "
        "'streaming' or 'tiled'");
  check(request.kind == SessionKind::plain || !request.plan->update.needs_whole(), "session: '",
        session_names[static_cast<std::size_t>(request.kind)],
        "' steps before all gradients are there, which ", request.plan->update.whole_for(),
        " needs; expected 'auto' or 'plain'");
  check(request.kind != SessionKind::tiled || is_row_local(*request.plan),
        "session: 'tiled' cannot train this model, some of whose layers work on whole batches; "
        "expected 'auto' or 'plain'");
  if (request.kind == SessionKind::tiled) {
    return prepare_tiled(request, make_machine, make_products(request));
  }
  return prepare_plain(make_machine(false), request, request.kind == SessionKind::streaming,
                       make_products(request));
}

Machine cpu_make() { return make_machine(false); }

const Machine& cpu_here() {
  thread_local const Machine machine = make_machine(false);
  return machine;
}

}  // namespace fastnn
