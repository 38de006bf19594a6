// Where a session runs: kernels, what they run on, and memory there.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <vector>

#include "core/encoded_dense.h"
#include "core/kernels.h"

namespace fastnn {

template <class T>
const Kernels<T>& kernels(const KernelTable& table);
template <>
inline const Kernels<float>& kernels<float>(const KernelTable& table) {
  return table.f32;
}
template <>
inline const Kernels<double>& kernels<double>(const KernelTable& table) {
  return table.f64;
}

// What is thrown where no backend has more to say.
inline void must(Status status) {
  if (status == Status::out_of_memory) throw std::bad_alloc();
  if (status == Status::failed) throw std::runtime_error("a kernel failed");
}

// How work that is done behind the caller's back is put in order with that of others, whose
// streams (cudaStream_t) are named by their addresses.
struct Order {
  void* (*stream)(Context&);
  // Work here from now on waits for what the other stream was given so far.
  void (*wait_for)(Context&, void* stream);
  void (*let_wait)(Context&, void* stream);  // the other way round
  void (*wait)(Context&);                    // until all is done
};

// On a CPU the memory is the host's. A copy is another name of the same machine.
struct Machine {
  const KernelTable* table;
  std::shared_ptr<Context> context;
  void* (*allocate)(Context&, std::size_t bytes);  // zeroed, aligned; null: out of memory
  void* (*reserve)(Context&, std::size_t bytes);   // the same, holding anything
  void (*release)(Context&, void* memory);
  void (*read)(Context&, void* host, const void* memory, std::size_t bytes);
  // Brings the host's to memory here; done when it returns.
  void (*write)(Context&, void* memory, const void* host, std::size_t bytes);
  void (*must)(Status);                         // throws what it says, unless it is ok
  const Order* order;                           // null: all is done when a call returns
  const EncodedDense* encoded_dense = nullptr;  // null: it has no such kernels

  template <class Arguments>
  void call(Kernel<Arguments> kernel, const Arguments& arguments) const {
    must(kernel(*context, arguments));
  }

  // Adds to `totals` what a kernel wrote for n rows, as many numbers for each row group.
  void add_groups(const double* sums, Index n, std::span<double> totals) const {
    const auto width = static_cast<Index>(totals.size());
    const auto count = static_cast<std::size_t>(row_groups(n).count * width);
    std::array<double, 2 * max_groups> few;
    std::vector<double> many(count > few.size() ? count : 0);
    double* const host = many.empty() ? few.data() : many.data();
    read(*context, host, sums, count * sizeof(double));
    for (Index k = 0; k < width; ++k) {
      totals[static_cast<std::size_t>(k)] += sum_of_groups(host, n, width, k);
    }
  }
};

// Memory of one machine, zeros at first, given back together.
class Memory {
 public:
  explicit Memory(const Machine& machine) : machine_(machine) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() {
    for (void* block : blocks_) machine_.release(*machine_.context, block);
  }

  template <class T>
  T* take(Index count) {
    constexpr auto most = static_cast<Index>(std::numeric_limits<std::ptrdiff_t>::max() / 16);
    if (count < 0 || count > most) throw std::bad_alloc();
    const std::size_t bytes = static_cast<std::size_t>(std::max<Index>(count, 1)) * sizeof(T);
    void* block = machine_.allocate(*machine_.context, bytes);
    if (block == nullptr) throw std::bad_alloc();
    blocks_.push_back(block);
    return static_cast<T*>(block);
  }

 private:
  const Machine& machine_;
  std::vector<void*> blocks_;
};

}  // namespace fastnn
