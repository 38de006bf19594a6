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

inline constexpr std::size_t large_page = std::size_t{2} << 20U;

// Asks the system for large pages. Arrays of megabytes then need a few hundred times fewer pages,
// which must be looked up and made at the first touch. The system may ignore this.
inline void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = large_page;
  const auto begin = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) / page * page;
  const auto end = (reinterpret_cast<std::uintptr_t>(memory) + bytes) / page * page;
  if (begin < end) {
    static_cast<void>(madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE));
  }
#endif
}

// Arrays of so many bytes are mapped for themselves, and go back to the system when they are
// released. The allocator of the C library would keep arrays of up to 32 MiB on its heap, and with
// them the gaps between them. (AddressSanitizer watches that allocator alone.)
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t mapped_bytes = std::size_t{1} << 20U;
#else
inline constexpr std::size_t mapped_bytes = std::numeric_limits<std::size_t>::max();
#endif

#ifdef __linux__
// What is mapped for so many bytes: a multiple of every page that a system may have.
constexpr std::size_t mapped_size(std::size_t bytes) {
  constexpr std::size_t page = std::size_t{64} << 10U;
  return (bytes + page - 1) / page * page;
}

// Memory for a large page or more begins with one: three megabytes at any other place have room for
// one in half of the cases.
inline void* map_memory(std::size_t bytes) {
  const std::size_t size = mapped_size(bytes);
  const std::size_t more = size < large_page ? 0 : large_page;
  void* const mapped =
      mmap(nullptr, size + more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) return nullptr;
  char* const memory = static_cast<char*>(mapped);
  const std::size_t past = reinterpret_cast<std::uintptr_t>(memory) % large_page;
  const std::size_t before = more == 0 || past == 0 ? 0 : large_page - past;
  if (before > 0) munmap(memory, before);
  if (more > before) munmap(memory + before + size, more - before);
  return memory + before;
}
#endif

// Zeros, or null if there is no memory.
inline void* take_from_system(std::size_t bytes) {
#ifdef __linux__
  if (bytes >= mapped_bytes) return map_memory(bytes);
#endif
  return std::calloc(bytes, 1);
}

inline void give_to_system(void* memory, [[maybe_unused]] std::size_t bytes) {
#ifdef __linux__
  if (bytes >= mapped_bytes) {
    munmap(memory, mapped_size(bytes));
    return;
  }
#endif
  std::free(memory);
}

// Stands just before the aligned address: what to give back.
struct MemoryHeader {
  void* raw;
  std::size_t bytes;
};

// Returns null if there is no memory.
inline void* allocate_zeroed(std::size_t bytes) {
  constexpr std::size_t room = 2 * memory_alignment;
  static_assert(sizeof(MemoryHeader) <= memory_alignment);
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return nullptr;
  void* const raw = take_from_system(bytes + room);
  if (raw == nullptr) return nullptr;
  prefer_large_pages(raw, bytes + room);
  const std::uintptr_t aligned =
      (reinterpret_cast<std::uintptr_t>(raw) + room - 1) / memory_alignment * memory_alignment;
  MemoryHeader* const memory = reinterpret_cast<MemoryHeader*>(aligned);
  memory[-1] = {raw, bytes + room};
  return memory;
}

inline void release_memory(void* memory) {
  if (memory == nullptr) return;
  const MemoryHeader header = static_cast<MemoryHeader*>(memory)[-1];
  give_to_system(header.raw, header.bytes);
}

struct ReleaseMemory {
  void operator()(void* memory) const { release_memory(memory); }
};
using OwnedMemory = std::unique_ptr<void, ReleaseMemory>;

}  // namespace fastnn
