#include "cuda/host/cublas.h"

#include <dlfcn.h>

#include <cstdlib>
#include <vector>

#include "core/check.h"

namespace fastnn::cublas {
namespace {

constexpr const char* names[] = {"libcublasLt.so.13", "libcublasLt.so.12"};

// The folder of Python packages that contains fastnn.
std::string packages() {
  Dl_info here{};
  if (dladdr(reinterpret_cast<void*>(&packages), &here) == 0) return "..";
  const std::string file = here.dli_fname;  // .../fastnn/_core.so
  const std::size_t slash = file.rfind('/');
  return (slash == std::string::npos ? "." : file.substr(0, slash)) + "/..";
}

// Paths where the library may be, in the order in which they are tried.
std::vector<std::string> places() {
  std::vector<std::string> all;
  for (const char* const folder :
       {"/nvidia/cu13/lib/", "/nvidia/cublas/lib/", "/nvidia/cu12/lib/"}) {
    for (const char* const name : names) all.push_back(packages() + folder + name);
  }
  for (const char* const name : names) {
    all.push_back(std::string("/usr/local/cuda/lib64/") + name);
  }
  for (const char* const name : names) all.emplace_back(name);
  return all;
}

template <class Function>
bool find(void* object, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(object, name));
  return function != nullptr;
}

bool find_all(void* object, Functions& f) {
#define FASTNN_FIND(name) find(object, "cublasLt" #name, f.name)
  return FASTNN_FIND(Create) && FASTNN_FIND(Destroy) && FASTNN_FIND(GetVersion) &&
         FASTNN_FIND(GetStatusString) && FASTNN_FIND(MatmulDescCreate) &&
         FASTNN_FIND(MatmulDescDestroy) && FASTNN_FIND(MatmulDescSetAttribute) &&
         FASTNN_FIND(MatrixLayoutCreate) && FASTNN_FIND(MatrixLayoutDestroy) &&
         FASTNN_FIND(MatmulPreferenceCreate) && FASTNN_FIND(MatmulPreferenceDestroy) &&
         FASTNN_FIND(MatmulPreferenceSetAttribute) && FASTNN_FIND(MatmulAlgoGetHeuristic) &&
         FASTNN_FIND(Matmul);
#undef FASTNN_FIND
}

// 130002 is 13.0.2.
std::string version_of(std::size_t number) {
  return message(number / 10000, ".", number % 10000 / 100, ".", number % 100);
}

std::string path_of(const Functions& functions) {
  Dl_info there{};
  const bool known = dladdr(reinterpret_cast<void*>(functions.Matmul), &there) != 0;
  return known && there.dli_fname != nullptr ? there.dli_fname : "?";
}

Library take(void* object, const std::string& place) {
  static Functions functions;
  Library found;
  if (!find_all(object, functions)) {
    found.about = place + " lacks functions of cuBLASLt";
    return found;
  }
  found.functions = &functions;
  found.about = message(version_of(functions.GetVersion()), " (", path_of(functions), ")");
  return found;
}

Library open_library() {
  const char* const given = std::getenv("FASTNN_CUBLASLT");
  if (given != nullptr && std::string(given) == "none") {
    return {nullptr, "switched off by FASTNN_CUBLASLT=none"};
  }
  if (given != nullptr && *given != '\0') {
    // NOLINTNEXTLINE(clang-analyzer-optin.taint.GenericTaint): the file is named by the user
    if (void* const object = dlopen(given, RTLD_NOW | RTLD_LOCAL)) return take(object, given);
    const char* const why = dlerror();
    return {nullptr,
            message("cannot open FASTNN_CUBLASLT=", given, " (", why != nullptr ? why : "?", ")")};
  }
  // A copy that another library, such as PyTorch, has loaded: two copies would take twice the
  // memory.
  for (const char* const name : names) {
    if (void* const object = dlopen(name, RTLD_NOW | RTLD_NOLOAD)) return take(object, name);
  }
  for (const std::string& place : places()) {
    if (void* const object = dlopen(place.c_str(), RTLD_NOW | RTLD_LOCAL)) {
      return take(object, place);
    }
  }
  return {nullptr, "not found: pip install '.[cublas]', or name the file in FASTNN_CUBLASLT"};
}

}  // namespace

const Library& library() {
  static const Library* const the = new Library(open_library());
  return *the;
}

}  // namespace fastnn::cublas
