// The namespace of shared formulas: one for each compilation target.
//
// Headers with code (math.h, activation.h, random.h) are compiled once for each instruction set,
// and once more for code without an instruction set of its own. An inline function outside these
// namespaces could be emitted with AVX instructions and then be linked into the baseline path. So
// there is none.
#pragma once

#ifndef FASTNN_TARGET
#define FASTNN_TARGET portable
#endif

#ifdef __CUDACC__
#define FASTNN_INLINE __host__ __device__ __forceinline__
#else
#define FASTNN_INLINE inline __attribute__((always_inline))
#endif

// For long functions of the host with many callers: one copy, which they call.
#define FASTNN_APART [[maybe_unused]] __attribute__((noinline)) static
