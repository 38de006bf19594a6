// The place of one call of an op, CPU or device, and the addresses of its arrays there.
//
// On the CPU, these are the addresses of the caller's arrays. For a call on the device, host arrays
// are copied to it and results are copied back; arrays that are already on the device are used in
// place, and the results stay there.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/device_array.h"
#include "bindings/unlocked.h"

namespace fastnn::bindings {

// An array argument of an op: NumPy's, or one on the device.
class Array {
 public:
  bool take(py::handle source) {
    if (py::isinstance<py::array>(source)) {
      host_ = py::reinterpret_borrow<py::array>(source);
    } else if (py::isinstance<DeviceArray>(source)) {
      device_ = source.cast<const DeviceArray*>();  // kept alive by the call's arguments
    }
    return host_.has_value() || device_ != nullptr;
  }

  bool on_device() const { return device_ != nullptr; }
  const py::array& host() const { return *host_; }
  const DeviceArray& device() const { return *device_; }

  py::ssize_t ndim() const { return on_device() ? std::ssize(device_->shape()) : host_->ndim(); }
  const py::ssize_t* shape() const {
    return on_device() ? device_->shape().data() : host_->shape();
  }
  py::ssize_t shape(py::ssize_t axis) const { return shape()[axis]; }
  py::ssize_t size() const { return on_device() ? device_->size() : host_->size(); }
  py::dtype dtype() const { return on_device() ? device_->dtype() : host_->dtype(); }
  bool is_double() const {
    return on_device() ? device_->dtype().itemsize() == 8 : bindings::is_double(*host_);
  }

 private:
  std::optional<py::array> host_;
  const DeviceArray* device_ = nullptr;
};

inline Shape shape_of(const Array& array) { return {array.shape(), array.ndim()}; }

template <class T>
struct Result {
  py::object array;
  T* data;  // for the kernel
};

class CallSide {
 public:
  // On the side of the leading array, or if that is NumPy's, on the side that FASTNN_DEVICE names.
  explicit CallSide(const Array& leader);
  CallSide(const CallSide&) = delete;
  CallSide& operator=(const CallSide&) = delete;
  ~CallSide() {
    if (!blocks_.empty()) give_back();
  }

  bool is_away() const { return away_; }

  template <class T>
  const T* in(const Array& array, const char* name) {
    if (!away_) return data_of<T>(on_host(array, name), name);
    return static_cast<const T*>(away<T>(array, name, false));
  }
  template <class T>
  const T* in(const std::optional<Array>& array, const char* name) {
    return array ? in<T>(*array, name) : nullptr;
  }
  // An input array of the host that does not change until the call; null if there is none.
  template <class T>
  const T* in(const T* host, Index count) {
    if (!away_ || host == nullptr) return host;
    return static_cast<const T*>(bring(host, static_cast<std::size_t>(count) * sizeof(T)));
  }

  template <class T>
  T* in_out(Array& array, const char* name) {
    if (away_) return static_cast<T*>(away<T>(array, name, true));
    data_of<T>(on_host(array, name), name);
    return static_cast<T*>(writable(array, name));
  }

  template <class T>
  Result<T> out(std::vector<py::ssize_t> shape) {
    if (away_) {
      auto [array, data] = result_away(py::dtype::of<T>(), std::move(shape));
      return {std::move(array), static_cast<T*>(data)};
    }
    py::array_t<T> array(std::move(shape));
    T* const data = array.mutable_data();
    return {std::move(array), data};
  }
  template <class T>
  Result<T> out_like(const Array& other) {
    return out<T>({other.shape(), other.shape() + other.ndim()});
  }

  // Memory that a kernel writes but that the caller did not ask for.
  template <class T>
  T* room(Index count) {
    if (away_) return static_cast<T*>(reserve(static_cast<std::size_t>(count) * sizeof(T)));
    py::array_t<T> array(count);
    T* const data = array.mutable_data();
    kept_ = std::move(array);
    return data;
  }
  // Sums by row group; see total.
  double* sums() {
    if (away_) return static_cast<double*>(reserve(sizeof sums_));
    sums_.fill(0);
    return sums_.data();
  }

  template <class T, class Arguments>
  void call(Kernel<Arguments> Kernels<T>::* kernel, const Arguments& arguments) {
    const Unlocked unlocked;
    if (away_) before();
    machine_.call(kernels<T>(*machine_.table).*kernel, arguments);
    if (away_) after();
  }
  // f(machine) in place of a kernel.
  template <class F>
  void run(const F& f) {
    const Unlocked unlocked;
    if (away_) before();
    f(machine_);
    if (away_) after();
  }
  // Two kernels, the second over what the first wrote.
  template <class T, class First, class Second>
  void call(Kernel<First> Kernels<T>::* first, const First& a, Kernel<Second> Kernels<T>::* second,
            const Second& b) {
    const Unlocked unlocked;
    if (away_) before();
    machine_.call(kernels<T>(*machine_.table).*first, a);
    machine_.call(kernels<T>(*machine_.table).*second, b);
    if (away_) after();
  }
  double total_loss(const double* sums, Index n) const;

  // The numbers of an array on the host, for checks.
  template <class T>
  const T* look_at(const Array& array, const char* name) {
    if (array.on_device()) {
      check_type(array.device(), name, sizeof(T));
      kept_ = array.device().to_host();
      return static_cast<const T*>(py::reinterpret_borrow<py::array>(kept_).data());
    }
    return data_of<T>(array.host(), name);
  }

 private:
  struct Copy {
    void *host, *there;
    std::size_t bytes;
  };

  static const py::array& on_host(const Array& array, const char* name) {
    if (array.on_device()) refuse_mixture(name);
    return array.host();
  }
  [[noreturn]] static void refuse_mixture(const char* name);
  static void check_type(const DeviceArray& array, const char* name, std::size_t item);
  static void* writable(Array& array, const char* name);

  template <class T>
  void* away(const Array& array, const char* name, bool written) {
    if (array.on_device()) {
      check_type(array.device(), name, sizeof(T));
      return take(array.device(), name, written);
    }
    const T* const host = data_of<T>(array.host(), name);
    const std::size_t bytes = static_cast<std::size_t>(array.size()) * sizeof(T);
    void* const there = bring(host, bytes);
    if (written) {
      Array target = array;
      fetched_.push_back({writable(target, name), there, bytes});
    }
    return there;
  }
  void* take(const DeviceArray& array, const char* name, bool written);
  void* bring(const void* host, std::size_t bytes);
  void* reserve(std::size_t bytes);
  std::pair<py::object, void*> result_away(const py::dtype& dtype, std::vector<py::ssize_t> shape);
  void before();
  void after();
  void give_back();

  const bool stays_;  // results stay on the device
  const bool away_;   // the call runs on the device
  const Machine& machine_;
  std::array<double, 2 * max_groups> sums_;
  py::object kept_;
  // Used on the device only.
  std::vector<void*> blocks_;
  std::vector<Copy> brought_, fetched_;
  std::vector<const DeviceArray*> used_;
};

}  // namespace fastnn::bindings

template <>
struct pybind11::detail::type_caster<fastnn::bindings::Array> {
  PYBIND11_TYPE_CASTER(fastnn::bindings::Array, const_name("Array"));
  bool load(handle source, bool) { return value.take(source); }
};
