// An array in the device's memory, as Python holds it: fastnn's own, or another library's.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "bindings/bindings.h"

namespace fastnn::bindings {

class DeviceArray {
 public:
  using Shape = std::vector<py::ssize_t>;

  // An array of uninitialised memory.
  DeviceArray(const Machine& machine, py::dtype dtype, Shape shape);
  // A copy of a host array.
  explicit DeviceArray(const py::array& given);
  DeviceArray(DeviceArray&&) = default;
  ~DeviceArray();
  // Arrays of other libraries; `name` is for errors. The array keeps their memory alive.
  static DeviceArray of_dlpack(const char* name, const py::capsule& capsule);
  static DeviceArray of_interface(const char* name, const py::object& source);

  const Shape& shape() const { return shape_; }
  const py::dtype& dtype() const { return dtype_; }
  py::ssize_t size() const;
  std::size_t bytes() const;
  void* data() const { return data_; }
  bool writable() const { return writable_; }

  // Calls before and after a machine's work on the array. The work comes after everything that was
  // begun on the array's own stream, and before everything that is begun there later. If the
  // array's stream is not known, `after` returns false, and the work must be done before the
  // owner's next call.
  void before(const Machine& machine) const;
  bool after(const Machine& machine) const;

  py::array to_host() const;

  // Python's protocols of these names.
  py::dict interface() const;
  py::capsule dlpack(const py::object& stream, const py::object& max_version,
                     const py::object& where, const py::object& copy) const;

 private:
  DeviceArray(py::dtype dtype, Shape shape) : dtype_(std::move(dtype)), shape_(std::move(shape)) {}

  py::dtype dtype_;
  Shape shape_;
  void* data_ = nullptr;
  bool writable_ = true;
  std::shared_ptr<void> memory_;
  std::optional<Machine> machine_;  // that made the array; none: another library did
  void* stream_ = nullptr;          // on which it is written and read; null: not known
};

}  // namespace fastnn::bindings
