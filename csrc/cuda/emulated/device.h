// The layer of device.h without a GPU.
#pragma once

#include <cstring>
#include <new>

#include "core/kernels.h"
#include "core/target.h"
#include "cuda/emulated/fibers.h"

#define FASTNN_DEVICE inline __attribute__((always_inline))
#define FASTNN_UNROLL

namespace fastnn {

// A place in the order of work: all of it is done at once, or recorded.
struct Recording;
using Stream = Recording*;

namespace emulated {

// Runs the launch, of a kernel of so many bytes, or records it. Addresses of the device in
// it are made addresses of the host; one of the host's is an error.
Status start(Stream stream, const Launch& launch, std::size_t bytes);

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

  // Blocks come one after the other.
  bool last_block(unsigned* counter) const {
    bool last = false;
    if (index() == 0) {
      last = ++*counter == static_cast<unsigned>(blocks());
      if (last) *counter = 0;
    }
    return emulated::any_of_block(*fiber_, last);
  }

  emulated::Fiber& fiber() const { return *fiber_; }

 private:
  emulated::Fiber* fiber_;
};

template <class Body>
constexpr size_t shared_bytes_of(const Body& body) {
  if constexpr (requires { body.shared_bytes(); }) {
    return body.shared_bytes();
  } else if constexpr (requires { typename Body::Shared; }) {
    return sizeof(typename Body::Shared);
  } else {
    return 0;
  }
}

template <class Body>
const void* address_of() {
  return nullptr;
}

template <class Body>
Status start(Stream stream, Index blocks, size_t shared, const Body& body) {
  alignas(Body) unsigned char bytes[sizeof(Body)];
  auto* const copy = new (bytes) Body(body);
  __builtin_clear_padding(copy);  // where addresses of anything may have been left
  const auto call = [](const void* kernel, emulated::Fiber& fiber) {
    (*static_cast<const Body*>(kernel))(Thread(fiber));
  };
  return emulated::start(stream, {blocks, Body::threads, shared, call, bytes}, sizeof(Body));
}

}  // namespace fastnn::FASTNN_TARGET
