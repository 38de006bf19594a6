// Sums over ranks, whose bytes travel by calls of a Python object.
#pragma once

#include <memory>

#include "bindings/bindings.h"
#include "core/exchange.h"

namespace fastnn::bindings {

// Calls `link.gather(mine, all)` and `link.swap(out, in)` with arrays of bytes over memory of
// native code. Where one returns True an interrupt came meanwhile, and `link.rest()` may raise it.
class PythonTransport final : public Transport {
 public:
  explicit PythonTransport(py::object link) : link_(std::move(link)) {}
  void gather(const void* mine, void* all, Index bytes) override;
  void swap(const void* out, void* in, Index bytes) override;
  void rest() override;
  void set_size(Index size) { size_ = size; }

 private:
  void note(const py::object& interrupted) { interrupted_ |= interrupted.ptr() == Py_True; }

  py::object link_;
  Index size_ = 1;
  bool interrupted_ = false;
};

struct BoundExchange {
  BoundExchange(py::object link, Index rank, Index size);
  PythonTransport transport;
  Exchange exchange;
};

}  // namespace fastnn::bindings
