// Vectors of the instruction set that is compiled for, used only by the micro-kernels of products:
// all other kernels are plain loops that the compiler vectorises.
#pragma once

#include "core/kernels.h"
#include "core/target.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_TARGET {

// Number of lanes of T; load, store, broadcast; fused multiply-add; a Mask of the first `count`
// lanes. A masked load reads the other lanes as 0, a masked store does not write them.
template <class T>
struct Vector;

#if defined(__AVX512F__)

template <>
struct Vector<float> {
  static constexpr Index lanes = 16;
  using Type = __m512;
  using Mask = __mmask16;
  static FASTNN_INLINE Mask first(Index count) { return static_cast<Mask>((1U << count) - 1U); }
  static FASTNN_INLINE Type zero() { return _mm512_setzero_ps(); }
  static FASTNN_INLINE Type load(const float* p) { return _mm512_loadu_ps(p); }
  static FASTNN_INLINE Type load(const float* p, Mask m) { return _mm512_maskz_loadu_ps(m, p); }
  static FASTNN_INLINE void store(float* p, Type x) { _mm512_storeu_ps(p, x); }
  static FASTNN_INLINE void store(float* p, Mask m, Type x) { _mm512_mask_storeu_ps(p, m, x); }
  static FASTNN_INLINE Type broadcast(float x) { return _mm512_set1_ps(x); }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return _mm512_fmadd_ps(a, b, c); }
  static FASTNN_INLINE Type add(Type a, Type b) { return _mm512_add_ps(a, b); }
};

template <>
struct Vector<double> {
  static constexpr Index lanes = 8;
  using Type = __m512d;
  using Mask = __mmask8;
  static FASTNN_INLINE Mask first(Index count) { return static_cast<Mask>((1U << count) - 1U); }
  static FASTNN_INLINE Type zero() { return _mm512_setzero_pd(); }
  static FASTNN_INLINE Type load(const double* p) { return _mm512_loadu_pd(p); }
  static FASTNN_INLINE Type load(const double* p, Mask m) { return _mm512_maskz_loadu_pd(m, p); }
  static FASTNN_INLINE void store(double* p, Type x) { _mm512_storeu_pd(p, x); }
  static FASTNN_INLINE void store(double* p, Mask m, Type x) { _mm512_mask_storeu_pd(p, m, x); }
  static FASTNN_INLINE Type broadcast(double x) { return _mm512_set1_pd(x); }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return _mm512_fmadd_pd(a, b, c); }
  static FASTNN_INLINE Type add(Type a, Type b) { return _mm512_add_pd(a, b); }
};

// Half a vector, for few columns: a processor that takes two turns for a whole vector, as Zen 4
// does, takes one for a half.
template <class T>
struct HalfVector;

template <>
struct HalfVector<float> {
  static constexpr Index lanes = 8;
  using Type = __m256;
  using Mask = __mmask8;
  static FASTNN_INLINE Mask first(Index count) { return static_cast<Mask>((1U << count) - 1U); }
  static FASTNN_INLINE Type zero() { return _mm256_setzero_ps(); }
  static FASTNN_INLINE Type load(const float* p) { return _mm256_loadu_ps(p); }
  static FASTNN_INLINE Type load(const float* p, Mask m) { return _mm256_maskz_loadu_ps(m, p); }
  static FASTNN_INLINE void store(float* p, Type x) { _mm256_storeu_ps(p, x); }
  static FASTNN_INLINE void store(float* p, Mask m, Type x) { _mm256_mask_storeu_ps(p, m, x); }
  static FASTNN_INLINE Type broadcast(float x) { return _mm256_set1_ps(x); }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static FASTNN_INLINE Type add(Type a, Type b) { return _mm256_add_ps(a, b); }
};

