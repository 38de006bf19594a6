// Zeroed, aligned memory that is not touched before it is used, so that an allocation larger than
// the machine's memory fails at once and not when it is written. For the host only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <memory>

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fastnn {

inline constexpr std::size_t memory_alignment = 64;

// Asks the system for large pages. Arrays of many megabytes then need a few hundred times fewer
// pages, which must be looked up and made at the first touch. The system may ignore this.
inline void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = std::uintptr_t{2} << 20U;
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
  if (begin < end) {
    static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
  }
#endif
}

// Returns null if there is no memory.
inline void* allocate_zeroed(std::size_t bytes) {
  constexpr std::size_t room = 2 * memory_alignment;
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  void* const raw = std::calloc(bytes + room, 1);
  if (raw == nullptr) return nullptr;
  prefer_large_pages(raw, bytes + room);
  // The address that free() needs is stored just before the aligned address.
  const std::uintptr_t aligned =
      (reinterpret_cast<std::uintptr_t>(raw) + room - 1) / memory_alignment * memory_alignment;
  void** const memory = reinterpret_cast<void**>(aligned);
  memory[-1] = raw;
  return memory;
}

inline void release_memory(void* memory) {
  if (memory != nullptr) std::free(static_cast<void**>(memory)[-1]);
}

struct ReleaseMemory {
  void operator()(void* memory) const { release_memory(memory); }
};
using OwnedMemory = std::unique_ptr<void, ReleaseMemory>;

}  // namespace fastnn
