#include "nn/snapshot.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <utility>

namespace fastnn {

Index steps_between_copies(double bytes, double operations, bool on_device) {
  constexpr double steps = 100;  // as long as a copy, if they are to be 99 % of the time
  double copy = 0;               // nanoseconds, as are the next
  double step = 0;
  if (on_device) {
    copy = 60e3 + bytes / 10;  // two waits for the device, then 10 GB/s
    step = 500 + operations / 100e3;
  } else {
    constexpr double cache = 1 << 20;
    copy = 100 + bytes / (bytes <= cache ? 10 : 4);
    // 300 GFLOP/s a thread, for as many threads as have a million operations each.
    const double threads = std::clamp(operations / 1e6, 1.0, 16.0);
    // A step reads and writes parameters, gradients and the state, at no more than 100 GB/s.
    step = std::max(1000 + operations / (300 * threads), 2 * bytes / 100);
  }
  // A loss takes some tens of steps to grow from a good one to infinity.
  constexpr double fewest = 100;
  return static_cast<Index>(std::ceil(std::max(steps * copy / step, fewest)));
}

bool Snapshots::grows() const {
  constexpr double times = 3;  // means of a hundred steps and more differ by less
  constexpr int most = 50;
  if (renew_ || !newer_.held || !reference_ || weight_ <= 0 || left_out_ >= most) return false;
  return loss_ / weight_ - *reference_ > times * std::abs(*reference_);
}

void Snapshots::leave_out() {
  passed_ = 0;
  loss_ = weight_ = 0;
  ++left_out_;
}

void Snapshots::copy(const Buffers& buffers, const Steps& steps) {
  if (newer_.held) std::swap(older_, newer_);
  newer_.held = false;
  newer_.copies.resize(buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    Copy& copy = newer_.copies[i];
    const auto bytes = static_cast<std::size_t>(buffers[i]->bytes());
    if (copy.bytes != bytes || !copy.memory) copy = {OwnedMemory(allocate_zeroed(bytes)), bytes};
    if (!copy.memory) throw std::bad_alloc();
    std::memcpy(copy.memory.get(), buffers[i]->data(), bytes);
  }
  newer_.steps = steps;
  newer_.held = true;
  // The steps before a first copy are not known.
  reference_.reset();
  if (!renew_ && older_.held && weight_ > 0) reference_ = loss_ / weight_;
  if (renew_) older_.held = false;
  renew_ = false;
  passed_ = 0;
  loss_ = weight_ = 0;
  left_out_ = 0;
}

Steps Snapshots::restore(const Buffers& buffers) const {
  const State& state = older_.held ? older_ : newer_;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    std::memcpy(buffers[i]->data(), state.copies[i].memory.get(), state.copies[i].bytes);
  }
  return state.steps;
}

}  // namespace fastnn
