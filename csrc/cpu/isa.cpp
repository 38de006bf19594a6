// Which instruction sets were built, which of them this processor supports, and which one is used.
#include "cpu/isa.h"

#include <cstdlib>

#include "core/check.h"
#include "cpu/context.h"

#if defined(FASTNN_AMX) && !defined(FASTNN_EMULATE_TILES)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace fastnn {

namespace baseline {
extern const KernelTable table;
extern const DenseFinish dense_finish;
extern const EncodedDense encoded_dense;
extern const LaneTable lane_table;
}  // namespace baseline
#ifdef FASTNN_X86
namespace avx2 {
extern const KernelTable table;
extern const DenseFinish dense_finish;
extern const EncodedDense encoded_dense;
extern const LaneTable lane_table;
}  // namespace avx2
#endif
#ifdef FASTNN_AVX512
namespace avx512 {
extern const KernelTable table;
extern const DenseFinish dense_finish;
extern const EncodedDense encoded_dense;
extern const LaneTable lane_table;
}  // namespace avx512
#endif
#ifdef FASTNN_AVX512_BF16
namespace avx512_bf16 {
extern const Bf16Kernels bf16_kernels;
}
#endif
#ifdef FASTNN_AMX
namespace amx {
extern const Bf16Kernels bf16_kernels;
}
#endif

bool amx_usable(bool has_tiles, bool has_bf16, bool (*request)()) {
  return has_tiles && has_bf16 && request();
}

namespace {

#ifdef FASTNN_X86
bool has_avx2() {
  return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 &&
         __builtin_cpu_supports("bmi2") != 0;
}
#endif

#ifdef FASTNN_AVX512
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") != 0 &&
         __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
         __builtin_cpu_supports("avx512vl") != 0;
}
#endif

#ifdef FASTNN_AVX512_BF16
bool has_avx512_bf16() { return has_avx512() && __builtin_cpu_supports("avx512bf16") != 0; }
#endif

#if defined(FASTNN_AMX) && !defined(FASTNN_EMULATE_TILES)
// Linux saves the tiles' 8 KB only for a process that has asked for them.
bool request_tiles() {
#ifdef __linux__
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;               // the feature's number
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}

bool has_amx() {
  static const bool usable = [] {
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (!has_avx512_bf16() || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
    return amx_usable((edx >> 24 & 1U) != 0, (edx >> 22 & 1U) != 0, request_tiles);
  }();
  return usable;
}
#endif

struct Level {
  const char* name;
  const KernelTable* kernels;
  const Bf16Kernels* bf16;
  int bf16_parts;
  const DenseFinish* finish;
  const EncodedDense* encoded_dense;
  const LaneTable* lanes;
  bool unit_takes_roots;
  bool (*supported)();
};

// Least capable first. The dot products of pairs (avx512_bf16) do twice the work of float32's units
// in the same time. Two parts take three times the work, so they do not pay there. Most processors
// with dot products but without AMX are AMD's, whose square roots and quotients are fast (measured
// on Zen 5, see benchmarks/NOTES.md); on an Intel processor whose system refuses tiles, Adam is
// slower for it. __builtin_cpu_supports also checks that the operating system saves the registers.
const Level levels[] = {
    {"baseline", &baseline::table, nullptr, 0, &baseline::dense_finish, &baseline::encoded_dense,
     &baseline::lane_table, false, [] { return true; }},
#ifdef FASTNN_X86
    {"avx2", &avx2::table, nullptr, 0, &avx2::dense_finish, &avx2::encoded_dense, &avx2::lane_table,
     false, has_avx2},
#endif
#ifdef FASTNN_AVX512
    {"avx512", &avx512::table, nullptr, 0, &avx512::dense_finish, &avx512::encoded_dense,
     &avx512::lane_table, false, has_avx512},
#endif
#ifdef FASTNN_AVX512_BF16
    {"avx512_bf16", &avx512::table, &avx512_bf16::bf16_kernels, 1, &avx512::dense_finish,
     &avx512::encoded_dense, &avx512::lane_table, true, has_avx512_bf16},
#endif
#if defined(FASTNN_EMULATE_TILES)
    // Tiles in plain memory, with kernels that most processors run: for tests only.
    {"amx", &avx2::table, &amx::bf16_kernels, 2, &avx2::dense_finish, &avx2::encoded_dense,
     &avx2::lane_table, false, has_avx2},
#elif defined(FASTNN_AMX)
    {"amx", &avx512::table, &amx::bf16_kernels, 2, &avx512::dense_finish, &avx512::encoded_dense,
     &avx512::lane_table, false, has_amx},
#endif
};

CpuTable table_of(const Level& level) {
  CpuTable table{*level.kernels,        level.bf16 != nullptr ? *level.bf16 : Bf16Kernels{},
                 level.bf16_parts,      level.finish,
                 level.encoded_dense,   level.lanes,
                 level.unit_takes_roots};
  table.kernels.name = level.name;
  return table;
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

const Level& choose() {
  const char* wanted = std::getenv("FASTNN_ISA");
  const Level* best = &levels[0];
  for (const Level& level : levels) {
    const bool named = wanted != nullptr && std::string(wanted) == level.name;
    if (named && !level.supported()) {
      refuse("FASTNN_ISA=", wanted, ": this processor lacks it; it has ", listed(isas_supported()));
    }
    if (named) return level;
    if (level.supported()) best = &level;
  }
  if (wanted != nullptr && *wanted != '\0') {
    refuse("FASTNN_ISA=", wanted, ": expected one of ", listed(isas_built()));
  }
  return *best;
}

}  // namespace

const CpuTable& cpu_table() {
  static const CpuTable chosen = table_of(choose());
  return chosen;
}

bool unit_takes_roots() { return cpu_table().unit_takes_roots; }

const KernelTable& cpu_kernels() { return cpu_table().kernels; }

std::vector<std::string> isas_built() {
  std::vector<std::string> names;
  for (const Level& level : levels) names.emplace_back(level.name);
  return names;
}

std::vector<std::string> isas_supported() {
  std::vector<std::string> names;
  for (const Level& level : levels) {
    if (level.supported()) names.emplace_back(level.name);
  }
  return names;
}

}  // namespace fastnn
