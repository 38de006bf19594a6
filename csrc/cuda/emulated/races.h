// Finds two errors that a kernel's result may not show: races, in which two threads use the same
// memory, one of them to write, with no barrier between; and accesses just beyond the end of
// memory.
//
// Kernels may be compiled with -fsanitize=thread, but without its library (tests/emulator.py).
// Before each access to memory that other threads might see, they then call functions that
// races.cpp defines in place of the library's. For every four bytes it records the last threads
// that wrote and read them. It does not depend on the order of threads: it asks what lies between
// two accesses, not which came first.
//
// Threads of a block are ordered by the block's barriers. Threads of a warp are also ordered by the
// warp's barriers, but not by an exchange, which on a GPU orders no memory. Nothing orders two
// blocks, unless one is the last (Thread::last_block). Two writes of the same value are allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fastnn::emulated {

// Bytes on either side of watched memory; no access may touch them.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t margin = 0;  // the sanitizer has its own
#else
inline constexpr std::size_t margin = 1024;
#endif

// One access to memory: its thread and its time.
struct Access {
  std::uint32_t run = 0;  // number of the block's run, unique to it; 0: no access
  std::uint16_t thread = 0;
  std::uint16_t bytes = 0;  // of the four, as a bit mask
  std::uint16_t barriers = 0, warp_barriers = 0;
};

// Accesses to four bytes. Of two unordered reads both are kept: at least one of them is by another
// thread than the next write.
struct Cell {
  Access write, read[2];
};

// Device memory, which begins at a multiple of four.
struct Piece {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Cell* cells = nullptr;  // null: not watched yet
};

// Watches device memory and the margins around it.
void watch_memory(const void* memory, std::size_t bytes);
void forget_memory(const void* memory);

// For a thread of the host that runs blocks.
class Watch {
 public:
  // Begins a launch, whose blocks run one after the other.
  void begin_launch(std::uint32_t blocks);
  void begin_block(void* shared, std::size_t shared_bytes);
  void is_last() { last_ = true; }

  // From here until pause(), accesses belong to the thread, whose stack is given. An invalid access
  // is described in `error`, and then `leave` is called, which must not return.
  void resume(int thread, unsigned barriers, unsigned warp_barriers, const void* stack,
              std::size_t stack_bytes);
  void pause();
  void (*leave)() = nullptr;
  std::string error;

  // Whether the address is on the thread's stack.
  bool own(std::uintptr_t address) const { return address - stack_ < stack_bytes_; }
  // Records an access to other memory. `code` is its address in the program, which an error reports
  // for addr2line.
  void access(std::uintptr_t address, std::size_t bytes, bool writes, const void* code);

 private:
  // A second write without a barrier between; it has yet to be done.
  struct Pending {
    std::uintptr_t address;
    std::vector<unsigned char> before;
    std::string error;
    const void* code;
  };

  const Piece* find(std::uintptr_t address);
  void check(const Piece& piece, std::uintptr_t address, std::size_t bytes, bool writes);
  bool concurrent(const Access& other, const Access& now, bool shared) const;
  std::string conflict(const Piece& piece, std::uintptr_t address, const Access& other,
                       const char* what) const;
  void settle();
  void fail(std::string text);

  std::uint32_t first_run_ = 0, blocks_ = 0, run_ = 0;
  bool last_ = false;
  Access now_;
  const void* code_ = nullptr;
  std::uintptr_t stack_ = 0;
  std::size_t stack_bytes_ = 0;
  Piece shared_;
  std::vector<Cell> shared_cells_;
  Piece known_[4];  // recently used
  unsigned turn_ = 0;
  std::vector<Pending> pending_;
};

}  // namespace fastnn::emulated
