// _cuda without a GPU, for tests: memory, order of work and graphs, and faults on demand.
//
// Device memory has addresses that are not mapped on the host: the host crashes if it uses such an
// address as its own, and a kernel that is given a host address fails. FASTNN_EMULATOR_SEED changes
// the order of threads; faults.h describes the faults. The runtime logs to the file
// FASTNN_EMULATOR_LOG which streams wait for which, which streams the host waits for, and to and
// from which it copies 1024 bytes or more.
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "cuda/abi.h"
#include "cuda/context.h"
#include "cuda/emulated/faults.h"
#include "cuda/emulated/races.h"
#include "cuda/emulated/streams.h"
#include "cuda/table.h"

namespace fastnn {

using emulated::fail;
using emulated::fault;
using emulated::in_order;
using emulated::say;

namespace {

thread_local std::string said = "no error";

}  // namespace

void emulated::say(std::string text) { said = std::move(text); }

std::string emulated::last_said() { return said; }

Status emulated::fail(std::string text) {
  say(std::move(text));
  return Status::failed;
}

namespace {

Status device_is_lost() { return fail("the emulated device is lost"); }

}  // namespace

std::uint64_t emulated::next_seed() {
  static const char* const text = std::getenv("FASTNN_EMULATOR_SEED");
  static const std::uint64_t first = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  thread_local std::uint64_t launches = 0;
  return first * 1000003 + launches++;
}

namespace {

// -- memory -----------------------------------------------------------------

constexpr std::uintptr_t device_begin = std::uintptr_t{0x5000} << 32U;
constexpr std::uintptr_t device_bytes = std::uintptr_t{1} << 40U;
constexpr std::size_t alignment = 256;

struct Block {
  char* memory;
  std::size_t bytes;
};

struct Memory {
  std::mutex mutex;
  std::map<std::uintptr_t, Block> blocks;
  std::uintptr_t next = device_begin;
};

Memory& memory() {
  static Memory the;
  return the;
}

bool of_device(std::uintptr_t address) {
  return address >= device_begin && address < device_begin + device_bytes;
}

// The host address of the memory at a device address; null if there is no memory.
char* real(std::uintptr_t address, std::size_t bytes = 0) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  auto after = all.blocks.upper_bound(address);
  if (after == all.blocks.begin()) return nullptr;
  const auto& [begin, block] = *--after;
  if (address - begin > block.bytes || bytes > block.bytes - (address - begin)) return nullptr;
  return block.memory + (address - begin);
}

char* real(const void* address, std::size_t bytes) {
  return real(reinterpret_cast<std::uintptr_t>(address), bytes);
}

void* take(std::size_t bytes) {
  // Reserves the addresses, so that nothing else is mapped there.
  static const bool reserved =
      mmap(reinterpret_cast<void*>(device_begin), device_bytes, PROT_NONE,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1,
           0) == reinterpret_cast<void*>(device_begin);
  constexpr std::size_t most = std::size_t{8} << 30U;
  void* host = nullptr;
  if (!reserved || bytes > most || fault().lost() || fault().due("memory") ||
      posix_memalign(&host, alignment, (bytes > 0 ? bytes : 1) + 2 * emulated::margin) != 0) {
    say(std::to_string(bytes) + " bytes of the emulated device are not available");
    return nullptr;
  }
  char* const inside = static_cast<char*>(host) + emulated::margin;
  std::memset(inside, 0xFF, bytes);
  emulated::watch_memory(inside, bytes);
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const std::uintptr_t address = all.next;
  // A gap follows each block, so that an index beyond the end is found.
  all.next += (bytes + 2 * alignment - 1) / alignment * alignment;
  all.blocks[address] = {inside, bytes};
  return reinterpret_cast<void*>(address);
}

void give_back(void* address) {
  Memory& all = memory();
  const std::lock_guard lock(all.mutex);
  const auto found = all.blocks.find(reinterpret_cast<std::uintptr_t>(address));
  if (found == all.blocks.end()) return;
  emulated::forget_memory(found->second.memory);
  std::free(found->second.memory - emulated::margin);
  all.blocks.erase(found);
}

// -- kernels ----------------------------------------------------------------

// Whether this is an address of the host: of code, heap, stack or mapped files, as programs have
// them.
bool of_host(std::uintptr_t word) {
  const std::uintptr_t high = word >> 32U;
  return (high >= 0x5500 && high < 0x5800) || (high >= 0x7e00 && high < 0x8000);
}

// Converts device addresses to host addresses; false if there is another kind of address. Padding
// may look like an address by chance. A word with some padding is left alone; a word of nothing but
// padding is converted but never refused.
bool translate(unsigned char* bytes, const std::vector<unsigned char>& filled) {
  for (std::size_t i = 0; i + sizeof(std::uintptr_t) <= filled.size();
       i += sizeof(std::uintptr_t)) {
    std::uintptr_t word = 0;
    std::uintptr_t means = 0;
    std::memcpy(&word, bytes + i, sizeof word);
    std::memcpy(&means, filled.data() + i, sizeof means);
    const bool whole = means == ~std::uintptr_t{0};
    if (!whole && means != 0) continue;
    const char* const there = of_device(word) ? real(word) : nullptr;
    if (there != nullptr) {
      std::memcpy(bytes + i, &there, sizeof there);
    } else if (whole && (of_device(word) || of_host(word))) {
      say("a kernel was given " +
          std::string(of_host(word) ? "an address of the host"
                                    : "device memory that does not exist") +
          ", at byte " + std::to_string(i) + " of its arguments");
      return false;
    }
  }
  return true;
}

// Bytes with the strictest alignment that a kernel may ask for.
class Arguments {
 public:
  Arguments(const void* from, std::size_t count)
      : words_((count + sizeof(Word) - 1) / sizeof(Word)) {
    std::memcpy(words_.data(), from, count);
  }
  unsigned char* bytes() { return words_.data()->bytes; }

