#include "cuda/emulated/races.h"

#include <dlfcn.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>

namespace fastnn::emulated {

namespace {

// The watch of the running thread; null while no kernel runs, and while an access is examined.
thread_local Watch* watching __attribute__((tls_model("initial-exec"))) = nullptr;

std::size_t cells_of(std::size_t bytes) { return (bytes + 3) / 4; }

struct Pieces {
  std::mutex mutex;
  std::map<std::uintptr_t, Piece> all;
};

Pieces& pieces() {
  static Pieces the;
  return the;
}

// Which of the four bytes from `first` on an access to [address, end) touches, as a bit mask.
std::uint16_t bytes_of(std::uintptr_t first, std::uintptr_t address, std::uintptr_t end) {
  unsigned bits = 0;
  for (unsigned k = 0; k < 4; ++k) {
    if (first + k >= address && first + k < end) bits |= 1U << k;
  }
  return static_cast<std::uint16_t>(bits);
}

// The place of code in its library.
std::string place_of(const void* code) {
  Dl_info info{};
  if (dladdr(code, &info) == 0) return "?";
  const auto* const begin = static_cast<const char*>(info.dli_fbase);
  char text[32];
  std::snprintf(text, sizeof text, "0x%tx", static_cast<const char*>(code) - begin);
  return text + (" of " + std::string(info.dli_fname));
}

}  // namespace

void watch_memory(const void* memory, std::size_t bytes) {
  const std::lock_guard lock(pieces().mutex);
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  pieces().all[begin] = {begin, bytes, nullptr};
}

void forget_memory(const void* memory) {
  const std::lock_guard lock(pieces().mutex);
  const auto found = pieces().all.find(reinterpret_cast<std::uintptr_t>(memory));
  if (found == pieces().all.end()) return;
  std::free(found->second.cells);
  pieces().all.erase(found);
}

void Watch::begin_launch(std::uint32_t blocks) {
  // 0 means no access. Numbers repeat after 2^32 blocks; by then no old access is left.
  static std::atomic<std::uint32_t> runs{1};
  first_run_ = runs.fetch_add(blocks);
  blocks_ = blocks;
  run_ = first_run_ - 1;
  for (Piece& piece : known_) piece = {};
  error.clear();
}

void Watch::begin_block(void* shared, std::size_t shared_bytes) {
  ++run_;
  last_ = false;
  if (shared_cells_.size() < cells_of(shared_bytes)) shared_cells_.resize(cells_of(shared_bytes));
  shared_ = {reinterpret_cast<std::uintptr_t>(shared), shared_bytes, shared_cells_.data()};
}

void Watch::resume(int thread, unsigned barriers, unsigned warp_barriers, const void* stack,
                   std::size_t stack_bytes) {
  now_ = {run_, static_cast<std::uint16_t>(thread), 0, static_cast<std::uint16_t>(barriers),
          static_cast<std::uint16_t>(warp_barriers)};
  stack_ = reinterpret_cast<std::uintptr_t>(stack);
  stack_bytes_ = stack_bytes;
  watching = this;
}

void Watch::pause() {
  watching = nullptr;
  settle();
}

void Watch::access(std::uintptr_t address, std::size_t bytes, bool writes, const void* code) {
  code_ = code;
  if (!pending_.empty()) settle();
  if (!error.empty()) leave();
  if (address + margin - shared_.begin < shared_.bytes + 2 * margin && shared_.bytes > 0) {
    check(shared_, address, bytes, writes);
  } else if (const Piece* const piece = find(address); piece != nullptr) {
    check(*piece, address, bytes, writes);
  }
  if (!error.empty()) leave();
}

// Null if the memory is of neither kind that threads share, such as a kernel's arguments.
const Piece* Watch::find(std::uintptr_t address) {
  const auto has = [address](const Piece& piece) {
    return address + margin - piece.begin < piece.bytes + 2 * margin;
  };
  for (const Piece& piece : known_) {
    if (piece.begin != 0 && has(piece)) return &piece;
  }
  const std::lock_guard lock(pieces().mutex);
  auto after = pieces().all.upper_bound(address + margin);
  if (after == pieces().all.begin()) return nullptr;
  Piece& found = (--after)->second;
  if (!has(found)) return nullptr;
  if (found.cells == nullptr) {
    found.cells = static_cast<Cell*>(std::calloc(cells_of(found.bytes) + 1, sizeof(Cell)));
  }
  Piece& kept = known_[turn_++ % 4];
  kept = found;
  return &kept;
}

// `shared`: the memory is shared memory, which earlier blocks used for other data.
bool Watch::concurrent(const Access& other, const Access& now, bool shared) const {
  if ((other.bytes & now.bytes) == 0 || other.run - first_run_ >= blocks_) return false;
  if (other.run != now.run && shared) return false;
  if (other.run != now.run) return !last_;
  if (other.thread == now.thread || other.barriers != now.barriers) return false;
  return other.thread / 32 != now.thread / 32 || other.warp_barriers == now.warp_barriers;
}

void Watch::check(const Piece& piece, std::uintptr_t address, std::size_t bytes, bool writes) {
  const std::uintptr_t end = address + bytes;
  if (address < piece.begin || end > piece.begin + piece.bytes) {
    return fail("a kernel " + std::string(writes ? "writes" : "reads") +
                " beyond memory: " + std::to_string(bytes) + " bytes at " +
                std::to_string(static_cast<std::ptrdiff_t>(address - piece.begin)) + " of " +
                std::to_string(piece.bytes) +
                (piece.begin == shared_.begin ? " that a block shares" : ""));
  }
  if (piece.cells == nullptr) return;
  const bool shared = &piece == &shared_;
  std::string two_writes;
  for (std::uintptr_t at = address & ~std::uintptr_t{3}; at < end; at += 4) {
    Cell& cell = piece.cells[(at - piece.begin) / 4];
    Access now = now_;
    now.bytes = at >= address && at + 4 <= end ? 15 : bytes_of(at, address, end);
    if (!writes) {
      if (concurrent(cell.write, now, shared))
        return fail(conflict(piece, at, cell.write, "reads what was written"));
      if (!concurrent(cell.read[0], now, shared)) {
        cell.read[0] = now;
      } else if (!concurrent(cell.read[1], now, shared)) {
        cell.read[1] = now;
      }
      continue;
    }
    for (const Access& read : cell.read) {
      if (concurrent(read, now, shared))
        return fail(conflict(piece, at, read, "writes what was read"));
    }
    if (concurrent(cell.write, now, shared) && two_writes.empty()) {
      two_writes = conflict(piece, at, cell.write, "writes what was written");
    }
    cell.write = now;
  }
  if (two_writes.empty()) return;
  const auto* const before = reinterpret_cast<const unsigned char*>(address);
  pending_.push_back({address, {before, before + bytes}, two_writes, code_});
}

std::string Watch::conflict(const Piece& piece, std::uintptr_t address, const Access& other,
                            const char* what) const {
  const auto name = [this](const Access& access) {
    return "thread " + std::to_string(access.thread) + " of the launch's block " +
           std::to_string(access.run - first_run_) + " in turn";
  };
  return "a race: at byte " + std::to_string(address - piece.begin) + " of " +
         std::to_string(piece.bytes) +
         (piece.begin == shared_.begin ? " that a block shares, " : ", ") + name(now_) + " " +
         what + " by " + name(other) + ", with no barrier between";
}

// Reports the second writes that changed the value of the first.
void Watch::settle() {
  for (Pending& pending : pending_) {
    const auto* const after = reinterpret_cast<const unsigned char*>(pending.address);
    if (std::memcmp(after, pending.before.data(), pending.before.size()) != 0) {
      code_ = pending.code;
      fail(std::move(pending.error));
    }
  }
  pending_.clear();
}

void Watch::fail(std::string text) {
  if (error.empty()) error = std::move(text) + ", at " + place_of(code_);
}

namespace {

void seen(const void* address, std::size_t bytes, bool writes, const void* code) {
  Watch* const watch = watching;
  if (watch == nullptr) return;
  if (watch->own(reinterpret_cast<std::uintptr_t>(address))) return;
  watching = nullptr;  // functions called here may be compiled like kernels
  watch->access(reinterpret_cast<std::uintptr_t>(address), bytes, writes, code);
  watching = watch;
}

}  // namespace

}  // namespace fastnn::emulated

