#include "cuda/emulated/fibers.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <vector>

#include "cuda/emulated/races.h"

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace fastnn::emulated {

namespace {

constexpr int lanes = 32;
constexpr int most_threads = 1024;
constexpr std::size_t stack_bytes = std::size_t{128} << 10U;

// -- switching stacks -------------------------------------------------------

#if defined(__x86_64__)

// Saves the registers that a call preserves on this stack, stores the stack's top in *from, and
// continues on the stack `to`.
extern "C" void fastnn_switch_stack(void** from, void* to);
asm(R"(
.text
.type fastnn_switch_stack, @function
fastnn_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fastnn_switch_stack, .-fastnn_switch_stack
)");

struct SavedContext {
  void* top = nullptr;

  void prepare(char* stack, void (*entry)()) {
    auto* words = reinterpret_cast<void**>(stack + stack_bytes);
    *--words = nullptr;  // at entry the stack is 16 bytes off a multiple, as after a call
    *--words = reinterpret_cast<void*>(entry);
    for (int saved = 0; saved < 6; ++saved) *--words = nullptr;
    top = words;
  }
  void go_to(SavedContext& to) { fastnn_switch_stack(&top, to.top); }
};

#else

struct SavedContext {
  ucontext_t context;

  void prepare(char* stack, void (*entry)()) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = stack_bytes;
    context.uc_link = nullptr;
    makecontext(&context, entry, 0);
  }
  void go_to(SavedContext& to) { swapcontext(&context, &to.context); }
};

#endif

enum class State : unsigned char { ready, at_block, at_warp, done };

struct Given {
  alignas(16) unsigned char bytes[64];
};

}  // namespace

struct Runner : Fiber {
  SavedContext place;
  std::unique_ptr<char[]> stack;
  State state = State::done;
  unsigned turn = 0;                         // of exchanges: which of the two rooms is used
  unsigned barriers = 0, warp_barriers = 0;  // that the fiber has reached
  void* fake_stack = nullptr;
};

struct Block {
  const Launch* launch = nullptr;
  Index number = 0;
  void* shared = nullptr;
  std::vector<Runner> runners;
  std::vector<Given> given[2];  // by thread, in turn
  bool last = false;            // of the launch's blocks
  Watch watch;
  Runner* running = nullptr;
  SavedContext scheduler;
  const void* scheduler_stack = nullptr;
  std::size_t scheduler_stack_bytes = 0;
};

namespace {

thread_local Block* current = nullptr;  // only for a fiber's entry

void leave([[maybe_unused]] Runner& runner, [[maybe_unused]] bool for_good) {
  Block& block = *runner.block;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &runner.fake_stack, block.scheduler_stack,
                                 block.scheduler_stack_bytes);
#endif
  runner.place.go_to(block.scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(runner.fake_stack, &block.scheduler_stack,
                                  &block.scheduler_stack_bytes);
#endif
}

void enter() {
  Block& block = *current;
  Runner& runner = *block.running;
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &block.scheduler_stack, &block.scheduler_stack_bytes);
#endif
  block.launch->body(block.launch->kernel, runner);
  runner.state = State::done;
  leave(runner, true);
  std::abort();  // a finished fiber is never resumed
}

void go_on(Block& block, Runner& runner) {
  block.running = &runner;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, runner.stack.get(), stack_bytes);
#endif
  block.watch.resume(runner.index, runner.barriers, runner.warp_barriers, runner.stack.get(),
                     stack_bytes);
  block.scheduler.go_to(runner.place);
  block.watch.pause();
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

// Ends the running fiber where it is.
void give_up() { leave(*current->running, true); }

void wait(Fiber& fiber, State state) {
  auto& runner = static_cast<Runner&>(fiber);
  runner.state = state;
  leave(runner, false);
}

// A generator for orders; xorshift, Marsaglia, 2003.
struct Draw {
  std::uint64_t state;
  std::uint64_t operator()() {
    state ^= state << 13U;
    state ^= state >> 7U;
    state ^= state << 17U;
    return state;
  }
  template <class T>
  void shuffle(std::vector<T>& order) {
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[(*this)() % i]);
  }
};

// Releases the fibers whose warp or block has arrived completely; an error if no fiber can
// continue.
std::string release(Block& block) {
  const int threads = block.launch->threads;
  bool any = false;
  for (int first = 0; first < threads; first += lanes) {
    const int end = std::min(first + lanes, threads);
    const auto begin = block.runners.begin();
    const auto waits = [](const Runner& r) { return r.state == State::at_warp; };
    if (!std::all_of(begin + first, begin + end, waits)) continue;
    for (int i = first; i < end; ++i)
      block.runners[static_cast<std::size_t>(i)].state = State::ready;
    any = true;
  }
  if (any) return "";
  const auto count = [&](State state) {
    return std::count_if(block.runners.begin(), block.runners.begin() + threads,
                         [&](const Runner& r) { return r.state == state; });
  };
  if (count(State::done) == threads) return "";
  if (count(State::at_block) == threads) {
    for (int i = 0; i < threads; ++i)
      block.runners[static_cast<std::size_t>(i)].state = State::ready;
    return "";
  }
  return "a kernel hangs: of " + std::to_string(threads) + " threads of block " +
         std::to_string(block.number) + ", " + std::to_string(count(State::at_block)) +
         " wait for the block, " + std::to_string(count(State::at_warp)) +
         " for their warps, and " + std::to_string(count(State::done)) + " are done";
}

