#include "cuda/host/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>

#include "build.h"
#include "core/check.h"
#include "core/fork.h"

namespace fastnn {
namespace {

// -- opening it -------------------------------------------------------------

struct Opened {
  const CudaLibrary* library = nullptr;  // null: it cannot be used
  CudaState state;
};

std::string beside_this_object() {
  Dl_info here{};
  if (dladdr(reinterpret_cast<void*>(&beside_this_object), &here) == 0) return "_cuda.so";
  const std::string file = here.dli_fname;
  const std::size_t slash = file.rfind('/');
  return (slash == std::string::npos ? "" : file.substr(0, slash + 1)) + "_cuda.so";
}

std::string library_path() {
  const char* const given = std::getenv("FASTNN_CUDA_LIBRARY");
  return given != nullptr && *given != '\0' ? given : beside_this_object();
}

Opened not_usable(std::string reason) {
  Opened opened;
  opened.state.reason = std::move(reason);
  return opened;
}

// Why there is no library, where none was built. Installing again helps only where there is a
// driver.
std::string not_built() {
  const bool driver = access("/proc/driver/nvidia/version", F_OK) == 0;
  return message(build_cuda, driver ? "; this machine has an NVIDIA driver: install fastnn again, "
                                      "with -C fastnn.cuda=auto"
                                    : "");
}

Opened open_library(const std::string& path) {
  const bool built = std::string(build_cuda).starts_with("built");
  if (!built && path == beside_this_object() && access(path.c_str(), F_OK) != 0) {
    return not_usable(not_built());
  }
  void* const object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    const char* const error = dlerror();
    std::string why = error != nullptr ? error : "?";
    if (why.starts_with(path + ": ")) why.erase(0, path.size() + 2);
    const bool named = path != beside_this_object();
    return not_usable(
        message("cannot open ", path, ": ", why,
                named ? " (FASTNN_CUDA_LIBRARY names it)" : "; install fastnn again"));
  }
  using Entry = const CudaLibrary* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(object, "fastnn_cuda_library"));
  if (entry == nullptr) return not_usable(message(path, " is no library of fastnn"));
  const CudaLibrary* const library = entry();
  if (library->version != cuda_abi_version || library->layout != cuda_layout()) {
    return not_usable(message(path, " belongs to another build of fastnn (version ",
                              library->version, ", here ", cuda_abi_version,
                              "); install both anew"));
  }
  Opened opened;
  opened.state.kind = library->kind;
  if (library->open(&opened.state.device) != Status::ok) {
    opened.state.reason = library->last_error();
    return opened;
  }
  opened.state.usable = true;
  opened.library = library;
  return opened;
}

// -- after a fork -----------------------------------------------------------

// CUDA does not live on in a child of the process that began to use it.
std::atomic<bool> in_use{false};
std::atomic<bool> lost{false};

void in_child() {
  if (in_use.load()) lost.store(true);
}

std::mutex& opening() {
  static auto* const mutex = new std::mutex;  // for calls at the very end, too
  return *mutex;
}

// The one that can be used, once there is one: what it made is given back to no other.
std::atomic<const CudaLibrary*> in_hand{nullptr};

// One for each path that was ever asked for; none is closed again.
const Opened& opened_library() {
  static auto* const all = new std::map<std::string, Opened>;
  const std::lock_guard lock(opening());
  const std::string path = library_path();
  const auto known = all->find(path);
  if (known != all->end()) return known->second;
  static const bool registered = in_children(in_child);
  static_cast<void>(registered);
  // Before it is known to work, for a child that is made meanwhile finds the lock held.
  in_use.store(true);
  const Opened& opened = all->emplace(path, open_library(path)).first->second;
  if (opened.library != nullptr) {
    in_hand.store(opened.library, std::memory_order_release);
  } else {
    in_use.store(in_hand.load() != nullptr);
  }
  return opened;
}

constexpr const char* after_fork =
    "CUDA cannot be used in a forked process whose parent has used it; start processes with "
    "multiprocessing's \"spawn\", or use device='cpu' in the child";

// Kept for what() of an exception that is derived from std::bad_alloc.
class OutOfDeviceMemory final : public std::bad_alloc {
 public:
  explicit OutOfDeviceMemory(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

OutOfDeviceMemory out_of_memory(const std::string& why) {
  return OutOfDeviceMemory("CUDA out of memory: " + why +
                           ". Try a smaller batch_size, or device='cpu'.");
}

}  // namespace

CudaState cuda_state() {
  if (lost.load()) return {false, after_fork, {}, {}};
  return opened_library().state;
}

const CudaLibrary& cuda_library() {
  if (lost.load()) refuse(after_fork);
  if (const CudaLibrary* const library = in_hand.load(std::memory_order_acquire)) {
    return *library;
  }
  const Opened& opened = opened_library();
  if (opened.library == nullptr) refuse("CUDA cannot be used: ", opened.state.reason);
  return *opened.library;
}

void cuda_must(Status status) {
  if (status == Status::ok) return;
  const std::string why = in_hand.load()->last_error();
  if (status == Status::out_of_memory) throw out_of_memory(why);
  refuse("CUDA failed: ", why);
}

// -- a machine --------------------------------------------------------------

void cuda_wait(Context& context) { cuda_must(cuda_library().wait(&context)); }

void cuda_release(CudaGraph* graph) {
  if (!lost.load()) cuda_library().release_graph(graph);
}

namespace {

void* reserve(Context& here, std::size_t bytes) {
  void* const memory = cuda_library().allocate(&here, bytes);
  if (memory != nullptr) return memory;
  // A device that is lost has no memory either, which no smaller batch_size would mend.
  const std::string why = cuda_library().last_error();
  cuda_wait(here);
  throw out_of_memory(why);
}

constexpr Order order{
    .stream = [](Context& here) { return cuda_library().stream(&here); },
    .wait_for = [](Context& here,
                   void* stream) { cuda_must(cuda_library().wait_for(&here, stream)); },
    .let_wait = [](Context& here,
                   void* stream) { cuda_must(cuda_library().let_wait(&here, stream)); },
    .wait = cuda_wait,
};

}  // namespace

Machine cuda_machine() {
  const CudaLibrary& library = cuda_library();
  Context* const context = library.make_context();
  if (context == nullptr) cuda_must(Status::failed);
  return {
      .table = library.table,
      .context = {context,
                  [](Context* ended) {
                    if (!lost.load()) cuda_library().end_context(ended);
                  }},
      .allocate = [](Context& here, std::size_t bytes) -> void* {
        void* const memory = reserve(here, bytes);
        cuda_must(cuda_library().clear(&here, memory, bytes));
        return memory;
      },
      .reserve = reserve,
      .release =
          [](Context& here, void* memory) {
            if (!lost.load()) cuda_library().release(&here, memory);
          },
      .read = [](Context& here, void* host, const void* memory,
                 std::size_t bytes) { cuda_must(cuda_library().read(&here, host, memory, bytes)); },
      .write =
          [](Context& here, void* memory, const void* host, std::size_t bytes) {
            cuda_must(cuda_library().write(&here, memory, host, bytes));
          },
      .must = cuda_must,
      .order = &order,
      .encoded_dense = library.encoded_dense,
  };
}

}  // namespace fastnn
