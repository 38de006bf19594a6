#include "nn/parameters.h"

#include <cstring>
#include <limits>
#include <new>

#include "core/check.h"
#include "core/memory.h"
#include "nn/gate.h"

namespace fastnn {

ParameterBuffer::ParameterBuffer(Index size, Element element)
    : size_(size), element_(element), data_(nullptr) {
  constexpr Index most = std::numeric_limits<Index>::max() / 16;
  if (size < 0 || size > most) throw std::bad_alloc();
  data_ = allocate_zeroed(static_cast<std::size_t>(bytes()));
  if (data_ == nullptr) throw std::bad_alloc();
}

ParameterBuffer::~ParameterBuffer() { release_memory(data_); }

void ParameterBuffer::check_writable() const {
  if (trained_in_.load() == fork_generation() + 1) {
    refuse("the model is being trained in another thread; its weights cannot be set now");
  }
}

void ParameterBuffer::set_training(bool training) {
  trained_in_.store(training ? fork_generation() + 1 : 0);
}

void ParameterBuffer::write(Index offset, const void* values, Index count) {
  check_writable();
  std::memcpy(at(offset), values, static_cast<std::size_t>(count * element_size()));
  mark_changed();
}

}  // namespace fastnn
