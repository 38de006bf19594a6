#include "nn/parameters.h"

#include <algorithm>
#include <cstring>
#include <exception>
#include <limits>
#include <new>
#include <utility>

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

void ParameterBuffer::refuse_in_child() {
  refuse("the weights are on the GPU, which a forked process cannot use: read them (",
         "model.get_weights()) before the fork, or start processes with multiprocessing's ",
         "\"spawn\"");
}

void ParameterBuffer::bring() {
  const unsigned here = fork_generation() + 1;
  if (!away()) {
    const unsigned trained_in = trained_in_.load();
    if (on_device() && trained_in != 0 && trained_in != here) refuse_in_child();
    return;
  }
  if (attached_in_.load() != here) refuse_in_child();
  const std::lock_guard lock(mutex_);
  if (!away()) return;
  try {
    device_copy_->bring_parameters();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& why) {
    throw Unreadable(message(why.what(), "; the weights that were trained there cannot be read. ",
                             "compile() the model to go on from the last copy of its state"));
  }
  attached_in_ = 0;
  device_copy_.reset();
}

void ParameterBuffer::attach(std::shared_ptr<DeviceCopy> there) {
  if (there == nullptr && attached_in_.load() != fork_generation() + 1) {
    attached_in_ = 0;
    return;
  }
  const std::lock_guard lock(mutex_);
  device_copy_ = std::move(there);
  attached_in_ = device_copy_ != nullptr ? fork_generation() + 1 : 0;
}

void ParameterBuffer::to_write() {
  if (trained_in_.load() == fork_generation() + 1) {
    gate_.refuse_beside_writer();
  }
  bring();
}

void ParameterBuffer::set_training(bool training) {
  trained_in_.store(training ? fork_generation() + 1 : 0);
}

void ParameterBuffer::fill(double value) {
  if (element_ == Element::f64) {
    std::fill_n(static_cast<double*>(data_), size_, value);
  } else {
    std::fill_n(static_cast<float*>(data_), size_, static_cast<float>(value));
  }
}

void ParameterBuffer::write(Index offset, const void* values, Index count) {
  to_write();
  std::memcpy(at(offset), values, static_cast<std::size_t>(count * element_size()));
  mark_changed();
}

void ParameterBuffer::write_statistics(Index offset, const void* values, Index count) {
  to_write();
  std::memcpy(at(offset), values, static_cast<std::size_t>(count * element_size()));
  mark_statistics();
}

}  // namespace fastnn
