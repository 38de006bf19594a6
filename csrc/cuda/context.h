// What kernels of the device run on: a stream, scratch memory, and the step of a graph.
//
// Two files make it: hardware/runtime.cu and emulated/runtime.cpp. The kernels see this.
#pragma once

#include <vector>

#include "cuda/abi.h"
#include "cuda/device.h"

namespace fastnn {

struct Context {
  Stream stream{};
  int precision = 0;  // one of Precision
  StepPlace step;

  // At least `bytes` of the device's memory, null where there is none; what is in it lasts
  // until the next call for the same slot. No memory is given back before the context's
  // end, since recorded graphs know it by address. While one is recorded none can be
  // had that is not there already.
  // A new piece is cleared.
  enum Slot : unsigned char { derivative, product, sums, counters, encoding, slots };
  void* scratch(Slot slot, size_t bytes);
  std::vector<void*> kept;  // all pieces that there were

 private:
  struct Piece {
    void* memory = nullptr;
    size_t bytes = 0;
  };
  Piece pieces_[slots];
};

// Copies to the host what the device has there once all work so far is done, and waits
// for that. Not while a graph is recorded.
Status read_back(Context& context, void* host, const void* memory, size_t bytes);

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

// What a block of a kernel shares, in bytes.
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

// Runs a kernel in so many blocks.
template <class Body>
Status launch(Context& context, Index blocks, const Body& body) {
  if (blocks <= 0) return Status::ok;
  return start(context.stream, blocks, shared_bytes_of(body), body);
}

}  // namespace fastnn::FASTNN_TARGET
