// Zeroed, aligned memory that is not touched before it is used, so that a size
// beyond the machine's memory fails at once and not when it is written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>

namespace fastnn {

inline constexpr std::size_t memory_alignment = 64;

// Null where there is none.
inline void* allocate_zeroed(std::size_t bytes) {
  constexpr std::size_t room = 2 * memory_alignment;
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  void* const raw = std::calloc(bytes + room, 1);
  if (raw == nullptr) return nullptr;
  // The address that free wants stands just before the aligned one.
  const std::uintptr_t aligned =
      (reinterpret_cast<std::uintptr_t>(raw) + room - 1) / memory_alignment * memory_alignment;
  void** const memory = reinterpret_cast<void**>(aligned);
  memory[-1] = raw;
  return memory;
}

inline void release_memory(void* memory) {
  if (memory != nullptr) std::free(static_cast<void**>(memory)[-1]);
}

}  // namespace fastnn
