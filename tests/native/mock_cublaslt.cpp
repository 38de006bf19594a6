// cuBLASLt for the emulated device: the functions that fastnn uses, in plain loops.
//
// Numbers stand here as NVIDIA's documentation has them, and are not shared with what is
// tested. MOCK_CUBLASLT changes what it offers: "nothing"; "no epilogues", "no input
// gradients", "no weight gradients"; "relu of nan", whose relu makes 0 of NaN as a GPU's
// maximum does. In the file MOCK_CUBLASLT_LOG it writes a
// line for each product: m n k, types, epilogue, as column-major.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int success = 0, invalid_value = 7, not_supported = 15;
constexpr int float32 = 0, bfloat16 = 14;

struct Description {
  int compute, scale;
  int transpose_a = 0, transpose_b = 0;
  unsigned epilogue = 1;
  float* bias = nullptr;
};

struct Layout {
  int type;
  std::uint64_t rows, columns;
  std::int64_t stride;
};

struct Wish {
  std::uint64_t workspace = 0;
  unsigned reductions = 7;
  unsigned alignment[4] = {256, 256, 256, 256};
};

struct Algorithm {
  std::uint64_t data[8];
};

struct Offer {
  Algorithm algorithm;
  std::size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

bool mode(const char* name) {
  const char* const set = std::getenv("MOCK_CUBLASLT");
  return set != nullptr && std::strcmp(set, name) == 0;
}

// -- the emulated device ----------------------------------------------------

template <class Function>
Function emulated(const char* name) {
  static void* const library = dlopen(std::getenv("FASTNN_CUDA_LIBRARY"), RTLD_NOW | RTLD_NOLOAD);
  return reinterpret_cast<Function>(dlsym(library, name));
}

void* real(const void* address, std::size_t bytes) {
  static const auto find = emulated<void* (*)(const void*, std::size_t)>("fastnn_emulated_address");
  return find(address, bytes);
}

// -- a product --------------------------------------------------------------

struct Job {
  Description description;
  Layout a, b, d;
  const void* a_at;
  const void* b_at;
  float* d_at;
  float alpha, beta;
  std::uint64_t m, n, k, turn;
  bool swallows;
};

std::uint64_t rows(const Layout& layout, int transpose) {
  return transpose != 0 ? layout.columns : layout.rows;
}
std::uint64_t columns(const Layout& layout, int transpose) {
  return transpose != 0 ? layout.rows : layout.columns;
}

std::size_t bytes(const Layout& layout) {
  const auto all = static_cast<std::size_t>(layout.stride) * layout.columns;
  return all * (layout.type == float32 ? 4 : 2);
}

float value(const Layout& layout, int transpose, const void* data, std::uint64_t row,
            std::uint64_t column) {
  if (transpose != 0) std::swap(row, column);
  const std::uint64_t place = row + column * static_cast<std::uint64_t>(layout.stride);
  if (layout.type == float32) return static_cast<const float*>(data)[place];
  const std::uint32_t bits = std::uint32_t{static_cast<const std::uint16_t*>(data)[place]} << 16U;
  float result = 0;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

int multiply(const void* arguments) {
  Job job;
  std::memcpy(&job, arguments, sizeof job);
  const Description& what = job.description;
  const void* const a = real(job.a_at, bytes(job.a));
  const void* const b = real(job.b_at, bytes(job.b));
  auto* const d = static_cast<float*>(real(job.d_at, bytes(job.d)));
  const bool biased = what.epilogue != 1;
  auto* const bias = biased ? static_cast<float*>(real(what.bias, 4 * job.m)) : nullptr;
  if (a == nullptr || b == nullptr || d == nullptr || (biased && bias == nullptr)) return 1;
  for (std::uint64_t i = 0; i < job.m; ++i) {
    float gradient = 0;
    for (std::uint64_t k = 0; k < job.k; ++k) gradient += value(job.a, what.transpose_a, a, i, k);
    for (std::uint64_t j = 0; j < job.n; ++j) {
      float sum = 0;
      for (std::uint64_t l = 0; l < job.k; ++l) {
        const std::uint64_t k = (l + job.turn) % job.k;
        sum += value(job.a, what.transpose_a, a, i, k) * value(job.b, what.transpose_b, b, k, j);
      }
      float& place = d[i + j * static_cast<std::uint64_t>(job.d.stride)];
      float result = job.alpha * sum;
      if (job.beta != 0) result += job.beta * place;
      if ((what.epilogue & 4U) != 0) result += bias[i];
      if ((what.epilogue & 2U) != 0) {
        if (result < 0 || (job.swallows && !(result > 0))) result = 0;
      }
      place = result;
    }
    if (what.epilogue == 256) bias[i] = gradient;
  }
  return 0;
}

// m, n and k where the layouts go with one another.
bool fits(const Description& what, const Layout& a, const Layout& b, const Layout& d,
          Algorithm& shape) {
  const std::uint64_t k = columns(a, what.transpose_a);
  const bool types = a.type == b.type && (a.type == float32 || a.type == bfloat16) &&
                     d.type == float32 && what.compute == 68 && what.scale == float32;
  const bool strides = a.stride >= static_cast<std::int64_t>(a.rows) &&
                       b.stride >= static_cast<std::int64_t>(b.rows) &&
                       d.stride >= static_cast<std::int64_t>(d.rows);
  shape = {{d.rows, d.columns, k, what.epilogue, static_cast<std::uint64_t>(a.type)}};
  return types && strides && rows(a, what.transpose_a) == d.rows &&
         rows(b, what.transpose_b) == k && columns(b, what.transpose_b) == d.columns;
}

bool aligned(const void* address, std::uint64_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

template <class T>
int set(T& member, const void* from, std::size_t count) {
  if (count != sizeof(T)) return invalid_value;
  std::memcpy(&member, from, count);
  return success;
}

}  // namespace

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int cublasLtCreate(int** handle) {
  *handle = new int(1);
  return success;
}
EXPORTED int cublasLtDestroy(int* handle) {
  delete handle;
  return success;
}
EXPORTED std::size_t cublasLtGetVersion() { return 130207; }
EXPORTED const char* cublasLtGetStatusString(int) { return "the mock refuses"; }

EXPORTED int cublasLtMatmulDescCreate(Description** made, int compute, int scale) {
  *made = new Description{compute, scale};
  return success;
}
EXPORTED int cublasLtMatmulDescDestroy(Description* one) {
  delete one;
  return success;
}
EXPORTED int cublasLtMatmulDescSetAttribute(Description* to, int attribute, const void* from,
                                            std::size_t count) {
  if (attribute == 3) return set(to->transpose_a, from, count);
  if (attribute == 4) return set(to->transpose_b, from, count);
  if (attribute == 7) return set(to->epilogue, from, count);
  if (attribute == 8) return set(to->bias, from, count);
  return invalid_value;
}

EXPORTED int cublasLtMatrixLayoutCreate(Layout** made, int type, std::uint64_t row_count,
                                        std::uint64_t column_count, std::int64_t stride) {
  *made = new Layout{type, row_count, column_count, stride};
  return success;
}
EXPORTED int cublasLtMatrixLayoutDestroy(Layout* one) {
  delete one;
  return success;
}

EXPORTED int cublasLtMatmulPreferenceCreate(Wish** made) {
  *made = new Wish;
  return success;
}
EXPORTED int cublasLtMatmulPreferenceDestroy(Wish* one) {
  delete one;
  return success;
}
EXPORTED int cublasLtMatmulPreferenceSetAttribute(Wish* to, int attribute, const void* from,
                                                  std::size_t count) {
  if (attribute == 1) return set(to->workspace, from, count);
  if (attribute == 3) return set(to->reductions, from, count);
  if (attribute >= 5 && attribute <= 8) return set(to->alignment[attribute - 5], from, count);
  return invalid_value;
}

EXPORTED int cublasLtMatmulAlgoGetHeuristic(int*, const Description* what, const Layout* a,
                                            const Layout* b, const Layout* c, const Layout* d,
                                            const Wish* wish, int most, Offer* offers, int* count) {
  *count = 0;
  Algorithm shape{};
  if (!fits(*what, *a, *b, *d, shape) || std::memcmp(c, d, sizeof *c) != 0) return invalid_value;
  if (mode("nothing") || (mode("no epilogues") && what->epilogue != 1)) return not_supported;
  if (mode("no input gradients") && what->transpose_a != 0) return not_supported;
  if (mode("no weight gradients") && what->transpose_b != 0) return not_supported;
  for (int i = 0; i < 4; ++i) shape.data[5] = shape.data[5] << 16U | wish->alignment[i];
  // Sums that are added in place come in any order.
  shape.data[6] = (wish->reductions & ~2U) != 0 ? 1 : 0;
  // The first cannot be had: its state says so, or it wants more memory than there is.
  if (most < 2) return success;
  offers[0] = {{}, wish->workspace, not_supported, 1, {}};
  offers[1] = {shape, wish->workspace / 2, success, 1, {}};
  *count = 2;
  return success;
}

EXPORTED int cublasLtMatmul(int*, const Description* what, const float* alpha, const void* a,
                            const Layout* a_layout, const void* b, const Layout* b_layout,
                            const float* beta, const void* c, const Layout*, float* d,
                            const Layout* d_layout, const Algorithm* algorithm, void* workspace,
                            std::size_t workspace_bytes, void* stream) {
  static std::uint64_t calls = 0;
  Algorithm shape{};
  if (!fits(*what, *a_layout, *b_layout, *d_layout, shape) || c != d) return invalid_value;
  if (std::memcmp(shape.data, algorithm->data, 5 * sizeof shape.data[0]) != 0) return invalid_value;
  const std::uint64_t alignment = algorithm->data[5];
  const bool fine = aligned(a, alignment >> 48U) && aligned(b, alignment >> 32U & 0xFFFFU) &&
                    aligned(c, alignment >> 16U & 0xFFFFU) && aligned(d, alignment & 0xFFFFU) &&
                    real(workspace, workspace_bytes) != nullptr;
  if (!fine) return invalid_value;
  const Job job{*what,
                *a_layout,
                *b_layout,
                *d_layout,
                a,
                b,
                d,
                *alpha,
                *beta,
                shape.data[0],
                shape.data[1],
                shape.data[2],
                algorithm->data[6] != 0 ? ++calls : 0,
                mode("relu of nan")};
  if (const char* const path = std::getenv("MOCK_CUBLASLT_LOG")) {
    if (std::FILE* const log = std::fopen(path, "a")) {
      std::fprintf(log, "%d %d %d %s %u\n", static_cast<int>(job.m), static_cast<int>(job.n),
                   static_cast<int>(job.k), job.a.type == float32 ? "float32" : "bfloat16",
                   what->epilogue);
      std::fclose(log);
    }
  }
  static const auto give = emulated<int (*)(void*, int (*)(const void*), const void*, std::size_t)>(
      "fastnn_emulated_give");
  return give(stream, multiply, &job, sizeof job) == 0 ? success : invalid_value;
}
