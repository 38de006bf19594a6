// Which instruction sets were built, which this processor has, which is used.
#include "cpu/isa.h"

#include <cstdlib>

#include "core/check.h"

namespace fastnn {

namespace baseline {
extern const KernelTable table;
}
#ifdef FASTNN_X86
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

struct Level {
  const KernelTable* table;
  bool (*supported)();
};

// Least capable first. __builtin_cpu_supports also asks whether the operating
// system saves the registers.
const Level levels[] = {
    {&baseline::table, [] { return true; }},
#ifdef FASTNN_X86
    {&avx2::table,
     [] { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }},
    {&avx512::table,
     [] {
       return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
              __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
              __builtin_cpu_supports("fma") != 0;
     }},
#endif
};

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const KernelTable& choose() {
  const char* wanted = std::getenv("FASTNN_ISA");
  const KernelTable* best = levels[0].table;
  for (const Level& level : levels) {
    const bool named = wanted != nullptr && std::string(wanted) == level.table->name;
    if (named && !level.supported()) {
      refuse("FASTNN_ISA=", wanted, ": this processor lacks it; it has ", listed(isas_supported()));
    }
    if (named) return *level.table;
    if (level.supported()) best = level.table;
  }
  if (wanted != nullptr && *wanted != '\0') {
    refuse("FASTNN_ISA=", wanted, ": expected one of ", listed(isas_built()));
  }
  return *best;
}

}  // namespace

const KernelTable& cpu_kernels() {
  static const KernelTable& chosen = choose();
  return chosen;
}

std::vector<std::string> isas_built() {
  std::vector<std::string> names;
  for (const Level& level : levels) names.emplace_back(level.table->name);
  return names;
}

std::vector<std::string> isas_supported() {
  std::vector<std::string> names;
  for (const Level& level : levels) {
    if (level.supported()) names.emplace_back(level.table->name);
  }
  return names;
}

}  // namespace fastnn
