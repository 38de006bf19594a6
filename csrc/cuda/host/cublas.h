// cuBLASLt, where there is one: the functions and words of it that we use, declared by hand
// from its documentation, and the library itself, opened when somebody first asks.
//
// It is part of no build. Where it is not found the GPU computes with kernels of our own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fastnn::cublas {

// -- its words, with their values -------------------------------------------

enum class Result : int { success = 0 };

enum class Compute : int { f32 = 68 };
enum class Type : int { f32 = 0, bf16 = 14 };
enum class Transpose : int { no = 0, yes = 1 };

enum class Attribute : int { transpose_a = 3, transpose_b = 4, epilogue = 7, bias = 8 };

enum Epilogue : unsigned {
  plain = 1,
  relu = 2,
  bias = 4,
  relu_bias = relu | bias,
  bias_gradient_a = 256,  // the sum of A over k, to where `bias` says
};

enum class Preference : int {
  workspace_bytes = 1,
  reduction_schemes = 3,  // those allowed beside none
  alignment_a = 5,
  alignment_b = 6,
  alignment_c = 7,
  alignment_d = 8,
};

// Pieces of a sum that is cut are kept in the workspace in float32, and added in order.
inline constexpr std::uint32_t reduction_in_compute_type = 2;

struct Algorithm {
  std::uint64_t data[8];
};

struct Offer {
  Algorithm algorithm;
  std::size_t workspace_bytes;
  Result state;
  float waves;
  int reserved[4];
};

using Handle = struct HandleContent*;
using Description = struct DescriptionContent*;
using Layout = struct LayoutContent*;
using Wish = struct WishContent*;

// -- its functions ----------------------------------------------------------

// Of the member's name with cublasLt before it.
struct Functions {
  Result (*Create)(Handle*);
  Result (*Destroy)(Handle);
  std::size_t (*GetVersion)();
  const char* (*GetStatusString)(Result);
  Result (*MatmulDescCreate)(Description*, Compute, Type scale);
  Result (*MatmulDescDestroy)(Description);
  Result (*MatmulDescSetAttribute)(Description, Attribute, const void* value, std::size_t bytes);
  Result (*MatrixLayoutCreate)(Layout*, Type, std::uint64_t rows, std::uint64_t columns,
                               std::int64_t stride);
  Result (*MatrixLayoutDestroy)(Layout);
  Result (*MatmulPreferenceCreate)(Wish*);
  Result (*MatmulPreferenceDestroy)(Wish);
  Result (*MatmulPreferenceSetAttribute)(Wish, Preference, const void* value, std::size_t bytes);
  Result (*MatmulAlgoGetHeuristic)(Handle, Description, Layout a, Layout b, Layout c, Layout d,
                                   Wish, int most, Offer* offers, int* count);
  Result (*Matmul)(Handle, Description, const void* alpha, const void* a, Layout, const void* b,
                   Layout, const void* beta, const void* c, Layout, void* d, Layout,
                   const Algorithm*, void* workspace, std::size_t workspace_bytes, void* stream);
};

// The library; found once, and never closed again.
struct Library {
  const Functions* functions = nullptr;  // null: there is none
  std::string about;                     // its version and path, or why there is none
};

// FASTNN_CUBLASLT: the file to open; "none": none.
const Library& library();

}  // namespace fastnn::cublas
