// The parameters of a model: one aligned buffer, shared by whoever holds a view.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/kernels.h"

namespace fastnn {

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
  void* data() const { return data_; }
  void* at(Index offset) const { return static_cast<char*>(data_) + offset * element_size(); }

  // Copies `count` elements in. Throws std::runtime_error during training.
  void write(Index offset, const void* values, Index count);
  void check_writable() const;

  std::uint64_t version() const { return version_.load(); }
  void mark_changed() { version_.fetch_add(1); }
  void set_training(bool training);

 private:
  Index size_;
  Element element_;
  void* data_;
  std::atomic<std::uint64_t> version_{0};
  std::atomic<unsigned> trained_in_{0};  // 1 + the fork generation; 0: nowhere
};

}  // namespace fastnn
