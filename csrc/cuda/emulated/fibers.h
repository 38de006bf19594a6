// Blocks of threads on one thread of the host: each thread of a block is a fiber, which runs until
// it waits for others. streams.h orders launches; this runs one of them.
//
// The next fiber is drawn at random after each wait, so that a kernel that lacks a barrier reads
// memory that is not written yet or already overwritten. Shared memory and device memory hold NaN
// (every bit set) at first. A launch ends with an error if some threads never reach a barrier or a
// warp's exchange, or if races.h finds an error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/kernels.h"

namespace fastnn::emulated {

struct Block;

// The identity of a thread; each fiber has one.
struct Fiber {
  Block* block;
  int index;
};

struct Launch {
  Index blocks;
  int threads;
  std::size_t shared;
  void (*body)(const void* kernel, Fiber&);
  const void* kernel;
};

// Returns an error message, which is empty if there is no error.
std::string run(const Launch& launch, std::uint64_t seed);

// For the calling fiber.
int threads_of(const Fiber& fiber);
Index block_of(const Fiber& fiber);
Index blocks_of(const Fiber& fiber);
void* shared_of(const Fiber& fiber);
void wait_for_block(Fiber& fiber);
void wait_for_warp(Fiber& fiber);
// Counts the blocks that call it. The last block gets true, and the counter is 0 again. Waits for
// all threads of the block.
bool last_of_blocks(Fiber& fiber, unsigned* counter);
// give: every lane of the warp stores `bytes` (at most 64) and waits. take: reads those of lane
// `lane`.
void give_to_warp(Fiber& fiber, const void* value, std::size_t bytes);
void take_from_warp(Fiber& fiber, int lane, void* value, std::size_t bytes);

}  // namespace fastnn::emulated
