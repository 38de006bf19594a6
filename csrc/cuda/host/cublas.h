// cuBLASLt, if it is installed: the functions and constants that fastnn uses, declared by hand from
// its documentation, and the library itself, which is opened on the first request.
//
// It is part of no build. If it is not found, the GPU computes with fastnn's own kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace fastnn::cublas {

// -- its constants, with their values ---------------------------------------

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
  bias_gradient_a = 256,  // the sum of A over k, written to `bias`
};

enum class Preference : int {
  workspace_bytes = 1,
  reduction_schemes = 3,  // those allowed in addition to none
  alignment_a = 5,
  alignment_b = 6,
  alignment_c = 7,
  alignment_d = 8,
};

// The pieces of a sum that is cut are kept in the workspace in float32 and added in order.
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

// Each is named like its member, with the prefix cublasLt.
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

// The library. It is opened once and never closed.
struct Library {
  const Functions* functions = nullptr;  // null: not found
  std::string about;                     // version and path, or why it was not found
};

// FASTNN_CUBLASLT names the file to open; "none" opens none.
const Library& library();

}  // namespace fastnn::cublas
