// Kernels of the device against their twins of the CPU, where the two must agree to the
// bit: rows gathered and searched, random numbers, optimizers; and the kernels of layers, where
// they agree but for roundings. What all files share.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/declarations.h"
#include "core/math.h"
#include "core/random.h"
#include "cpu/context.h"
#include "cuda/abi.h"

namespace twins {

using namespace fastnn;
namespace cpu = fastnn::FASTNN_TARGET;

inline int failures = 0;

inline void fail(const std::string& what) {
  if (++failures <= 20) std::printf("%s\n", what.c_str());
}

inline const CudaLibrary* library;
inline Context* device;
inline Context host(true);

inline void must(Status status) {
  if (status == Status::ok) return;
  std::printf("%s\n", library->last_error());
  std::exit(1);
}

// A copy of some numbers on the device, begun `shift` bytes off what is aligned.
template <class T>
class Copy {
 public:
  explicit Copy(const std::vector<T>& from, std::size_t shift = 0)
      : count_(from.size()), memory_(library->allocate(device, bytes() + shift)), shift_(shift) {
    if (count_ > 0) must(library->write(device, get(), from.data(), bytes()));
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() { library->release(device, memory_); }

  T* get() const { return reinterpret_cast<T*>(static_cast<char*>(memory_) + shift_); }
  std::vector<T> read() const {
    std::vector<T> result(count_);
    if (count_ > 0) must(library->read(device, result.data(), get(), bytes()));
    return result;
  }

 private:
  std::size_t bytes() const { return count_ * sizeof(T); }
  std::size_t count_;
  void* memory_;
  std::size_t shift_;
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != a[i] && b[i] != b[i]) continue;
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) return false;
  }
  return true;
}

template <class T>
void compare(const std::string& what, const std::vector<T>& expected, const Copy<T>& got) {
  if (!same(expected, got.read())) fail(what);
}

inline class Draw {
 public:
  std::uint64_t bits() {
    const cpu::Philox words = cpu::philox(7, count_++, 0);
    return std::uint64_t{words.word[0]} << 32U | words.word[1];
  }
  Index below(Index n) { return static_cast<Index>(bits() % static_cast<std::uint64_t>(n)); }
  template <class T>
  std::vector<T> numbers(Index n) {
    std::vector<T> result(static_cast<std::size_t>(n));
    for (T& x : result) x = static_cast<T>(static_cast<double>(below(2001) - 1000) / 250);
    return result;
  }
  std::vector<Index> indices(Index n, Index end) {
    std::vector<Index> result(static_cast<std::size_t>(n));
    for (Index& x : result) x = below(end);
    return result;
  }

 private:
  std::uint64_t count_ = 0;
} draw;

template <class T>
constexpr const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return library->table->f32;
  } else {
    return library->table->f64;
  }
}

// What a recorded step says, in the device's memory, for as long as it lives.
class Recorded {
 public:
  Recorded(const StepValues& values, Index stopped)
      : values_(std::vector<StepValues>{values}), progress_(std::vector<Progress>{{stopped, 0}}) {
    library->set_step(device, {values_.get(), progress_.get()});
  }
  ~Recorded() { library->set_step(device, {}); }

 private:
  Copy<StepValues> values_;
  Copy<Progress> progress_;
};

void check_rows();
void check_numbers();
void check_layers();
void check_tables();
void check_products();

}  // namespace twins
