// `cuda_twins LIBRARY` opens a _cuda; the CPU's kernels are linked in, in a namespace of their
// own. Prints each difference, and how many there were: see cuda_twins.h.
#include "cuda_twins.h"

#include <dlfcn.h>

// As the device does.
bool fastnn::unit_takes_roots() { return false; }

int main(int count, char** words) {
  using namespace twins;
  if (count != 2) return 2;
  void* const object = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    std::printf("%s\n", dlerror());
    return 2;
  }
  using Offered = const CudaLibrary* (*)();
  const auto offered = reinterpret_cast<Offered>(dlsym(object, "fastnn_cuda_library"));
  if (offered == nullptr) return 2;
  library = offered();
  device = library->make_context();
  if (library->layout != cuda_layout() || device == nullptr) return 2;
  check_rows();
  check_numbers();
  check_layers();
  check_tables();
  check_products();
  library->end_context(device);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
