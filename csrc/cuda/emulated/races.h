// What only luck keeps right in a kernel: memory that two threads use, one of them to write,
// with no barrier between; and an access just beyond an end.
//
// Kernels may be compiled with -fsanitize=thread, without its library (tests/emulator.py): before
// each access to memory that others might see they then call functions which races.cpp has in
// its place. It knows of every four bytes who wrote and read them last, and needs no luck with
// the order of threads: of two accesses it asks what lay between them, not which came first.
//
// Between threads of a block lies a barrier; of a warp, that or a barrier of the warp, and
// not an exchange, which on a GPU orders no memory. Between blocks lies nothing, unless one is
// the last (Thread::last_block). Two that write the same value do no harm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fastnn::emulated {

// Bytes that lie on either side of memory that is watched, and are nobody's.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr std::size_t margin = 0;  // the sanitizer has its own
#else
inline constexpr std::size_t margin = 1024;
#endif

// Who has used some memory, and when.
struct Access {
  std::uint32_t run = 0;  // of a block, a number of its own; 0: nobody
  std::uint16_t thread = 0;
  std::uint16_t bytes = 0;  // of the four, as bits
  std::uint16_t barriers = 0, warp_barriers = 0;
};

// Of four bytes. Of two reads that nothing orders both are kept: one is another thread's
// than the next that writes.
struct Cell {
  Access write, read[2];
};

// Memory of the device, which begins at a multiple of four.
struct Piece {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Cell* cells = nullptr;  // null: it is not watched
};

// The device's memory, with its margins around it.
void watch_memory(const void* memory, std::size_t bytes);
void forget_memory(const void* memory);

// For a thread of the host that runs blocks.
class Watch {
 public:
  // A launch, whose blocks follow one another.
  void begin_launch(std::uint32_t blocks);
  void begin_block(void* shared, std::size_t shared_bytes);
  void is_last() { last_ = true; }

  // From here on accesses are the thread's, whose stack lies there, until pause(); what is
  // wrong with one is said in `error`, and then `leave` is called, which must not return.
  void resume(int thread, unsigned barriers, unsigned warp_barriers, const void* stack,
              std::size_t stack_bytes);
  void pause();
  void (*leave)() = nullptr;
  std::string error;

  // Whether it is on the thread's stack.
  bool own(std::uintptr_t address) const { return address - stack_ < stack_bytes_; }
  // An access to anything else, by that code, which an error names for addr2line.
  void access(std::uintptr_t address, std::size_t bytes, bool writes, const void* code);

 private:
  // Two writes with nothing between, of which the second has still to be done.
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
  Piece known_[4];  // used of late
  unsigned turn_ = 0;
  std::vector<Pending> pending_;
};

}  // namespace fastnn::emulated
