// The layer of cuda/device.h without a GPU.
#pragma once

#include <cstring>
#include <new>

#include "core/kernels.h"
#include "core/target.h"
#include "cuda/emulated/fibers.h"

#define FASTNN_DEVICE inline __attribute__((always_inline))
#define FASTNN_UNROLL

namespace fastnn {

// A stream: its work is done later in order, or recorded in a graph.
struct Recording;
using Stream = Recording*;

namespace emulated {

// Runs or records the launch of a kernel with `bytes` bytes of arguments. Device addresses in
// the arguments are converted to host addresses. A host address is an error, unless one of its
// bytes is padding, which is zero in `filled`.
Status start(Stream stream, const Launch& launch, std::size_t bytes, const unsigned char* filled);

}  // namespace emulated
}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

class Thread {
 public:
  explicit Thread(emulated::Fiber& fiber) : fiber_(&fiber) {}
  int index() const { return fiber_->index; }
  int threads() const { return emulated::threads_of(*fiber_); }
  Index block() const { return emulated::block_of(*fiber_); }
  Index blocks() const { return emulated::blocks_of(*fiber_); }
  Index place() const { return block() * threads() + index(); }
  Index all() const { return blocks() * threads(); }
  int lane() const { return index() % 32; }
  int warp() const { return index() / 32; }

  void barrier() const { emulated::wait_for_block(*fiber_); }
  void warp_barrier() const { emulated::wait_for_warp(*fiber_); }
  template <class T>
  T exchange(T x, int mask) const {
    return from_lane(x, lane() ^ mask);
  }
  template <class T>
  T from_lane(T x, int lane) const {
    T result;
    emulated::give_to_warp(*fiber_, &x, sizeof x);
    emulated::take_from_warp(*fiber_, lane, &result, sizeof result);
    return result;
  }

  template <class S>
  S& shared() const {
    return *static_cast<S*>(emulated::shared_of(*fiber_));
  }

  bool last_block(unsigned* counter) const { return emulated::last_of_blocks(*fiber_, counter); }

  // Lane 4 r + q holds rows r and r + 8 of A, column r of B, and rows r and r + 8 of D in columns 2
  // q and 2 q + 1. Of A and B it holds k = 2 q, 2 q + 1, 2 q + 8 and 2 q + 9.
  void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) const {
    struct Parts {
      uint32_t a[4], b[2];
    };
    const Parts own{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    emulated::give_to_warp(*fiber_, &own, sizeof own);
    const int first = lane() / 4 * 4;
    for (int column = 0; column < 2; ++column) {
      for (int pair = 0; pair < 8; ++pair) {
        const int q = pair % 4;
        const int later = pair / 4;
        Parts left;
        Parts right;
        emulated::take_from_warp(*fiber_, first + q, &left, sizeof left);
        emulated::take_from_warp(*fiber_, (lane() % 4 * 2 + column) * 4 + q, &right, sizeof right);
        for (int row = 0; row < 2; ++row) {
          for (const unsigned shift : {16U, 0U}) {
            const auto value = [shift](uint32_t word) {
              return __builtin_bit_cast(float, word << shift & 0xFFFF0000U);
            };
            d[2 * row + column] += value(left.a[2 * later + row]) * value(right.b[later]);
          }
        }
      }
    }
  }

  emulated::Fiber& fiber() const { return *fiber_; }

 private:
  emulated::Fiber* fiber_;
};

inline uint32_t bf16_pair(float low, float high) {
  const auto rounded = [](float x) {
    const auto bits = __builtin_bit_cast(uint32_t, x);
    return x == x ? (bits + 0x7FFFU + (bits >> 16U & 1U)) >> 16U : 0x7FFFU;
  };
  return rounded(low) | rounded(high) << 16U;
}

template <class Body>
const void* address_of() {
  return nullptr;
}

template <class Body>
Status start(Stream stream, Index blocks, size_t shared, const Body& body) {
  // Bytes that are zero in `filled` are padding, in which any address may have been left. GCC 12
  // takes some other bytes, behind an array of structs, for padding, and then clears none.
  alignas(Body) unsigned char filled[sizeof(Body)];
  std::memset(filled, 0xFF, sizeof filled);
  __builtin_clear_padding(reinterpret_cast<Body*>(filled));
  const auto call = [](const void* kernel, emulated::Fiber& fiber) {
    (*static_cast<const Body*>(kernel))(Thread(fiber));
  };
  return emulated::start(stream, {blocks, Body::threads, shared, call, &body}, sizeof(Body),
                         filled);
}

}  // namespace fastnn::FASTNN_TARGET
