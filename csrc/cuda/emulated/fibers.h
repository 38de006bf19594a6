// Blocks of threads on one thread of the host: each thread of a block is a fiber, which
// runs until it waits for others.
//
// Which fiber runs next is drawn anew after each wait, so that a kernel that lacks a
// barrier reads what nobody has written yet, or what somebody has overwritten already.
// The memory that a block shares, and the device's, holds NaN (every bit set) at first.
// A barrier or a warp's exchange that some of its threads never reach ends the launch
// with an error, and so does what races.h finds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/kernels.h"

namespace fastnn::emulated {

struct Block;

// What a thread can know of itself; one for each fiber.
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

// An error in words; empty: none.
std::string run(const Launch& launch, std::uint64_t seed);

// For the fiber that calls.
int threads_of(const Fiber& fiber);
Index block_of(const Fiber& fiber);
Index blocks_of(const Fiber& fiber);
void* shared_of(const Fiber& fiber);
void wait_for_block(Fiber& fiber);
void wait_for_warp(Fiber& fiber);
// Counts the blocks that call it, of which the last gets true, and has the counter at 0 again;
// waits for all threads of the block.
bool last_of_blocks(Fiber& fiber, unsigned* counter);
// Where lane k of the fiber's warp left `bytes` (at most 64): everybody leaves some and waits.
void give_to_warp(Fiber& fiber, const void* value, std::size_t bytes);
void take_from_warp(Fiber& fiber, int lane, void* value, std::size_t bytes);

}  // namespace fastnn::emulated
