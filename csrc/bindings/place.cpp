#include "bindings/place.h"

#include <algorithm>

#include "core/backend.h"

namespace fastnn::bindings {

CallSide::CallSide(const Array& leader)
    : stays_(leader.on_device()),
      away_(stays_ || default_device() == Device::cuda),
      machine_(backend(away_ ? Device::cuda : Device::cpu).here()) {}

double CallSide::total_loss(const double* sums, Index n) const {
  std::array<double, 2> totals{};
  if (away_) {
    const Unlocked unlocked;
    machine_.add_groups(sums, n, totals);
  } else {
    machine_.add_groups(sums, n, totals);
  }
  return totals[0];
}

void CallSide::refuse_mixture(const char* name) {
  throw py::type_error(message(name, ": is on the device, but the leading array is on the host"));
}

void CallSide::check_type(const DeviceArray& array, const char* name, std::size_t item) {
  const py::dtype& dtype = array.dtype();
  if (dtype.kind() == 'f' && dtype.itemsize() == static_cast<py::ssize_t>(item)) return;
  throw py::type_error(message(name, ": expected float", 8 * item, " on the device, got ",
                               std::string(py::str(dtype))));
}

void* CallSide::writable(Array& array, const char* name) {
  py::array host = array.host();
  check(host.writeable(), name, ": expected a writable array");
  return host.mutable_data();
}

void* CallSide::take(const DeviceArray& array, const char* name, bool written) {
  check(!written || array.writable(), name, ": expected a writable array");
  used_.push_back(&array);
  return array.data();
}

void* CallSide::reserve(std::size_t bytes) {
  blocks_.reserve(blocks_.size() + 1);
  void* const memory = machine_.reserve(*machine_.context, std::max<std::size_t>(bytes, 1));
  blocks_.push_back(memory);
  return memory;
}

void* CallSide::bring(const void* host, std::size_t bytes) {
  void* const there = reserve(bytes);
  brought_.push_back({const_cast<void*>(host), there, bytes});
  return there;
}

std::pair<py::object, void*> CallSide::result_away(const py::dtype& dtype,
                                                   std::vector<py::ssize_t> shape) {
  if (stays_) {
    auto made = std::make_unique<DeviceArray>(machine_, dtype, std::move(shape));
    void* const data = made->data();
    return {py::cast(std::move(made)), data};
  }
  py::array host(dtype, std::move(shape));
  const auto bytes = static_cast<std::size_t>(host.nbytes());
  void* const there = reserve(bytes);
  fetched_.push_back({host.mutable_data(), there, bytes});
  return {std::move(host), there};
}

void CallSide::before() {
  for (const Copy& copy : brought_) {
    machine_.write(*machine_.context, copy.there, copy.host, copy.bytes);
  }
  brought_.clear();
  for (const DeviceArray* array : used_) array->before(machine_);
}

void CallSide::after() {
  // A later call may write them again: each call fetches all that there are.
  for (const Copy& copy : fetched_) {
    if (copy.bytes > 0) machine_.read(*machine_.context, copy.host, copy.there, copy.bytes);
  }
  bool known = true;
  for (const DeviceArray* array : used_) known = array->after(machine_) && known;
  if (!known) machine_.order->wait(*machine_.context);
}

void CallSide::give_back() {
  const Unlocked unlocked;  // waits until the device no longer uses the blocks
  for (void* const block : blocks_) machine_.release(*machine_.context, block);
}

}  // namespace fastnn::bindings
