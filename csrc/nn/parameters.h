// The parameters of a model: one aligned buffer, shared by all that hold a view. Training may
// leave newer ones elsewhere, which are brought here when they are asked for.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>

#include "core/kernels.h"
#include "core/session.h"
#include "nn/gate.h"

namespace fastnn {

// What was trained elsewhere cannot be brought from there.
struct Unreadable : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline constexpr Index parameter_alignment = 64;  // bytes; each parameter starts there

class ParameterBuffer {
 public:
  // Zeros. Throws std::bad_alloc.
  ParameterBuffer(Index size, Element element);
  ParameterBuffer(const ParameterBuffer&) = delete;
  ParameterBuffer& operator=(const ParameterBuffer&) = delete;
  ~ParameterBuffer();

  Index size() const { return size_; }
  Index bytes() const { return size_ * element_size(); }
  Element element() const { return element_; }
  Index element_size() const { return element_ == Element::f64 ? 8 : 4; }
  // The memory. The caller knows that no device has newer values, or brings them first.
  void* data() const { return data_; }
  void* at(Index offset) const { return static_cast<char*>(data_) + offset * element_size(); }

  // Brings newer values from a device. Throws std::bad_alloc, Unreadable and, in a child
  // of a fork, std::runtime_error, each time until they are brought or given up.
  void bring();

  // Before numbers are changed here. Throws std::runtime_error during training.
  void to_write();
  // All elements become this. For buffers that no device has.
  void fill(double value);
  // Copies `count` elements in.
  void write(Index offset, const void* values, Index count);

  // Newer values are in that copy; null: here, or given up.
  void attach(std::shared_ptr<DeviceCopy> there);
  // Whether a device trains from now on: readers then get a copy, since the values here grow
  // old.
  void set_on_device(bool on_device) { on_device_ = on_device; }
  bool on_device() const { return on_device_.load(); }

  // What a thread passes to read or to change the parameters, through any of the networks that they
  // are bound to.
  Gate& gate() { return gate_; }

  std::uint64_t version() const { return version_.load(); }
  // The same, without changes of statistics, which no gradient depends on.
  std::uint64_t weights_version() const { return weights_version_.load(); }
  void mark_changed() {
    weights_version_.fetch_add(1);
    version_.fetch_add(1);
  }
  void mark_statistics() { version_.fetch_add(1); }
  // `write` of statistics.
  void write_statistics(Index offset, const void* values, Index count);
  void set_training(bool training);

 private:
  bool away() const { return attached_in_.load() != 0; }
  [[noreturn]] static void refuse_in_child();

  Index size_;
  Element element_;
  void* data_;
  Gate gate_;
  std::atomic<std::uint64_t> version_{0}, weights_version_{0};
  // 1 + the fork generation; 0: nowhere. A child does not touch the mutex of its parent.
  std::atomic<unsigned> trained_in_{0};
  std::atomic<unsigned> attached_in_{0};
  std::atomic<bool> on_device_{false};
  std::mutex mutex_;
  std::shared_ptr<DeviceCopy> device_copy_;
};

}  // namespace fastnn