 private:
  struct Word {
    alignas(64) unsigned char bytes[64];
  };
  std::vector<Word> words_;
};

}  // namespace

// Wrong addresses are found at once, except in a graph, whose memory may still change.
Status emulated::start(Stream stream, const Launch& launch, std::size_t bytes,
                       const unsigned char* filled) {
  if (fault().lost(true)) return device_is_lost();
  if (fault().due("launch")) return fail("the emulated launch of a kernel failed");
  Arguments given(launch.kernel, bytes);
  const bool recorded = stream->graph != nullptr;
  const std::vector<unsigned char> whole(filled, filled + bytes);
  if (!recorded && !translate(given.bytes(), whole)) return Status::failed;
  return in_order(stream, [launch, recorded, given, whole] {
    Arguments arguments = given;
    if (recorded && !translate(arguments.bytes(), whole)) return Status::failed;
    Launch here = launch;
    here.kernel = arguments.bytes();
    const std::string error = run(here, next_seed());
    return error.empty() ? Status::ok : fail(error);
  });
}

void* Context::scratch(Slot slot, size_t bytes) {
  Piece& piece = pieces_[slot];
  if (bytes <= piece.bytes) return piece.memory;
  if (stream->graph != nullptr) {
    say("a kernel needs memory while a graph is recorded");
    return nullptr;
  }
  void* const memory = take(bytes);
  if (memory == nullptr) return nullptr;
  std::memset(real(memory, bytes), 0, bytes);
  kept.push_back(memory);
  piece = {memory, bytes};
  return memory;
}

namespace {

Status open(DeviceInfo* info) {
  if (fault().is("no driver")) {
    return fail("there is no NVIDIA driver here (libcuda.so.1); install one");
  }
  if (fault().is("old driver")) {
    return fail("the NVIDIA driver is too old: it knows CUDA 11.4, and 13.0 is needed; update it");
  }
  if (fault().is("no device")) {
    return fail("the driver finds no GPU (see CUDA_VISIBLE_DEVICES, and nvidia-smi)");
  }
  std::snprintf(info->name, sizeof info->name, "emulated device");
  info->major = 9;
  info->minor = 0;
  info->multiprocessors = 4;
  info->memory = std::size_t{8} << 30U;
  info->shared_memory = std::size_t{fault().is("small") ? 16U : 227U} << 10U;
  info->driver = info->runtime = 13000;
  return Status::ok;
}

Context* make_context() {
  auto* const context = new Context;
  context->stream = new Recording;
  emulated::add_stream(context->stream);
  return context;
}

void end_context(Context* context) {
  emulated::remove_stream(context->stream);
  for (void* piece : context->kept) give_back(piece);
  delete context->stream;
  delete context;
}

Status no_memory_there() { return fail("a copy reaches beyond memory of the device"); }

Status note(const char* what, const void* stream) {
  if (stream == nullptr) return fail("the stream is null: 1 is the default stream");
  const char* const path = std::getenv("FASTNN_EMULATOR_LOG");
  if (path == nullptr) return Status::ok;
  std::FILE* const file = std::fopen(path, "a");
  if (file == nullptr) return fail("FASTNN_EMULATOR_LOG cannot be written");
  std::fprintf(file, "%s %zu\n", what, reinterpret_cast<std::size_t>(stream));
  std::fclose(file);
  return Status::ok;
}

Status write(Context* context, void* to, const void* host, size_t bytes) {
  if (context->stream->graph != nullptr)
    return fail("a copy from the host while a graph is recorded");
  if (real(to, bytes) == nullptr) return no_memory_there();
  const Status noted = bytes < 4096 ? Status::ok : note("write", context->stream);
  if (noted != Status::ok) return noted;
  const auto* const from = static_cast<const char*>(host);
  return in_order(context->stream, [to, staged = std::vector<char>(from, from + bytes)] {
    char* const there = real(to, staged.size());
    if (there == nullptr) return no_memory_there();
    std::copy(staged.begin(), staged.end(), there);
    return Status::ok;
  });
}

Status wait(Context* context) {
  if (context->stream->graph != nullptr) return fail("waiting while a graph is recorded");
  if (fault().lost()) return device_is_lost();
  if (fault().due("wait")) return fail("the emulated device stopped");
  const Status noted = note("wait", context->stream);
  return noted == Status::ok ? emulated::finish(context->stream) : noted;
}

Status read(Context* context, void* host, const void* from, size_t bytes) {
  const char* const there = real(from, bytes);
  if (there == nullptr) return no_memory_there();
  const Status noted = bytes < 4096 ? Status::ok : note("read", context->stream);
  if (noted != Status::ok) return noted;
  if (bytes >= 1024 && fault().due("read")) {
    say("the emulated device has no memory to copy through");
    return Status::out_of_memory;
  }
  const Status status = wait(context);
  if (status == Status::ok && bytes > 0) std::memcpy(host, there, bytes);
  return status;
}

}  // namespace