std::string run_block(Block& block, std::vector<int>& order, Draw& draw) {
  for (int i = 0; i < block.launch->threads; ++i) {
    Runner& runner = block.runners[static_cast<std::size_t>(i)];
    runner.block = &block;
    runner.index = i;
    runner.state = State::ready;
    runner.turn = 0;
    runner.barriers = runner.warp_barriers = 0;
    runner.place.prepare(runner.stack.get(), enter);
  }
  for (bool all_done = false; !all_done;) {
    draw.shuffle(order);
    all_done = true;
    for (const int i : order) {
      Runner& runner = block.runners[static_cast<std::size_t>(i)];
      if (runner.state == State::ready) go_on(block, runner);
      if (!block.watch.error.empty()) return block.watch.error;
      all_done = all_done && runner.state == State::done;
    }
    if (all_done) break;
    std::string error = release(block);
    if (!error.empty()) return error;
  }
  return "";
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

}  // namespace

std::string run(const Launch& launch, std::uint64_t seed) {
  if (launch.threads < 1 || launch.threads > most_threads || launch.threads % lanes != 0) {
    return "a block of " + std::to_string(launch.threads) + " threads: expected whole warps, " +
           std::to_string(most_threads) + " at most";
  }
  constexpr std::size_t most_shared = std::size_t{227} << 10U;
  if (launch.shared > most_shared) {
    return "shared memory of " + std::to_string(launch.shared) + " bytes: there are " +
           std::to_string(most_shared);
  }
  thread_local Block block;
  const auto threads = static_cast<std::size_t>(launch.threads);
  while (block.runners.size() < threads) {
    block.runners.emplace_back().stack = std::make_unique<char[]>(stack_bytes);
  }
  for (auto& room : block.given) room.resize(block.runners.size());
  current = &block;
  block.launch = &launch;
  block.watch.leave = give_up;
  block.watch.begin_launch(static_cast<std::uint32_t>(launch.blocks));
  Draw draw{seed * 0x9E3779B97F4A7C15U + 1};
  std::vector<int> order(threads);
  std::iota(order.begin(), order.end(), 0);
  std::vector<Index> blocks(static_cast<std::size_t>(launch.blocks));
  std::iota(blocks.begin(), blocks.end(), Index{0});
  draw.shuffle(blocks);
  for (const Index number : blocks) {
    // Exactly as large as needed and new for each block, so that a sanitizer sees accesses beyond
    // the end.
    const std::size_t bytes = launch.shared > 0 ? launch.shared + 2 * margin : 0;
    void* memory = nullptr;
    if (bytes > 0 && posix_memalign(&memory, 128, bytes) != 0) return "no memory for a block";
    const std::unique_ptr<void, Free> held(memory);
    block.shared = bytes > 0 ? static_cast<char*>(memory) + margin : nullptr;
    if (bytes > 0) std::memset(block.shared, 0xFF, launch.shared);
    block.watch.begin_block(block.shared, launch.shared);
    block.last = false;
    block.number = number;
    std::string error = run_block(block, order, draw);
    if (!error.empty()) return error;
  }
  return "";
}

int threads_of(const Fiber& fiber) { return fiber.block->launch->threads; }
Index block_of(const Fiber& fiber) { return fiber.block->number; }
Index blocks_of(const Fiber& fiber) { return fiber.block->launch->blocks; }
void* shared_of(const Fiber& fiber) { return fiber.block->shared; }

void wait_for_block(Fiber& fiber) {
  ++static_cast<Runner&>(fiber).barriers;
  wait(fiber, State::at_block);
}

void wait_for_warp(Fiber& fiber) {
  ++static_cast<Runner&>(fiber).warp_barriers;
  wait(fiber, State::at_warp);
}

// Blocks run one after the other.
bool last_of_blocks(Fiber& fiber, unsigned* counter) {
  Block& block = *fiber.block;
  wait_for_block(fiber);
  if (fiber.index == 0 && ++*counter == static_cast<unsigned>(block.launch->blocks)) {
    *counter = 0;
    block.last = true;
    block.watch.is_last();
  }
  wait_for_block(fiber);
  return block.last;
}

// Two rooms in turn: a fiber that has taken may give again while others still take.
void give_to_warp(Fiber& fiber, const void* value, std::size_t bytes) {
  auto& runner = static_cast<Runner&>(fiber);
  runner.turn ^= 1U;
  std::memcpy(fiber.block->given[runner.turn][static_cast<std::size_t>(fiber.index)].bytes, value,
              bytes);
  wait(fiber, State::at_warp);
}

void take_from_warp(Fiber& fiber, int lane, void* value, std::size_t bytes) {
  const auto& runner = static_cast<const Runner&>(fiber);
  const int from = fiber.index / lanes * lanes + lane;
  std::memcpy(value, fiber.block->given[runner.turn][static_cast<std::size_t>(from)].bytes, bytes);
}

}  // namespace fastnn::emulated
