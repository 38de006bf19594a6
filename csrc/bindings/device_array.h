// An array in the device's memory, as Python holds it: fastnn's own, or somebody else's.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "bindings/bindings.h"

namespace fastnn::bindings {

class DeviceArray {
 public:
  using Shape = std::vector<py::ssize_t>;

  // Of memory that nobody has written yet.
  DeviceArray(const Machine& machine, py::dtype dtype, Shape shape);
  // A copy of an array of the host.
  explicit DeviceArray(const py::array& given);
  DeviceArray(DeviceArray&&) = default;
  ~DeviceArray();
  // What others made, named in errors; they keep the memory as long as this lives.
  static DeviceArray of_dlpack(const char* name, const py::capsule& capsule);
  static DeviceArray of_interface(const char* name, const py::object& source);

  const Shape& shape() const { return shape_; }
  const py::dtype& dtype() const { return dtype_; }
  py::ssize_t size() const;
  std::size_t bytes() const;
  void* data() const { return data_; }
  bool writable() const { return writable_; }

  // Before and after work of a machine on the array: what was begun on the array's own
  // stream comes first, and what comes there later waits. Where others keep their stream
  // to themselves (false), the work must be done when their next call comes.
  void before(const Machine& machine) const;
  bool after(const Machine& machine) const;

  py::array to_host() const;

  // What Python calls by these names.
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
  std::optional<Machine> machine_;  // which made it; none: another library
  void* stream_ = nullptr;          // on which it is written and read; null: not known
};

}  // namespace fastnn::bindings
