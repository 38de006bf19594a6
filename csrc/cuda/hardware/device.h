// The layer of cuda/device.h on a GPU.
#pragma once

#include <cuda_runtime.h>

#include "core/kernels.h"
#include "core/target.h"

#define FASTNN_DEVICE __device__ __forceinline__
#define FASTNN_UNROLL _Pragma("unroll")

namespace fastnn {

using Stream = cudaStream_t;

// Stores the reason for last_error; `doing` names the call.
Status cuda_failed(cudaError_t error, const char* doing);

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

class Thread {
 public:
  FASTNN_DEVICE int index() const { return static_cast<int>(threadIdx.x); }
  FASTNN_DEVICE int threads() const { return static_cast<int>(blockDim.x); }
  FASTNN_DEVICE Index block() const { return blockIdx.x; }
  FASTNN_DEVICE Index blocks() const { return gridDim.x; }
  FASTNN_DEVICE Index place() const { return block() * threads() + index(); }
  FASTNN_DEVICE Index all() const { return blocks() * threads(); }
  FASTNN_DEVICE int lane() const { return index() % 32; }
  FASTNN_DEVICE int warp() const { return index() / 32; }

  FASTNN_DEVICE void barrier() const { __syncthreads(); }
  FASTNN_DEVICE void warp_barrier() const { __syncwarp(); }
  template <class T>
  FASTNN_DEVICE T exchange(T x, int mask) const {
    return __shfl_xor_sync(0xFFFFFFFFU, x, mask);
  }
  template <class T>
  FASTNN_DEVICE T from_lane(T x, int lane) const {
    return __shfl_sync(0xFFFFFFFFU, x, lane);
  }

  template <class S>
  FASTNN_DEVICE S& shared() const {
    extern __shared__ __align__(128) unsigned char fastnn_shared[];
    return *reinterpret_cast<S*>(fastnn_shared);
  }

  FASTNN_DEVICE bool last_block(unsigned* counter) const {
    // Each thread's writes come before its block counts itself.
    __threadfence();
    __syncthreads();
    bool last = false;
    if (index() == 0) last = atomicInc(counter, gridDim.x - 1) == gridDim.x - 1;
    last = __syncthreads_or(last ? 1 : 0) != 0;
    __threadfence();
    return last;
  }

  FASTNN_DEVICE void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) const {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
};

FASTNN_DEVICE uint32_t bf16_pair(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

// Number of blocks that a multiprocessor must be able to hold. The compiler derives the number of
// registers of a thread from it. With 0 the compiler chooses, and may spill to fit more blocks.
template <class Body>
constexpr int resident_blocks() {
  if constexpr (requires { Body::resident_blocks; }) {
    return Body::resident_blocks;
  } else {
    return 0;
  }
}

template <class Body>
__global__ void __launch_bounds__(Body::threads, resident_blocks<Body>())
    run(const __grid_constant__ Body body) {
  body(Thread{});
}

template <class Body>
const void* address_of() {
  return reinterpret_cast<const void*>(&run<Body>);
}

template <class Body>
Status start(Stream stream, Index blocks, size_t shared, const Body& body) {
  constexpr size_t always = size_t{48} << 10U;
  if (blocks > 0x7FFFFFFF) return cuda_failed(cudaErrorInvalidConfiguration, "a launch");
  if (shared > always) {
    const cudaError_t error = cudaFuncSetAttribute(
        address_of<Body>(), cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared));
    if (error != cudaSuccess) return cuda_failed(error, "shared memory for a kernel");
  }
  run<Body><<<static_cast<unsigned>(blocks), Body::threads, shared, stream>>>(body);
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? Status::ok : cuda_failed(error, "the launch of a kernel");
}

}  // namespace fastnn::FASTNN_TARGET