Status read_back(Context& context, void* host, const void* memory, size_t bytes) {
  return read(&context, host, memory, bytes);
}

namespace {

Status copy(Context* context, void* to, const void* from, size_t bytes) {
  return in_order(context->stream, [=] {
    char* const there = real(to, bytes);
    const char* const here = real(from, bytes);
    if (there == nullptr || here == nullptr) return no_memory_there();
    std::memmove(there, here, bytes);
    return Status::ok;
  });
}

Status clear(Context* context, void* to, size_t bytes) {
  return in_order(context->stream, [=] {
    char* const there = real(to, bytes);
    if (there == nullptr) return no_memory_there();
    std::memset(there, 0, bytes);
    return Status::ok;
  });
}

Status launch_graph(Context* context, CudaGraph* graph) {
  if (context->stream->graph != nullptr) return fail("launching a graph while one is recorded");
  return emulated::launch(context->stream, *graph);
}

}  // namespace
}  // namespace fastnn

const fastnn::CudaLibrary* fastnn_cuda_library() {
  using namespace fastnn;
  static const CudaLibrary library{
      .version = cuda_abi_version,
      .layout = cuda_layout(),
      .kind = "emulated",
      .table = &cuda::table,
      .encoded_dense = &cuda::encoded_dense,
      .last_error = [] { return said.c_str(); },
      .open = open,
      .make_context = make_context,
      .end_context = end_context,
      .set_precision = [](Context* context, int precision) { context->precision = precision; },
      .bf16_parts = cuda::bf16_parts_of_product,
      .set_step = [](Context* context, StepPlace step) { context->step = step; },
      .collect = [](Context* context, const Collect* a) { return cuda::collect(*context, *a); },
      .finish = [](Context* context, const Finish* a) { return cuda::finish(*context, *a); },
      .resident = [](Context* context, const Resident* a) { return cuda::resident(*context, *a); },
      .allocate = [](Context*, size_t bytes) { return take(bytes); },
      .release =
          [](Context*, void* memory) {
            emulated::finish_all_unheard();
            give_back(memory);
          },
      .write = write,
      .read = read,
      .copy = copy,
      .clear = clear,
      .wait = wait,
      .stream = [](Context* context) -> void* { return context->stream; },
      .wait_for =
          [](Context* context, void* stream) {
            const Status noted = note("wait for", stream);
            return noted == Status::ok ? emulated::one_after_another(stream, context->stream)
                                       : noted;
          },
      .let_wait =
          [](Context* context, void* stream) {
            const Status noted = note("let wait", stream);
            return noted == Status::ok ? emulated::one_after_another(context->stream, stream)
                                       : noted;
          },
      .begin_graph = [](Context* context) { return emulated::begin_graph(context->stream); },
      .end_graph = [](Context* context) { return emulated::end_graph(context->stream); },
      .launch_graph = launch_graph,
      .release_graph =
          [](CudaGraph* graph) {
            emulated::finish_all_unheard();  // which may still need it
            delete graph;
          },
  };
  return &library;
}

// For libraries that replace NVIDIA's in tests: the host address of device memory (null if there is
// none), and work in the order of a stream, which keeps a copy of `arguments`.
extern "C" __attribute__((visibility("default"))) void* fastnn_emulated_address(const void* memory,
                                                                                std::size_t bytes) {
  return fastnn::real(memory, bytes);
}

extern "C" __attribute__((visibility("default"))) int fastnn_emulated_give(void* stream,
                                                                           int (*work)(const void*),
                                                                           const void* arguments,
                                                                           std::size_t bytes) {
  using namespace fastnn;
  const auto* const from = static_cast<const unsigned char*>(arguments);
  const Status status = in_order(
      static_cast<Stream>(stream), [work, kept = std::vector<unsigned char>(from, from + bytes)] {
        return work(kept.data()) == 0 ? Status::ok : fail("another library failed");
      });
  return status == Status::ok ? 0 : 1;
}