// -- functions that compilers call under -fsanitize=thread -------------------

#define FASTNN_SEEN(name, bytes, writes)                                         \
  extern "C" void __tsan_##name(const void* address);                            \
  extern "C" void __tsan_##name(const void* address) {                           \
    fastnn::emulated::seen(address, bytes, writes, __builtin_return_address(0)); \
  }
#define FASTNN_SEEN_BOTH(bytes)                    \
  FASTNN_SEEN(read##bytes, bytes, false)           \
  FASTNN_SEEN(write##bytes, bytes, true)           \
  FASTNN_SEEN(unaligned_read##bytes, bytes, false) \
  FASTNN_SEEN(unaligned_write##bytes, bytes, true) \
  FASTNN_SEEN(volatile_read##bytes, bytes, false)  \
  FASTNN_SEEN(volatile_write##bytes, bytes, true)

FASTNN_SEEN_BOTH(1)
FASTNN_SEEN_BOTH(2)
FASTNN_SEEN_BOTH(4)
FASTNN_SEEN_BOTH(8)
FASTNN_SEEN_BOTH(16)

extern "C" {
void __tsan_read_range(const void* address, unsigned long bytes);
void __tsan_write_range(const void* address, unsigned long bytes);
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes);
void* __tsan_memmove(void* to, const void* from, unsigned long bytes);
void* __tsan_memset(void* to, int value, unsigned long bytes);
void __tsan_vptr_update(void**, void*);
void __tsan_vptr_read(void**);
void __tsan_func_entry(void*);
void __tsan_func_exit();
void __tsan_init();

void __tsan_read_range(const void* address, unsigned long bytes) {
  fastnn::emulated::seen(address, bytes, false, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, unsigned long bytes) {
  fastnn::emulated::seen(address, bytes, true, __builtin_return_address(0));
}
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) {
  __tsan_read_range(from, bytes);
  __tsan_write_range(to, bytes);
  return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, unsigned long bytes) {
  __tsan_read_range(from, bytes);
  __tsan_write_range(to, bytes);
  return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, unsigned long bytes) {
  __tsan_write_range(to, bytes);
  return std::memset(to, value, bytes);
}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_init() {}
}