template <>
struct HalfVector<double> {
  static constexpr Index lanes = 4;
  using Type = __m256d;
  using Mask = __mmask8;
  static FASTNN_INLINE Mask first(Index count) { return static_cast<Mask>((1U << count) - 1U); }
  static FASTNN_INLINE Type zero() { return _mm256_setzero_pd(); }
  static FASTNN_INLINE Type load(const double* p) { return _mm256_loadu_pd(p); }
  static FASTNN_INLINE Type load(const double* p, Mask m) { return _mm256_maskz_loadu_pd(m, p); }
  static FASTNN_INLINE void store(double* p, Type x) { _mm256_storeu_pd(p, x); }
  static FASTNN_INLINE void store(double* p, Mask m, Type x) { _mm256_mask_storeu_pd(p, m, x); }
  static FASTNN_INLINE Type broadcast(double x) { return _mm256_set1_pd(x); }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return _mm256_fmadd_pd(a, b, c); }
  static FASTNN_INLINE Type add(Type a, Type b) { return _mm256_add_pd(a, b); }
};

#elif defined(__AVX2__)

// A mask is a vector of integers as wide as the lanes; a sign bit marks an active lane.
template <>
struct Vector<float> {
  static constexpr Index lanes = 8;
  using Type = __m256;
  using Mask = __m256i;
  static FASTNN_INLINE Mask first(Index count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)),
                              _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static FASTNN_INLINE Type zero() { return _mm256_setzero_ps(); }
  static FASTNN_INLINE Type load(const float* p) { return _mm256_loadu_ps(p); }
  static FASTNN_INLINE Type load(const float* p, Mask m) { return _mm256_maskload_ps(p, m); }
  static FASTNN_INLINE void store(float* p, Type x) { _mm256_storeu_ps(p, x); }
  static FASTNN_INLINE void store(float* p, Mask m, Type x) { _mm256_maskstore_ps(p, m, x); }
  static FASTNN_INLINE Type broadcast(float x) { return _mm256_set1_ps(x); }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return _mm256_fmadd_ps(a, b, c); }
  static FASTNN_INLINE Type add(Type a, Type b) { return _mm256_add_ps(a, b); }
};

template <>
struct Vector<double> {
  static constexpr Index lanes = 4;
  using Type = __m256d;
  using Mask = __m256i;
  static FASTNN_INLINE Mask first(Index count) {
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), _mm256_setr_epi64x(0, 1, 2, 3));
  }
  static FASTNN_INLINE Type zero() { return _mm256_setzero_pd(); }
  static FASTNN_INLINE Type load(const double* p) { return _mm256_loadu_pd(p); }
  static FASTNN_INLINE Type load(const double* p, Mask m) { return _mm256_maskload_pd(p, m); }
  static FASTNN_INLINE void store(double* p, Type x) { _mm256_storeu_pd(p, x); }
  static FASTNN_INLINE void store(double* p, Mask m, Type x) { _mm256_maskstore_pd(p, m, x); }
  static FASTNN_INLINE Type broadcast(double x) { return _mm256_set1_pd(x); }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return _mm256_fmadd_pd(a, b, c); }
  static FASTNN_INLINE Type add(Type a, Type b) { return _mm256_add_pd(a, b); }
};

#else

// Vectors of 16 bytes by the compiler's extension: SSE2, NEON or the target's equivalent. gemm.cpp
// is compiled with contraction, so that targets with a fused operation use it.
template <class T>
struct Vector {
  static constexpr Index lanes = 16 / sizeof(T);
  using Type __attribute__((vector_size(16))) = T;
  using Mask = Index;
  static FASTNN_INLINE Mask first(Index count) { return count; }
  static FASTNN_INLINE Type zero() { return Type{}; }
  static FASTNN_INLINE Type load(const T* p) {
    Type x;
    __builtin_memcpy(&x, p, sizeof x);
    return x;
  }
  static FASTNN_INLINE Type load(const T* p, Mask count) {
    Type x{};
    for (Index i = 0; i < lanes; ++i) {
      if (i < count) x[i] = p[i];
    }
    return x;
  }
  static FASTNN_INLINE void store(T* p, Type x) { __builtin_memcpy(p, &x, sizeof x); }
  static FASTNN_INLINE void store(T* p, Mask count, Type x) {
    for (Index i = 0; i < lanes; ++i) {
      if (i < count) p[i] = x[i];
    }
  }
  static FASTNN_INLINE Type broadcast(T x) { return Type{} + x; }
  static FASTNN_INLINE Type mul_add(Type a, Type b, Type c) { return a * b + c; }
  static FASTNN_INLINE Type add(Type a, Type b) { return a + b; }
};

#endif

}  // namespace fastnn::FASTNN_TARGET
