#include "bindings/device_array.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "bindings/dlpack.h"
#include "bindings/unlocked.h"
#include "core/backend.h"

namespace fastnn::bindings {

namespace {

const Machine& device() { return backend(Device::cuda).here(); }

// `strides` are in units of `unit` bytes.
template <class Length>
bool in_c_order(const std::vector<py::ssize_t>& shape, const Length* strides, py::ssize_t unit,
                py::ssize_t item) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return true;
  py::ssize_t expected = item;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] != 1 && static_cast<py::ssize_t>(strides[axis]) * unit != expected)
      return false;
    expected *= shape[axis];
  }
  return true;
}

void check_order(bool holds, const char* name) {
  check(holds, name, ": expected a C-contiguous array on the device; make a contiguous copy first");
}

void check_numbers(const py::dtype& dtype, const char* name) {
  const bool taken = std::string_view("biuf").find(dtype.kind()) != std::string_view::npos &&
                     dtype.itemsize() <= 8 && is_native(dtype);
  if (!taken) {
    throw py::type_error(message(name, ": expected numbers, got dtype ",
                                 std::string(py::str(dtype)), " on the device"));
  }
}

// -- DLPack -----------------------------------------------------------------

template <class M>
struct Names;
template <>
struct Names<dlpack::Managed> {
  static constexpr const char* fresh = "dltensor";
  static constexpr const char* used = "used_dltensor";
};
template <>
struct Names<dlpack::ManagedVersioned> {
  static constexpr const char* fresh = "dltensor_versioned";
  static constexpr const char* used = "used_dltensor_versioned";
};

py::dtype dtype_of(const dlpack::DataType& type, const char* name) {
  const char* const kinds = "iuf";
  const bool number = type.lanes == 1 && type.bits % 8 == 0 && type.bits <= 64;
  if (number && type.code == dlpack::boolean && type.bits == 8) return py::dtype("?");
  if (!number || type.code > dlpack::floating || type.bits < (type.code == 2 ? 16 : 8)) {
    throw py::type_error(message(name, ": expected numbers, got DLPack type code ", int{type.code},
                                 " with ", int{type.bits}, " bits"));
  }
  return py::dtype(std::string(1, kinds[type.code]) + std::to_string(type.bits / 8));
}

dlpack::DataType type_of(const py::dtype& dtype) {
  const auto bits = static_cast<std::uint8_t>(8 * dtype.itemsize());
  switch (dtype.kind()) {
    case 'i':
      return {dlpack::integer, bits, 1};
    case 'u':
      return {dlpack::unsigned_integer, bits, 1};
    case 'b':
      return {dlpack::boolean, bits, 1};
    default:
      return {dlpack::floating, bits, 1};
  }
}

// Lives until the consumer calls the deleter, from any thread and without the GIL.
template <class M>
struct Exported {
  M managed{};
  std::vector<std::int64_t> shape, strides;
  std::shared_ptr<void> memory;
};

template <class M>
py::capsule export_as(const DeviceArray& array, std::shared_ptr<void> memory) {
  auto exported = std::make_unique<Exported<M>>();
  exported->memory = std::move(memory);
  exported->shape.assign(array.shape().begin(), array.shape().end());
  exported->strides.resize(exported->shape.size());
  std::int64_t stride = 1;
  for (std::size_t axis = exported->shape.size(); axis-- > 0;) {
    exported->strides[axis] = stride;
    stride *= exported->shape[axis];
  }
  M& managed = exported->managed;
  managed.owner = exported.get();
  managed.deleter = [](M* ended) { delete static_cast<Exported<M>*>(ended->owner); };
  managed.tensor = {
      .data = array.data(),
      .device = {dlpack::cuda, 0},
      .ndim = static_cast<std::int32_t>(array.shape().size()),
      .dtype = type_of(array.dtype()),
      .shape = exported->shape.data(),
      .strides = exported->strides.data(),
      .byte_offset = 0,
  };
  if constexpr (requires { managed.flags; }) managed.major = 1;
  PyObject* const capsule = PyCapsule_New(&managed, Names<M>::fresh, [](PyObject* ended) {
    if (!PyCapsule_IsValid(ended, Names<M>::fresh)) return;  // a consumer took it
    auto* const left = static_cast<M*>(PyCapsule_GetPointer(ended, Names<M>::fresh));
    left->deleter(left);
  });
  if (capsule == nullptr) throw py::error_already_set();
  static_cast<void>(exported.release());
  return py::reinterpret_steal<py::capsule>(capsule);
}

// Takes ownership. Called when nothing more can fail.
template <class M>
std::shared_ptr<void> own(const py::capsule& capsule, M* managed) {
  if (PyCapsule_SetName(capsule.ptr(), Names<M>::used) != 0) throw py::error_already_set();
  return {managed, [](void* ended) {
            auto* const theirs = static_cast<M*>(ended);
            if (theirs->deleter != nullptr) theirs->deleter(theirs);
          }};
}

}  // namespace

DeviceArray::DeviceArray(const Machine& machine, py::dtype dtype, Shape shape)
    : DeviceArray(std::move(dtype), std::move(shape)) {
  machine_ = machine;
  stream_ = machine.order->stream(*machine.context);
  data_ = machine.reserve(*machine.context, std::max<std::size_t>(bytes(), 1));
  memory_ = {data_, [machine](void* memory) { machine.release(*machine.context, memory); }};
}

DeviceArray::DeviceArray(const py::array& given)
    : DeviceArray(device(), given.dtype(), Shape(given.shape(), given.shape() + given.ndim())) {
  check_numbers(dtype_, "array");
  const py::array host = py::array::ensure(given, py::array::c_style);
  if (!host) throw std::bad_alloc();
  const void* const from = host.data();
  const Unlocked unlocked;
  machine_->write(*machine_->context, data_, from, bytes());
  machine_->order->wait(*machine_->context);  // the copy from pinned memory is asynchronous
}

// The last owner of the memory waits until the device no longer uses it.
DeviceArray::~DeviceArray() {
  if (!machine_ || memory_.use_count() != 1) return;
  const Unlocked unlocked;
  memory_.reset();
}

DeviceArray DeviceArray::of_dlpack(const char* name, const py::capsule& capsule) {
  const auto take = [&]<class M>(M* managed) {
    const dlpack::Tensor& tensor = managed->tensor;
    const dlpack::Device& where = tensor.device;
    const bool on_gpu = where.type == dlpack::cuda || where.type == dlpack::cuda_managed;
    check(on_gpu && where.id == 0, name, ": expected an array on GPU 0, got DLPack device (",
          where.type, ", ", where.id, ")");
    DeviceArray array(dtype_of(tensor.dtype, name),
                      Shape(tensor.shape, tensor.shape + tensor.ndim));
    check_order(
        tensor.strides == nullptr || in_c_order(array.shape_, tensor.strides,
                                                array.dtype_.itemsize(), array.dtype_.itemsize()),
        name);
    array.data_ = static_cast<char*>(tensor.data) + tensor.byte_offset;
    if constexpr (requires { managed->flags; }) {
      array.writable_ = (managed->flags & dlpack::read_only) == 0;
    }
    array.memory_ = own(capsule, managed);
    return array;
  };
  using Versioned = dlpack::ManagedVersioned;
  if (PyCapsule_IsValid(capsule.ptr(), Names<Versioned>::fresh)) {
    auto* const managed =
        static_cast<Versioned*>(PyCapsule_GetPointer(capsule.ptr(), Names<Versioned>::fresh));
    check(managed->major == 1, name, ": DLPack version ", managed->major, " is not supported");
    return take(managed);
  }
  using Plain = dlpack::Managed;
  check(PyCapsule_IsValid(capsule.ptr(), Names<Plain>::fresh) != 0, name,
        ": expected a capsule of DLPack that has not been consumed");
  return take(static_cast<Plain*>(PyCapsule_GetPointer(capsule.ptr(), Names<Plain>::fresh)));
}

DeviceArray DeviceArray::of_interface(const char* name, const py::object& source) {
  const auto told = source.attr("__cuda_array_interface__").cast<py::dict>();
  const auto entry = [&](const char* key) -> py::object {
    return told.contains(key) ? py::object(told[key]) : py::none();
  };
  const py::dtype dtype = py::dtype::from_args(entry("typestr"));
  check_numbers(dtype, name);
  DeviceArray array(dtype, entry("shape").cast<Shape>());
  check(entry("mask").is_none(), name, ": masked arrays are not taken; fill in the masked entries");
  const py::object strides = entry("strides");
  if (!strides.is_none()) {
    const auto steps = strides.cast<Shape>();
    check_order(steps.size() == array.shape_.size() &&
                    in_c_order(array.shape_, steps.data(), 1, dtype.itemsize()),
                name);
  }
  const auto [address, fixed] = entry("data").cast<std::pair<std::uintptr_t, bool>>();
  array.data_ = reinterpret_cast<void*>(address);
  array.writable_ = !fixed;
  const py::object stream = entry("stream");
  if (!stream.is_none()) {
    array.stream_ = reinterpret_cast<void*>(stream.cast<std::uintptr_t>());
    check(array.stream_ != nullptr, name, ": stream 0 is ambiguous; the default stream is 1");
  }
  // Released with the GIL held: it is an argument of one call.
  array.memory_ = std::make_shared<py::object>(source);
  return array;
}

py::ssize_t DeviceArray::size() const {
  py::ssize_t count = 1;
  for (const py::ssize_t length : shape_) count *= length;
  return count;
}

std::size_t DeviceArray::bytes() const {
  return static_cast<std::size_t>(size() * dtype_.itemsize());
}

void DeviceArray::before(const Machine& machine) const {
  if (stream_ != nullptr && stream_ != machine.order->stream(*machine.context)) {
    machine.order->wait_for(*machine.context, stream_);
  }
}

bool DeviceArray::after(const Machine& machine) const {
  if (stream_ != nullptr && stream_ != machine.order->stream(*machine.context)) {
    machine.order->let_wait(*machine.context, stream_);
  }
  return stream_ != nullptr;
}

py::array DeviceArray::to_host() const {
  py::array host(dtype_, shape_);
  void* const out = host.mutable_data();
  const std::size_t count = bytes();
  const Machine& machine = device();
  const Unlocked unlocked;
  before(machine);
  if (count > 0) machine.read(*machine.context, out, data_, count);
  return host;
}

py::dict DeviceArray::interface() const {
  py::dict told;
  told["version"] = 3;
  told["shape"] = py::tuple(py::cast(shape_));
  told["typestr"] = dtype_.attr("str");
  told["data"] =
      py::make_tuple(size() == 0 ? 0 : reinterpret_cast<std::uintptr_t>(data_), !writable_);
  told["strides"] = py::none();
  told["stream"] = reinterpret_cast<std::uintptr_t>(stream_);
  return told;
}

py::capsule DeviceArray::dlpack(const py::object& stream, const py::object& max_version,
                                const py::object& where, const py::object& copy) const {
  if (!where.is_none() && !where.equal(py::make_tuple(int{dlpack::cuda}, 0))) {
    throw py::buffer_error("__dlpack__: the array stays on GPU 0; numpy() copies it to the host");
  }
  if (!copy.is_none() && copy.cast<bool>()) {
    throw py::buffer_error("__dlpack__: copy=True is not supported; copy the result");
  }
  constexpr std::intptr_t no_stream = -1;
  constexpr std::intptr_t default_stream = 1;
  const std::intptr_t given = stream.is_none() ? default_stream : stream.cast<std::intptr_t>();
  check(given > 0 || given == no_stream,
        "stream: expected -1, 1, 2 or the address of a stream, got ", given);
  if (given != no_stream) {
    machine_->order->let_wait(*machine_->context, reinterpret_cast<void*>(given));
  }
  const bool versioned =
      !max_version.is_none() && max_version.cast<std::pair<int, int>>().first >= 1;
  return versioned ? export_as<dlpack::ManagedVersioned>(*this, memory_)
                   : export_as<dlpack::Managed>(*this, memory_);
}

void register_device_array(py::module_& module) {
  using namespace py::literals;
  const auto to_numpy = [](const DeviceArray& array, const py::object& dtype,
                           const py::object& copy) -> py::object {
    if (!copy.is_none() && !copy.cast<bool>()) invalid("an array on the device must be copied");
    const py::array host = array.to_host();
    return dtype.is_none() ? py::object(host) : host.attr("astype")(dtype);
  };
  const auto text = [](const DeviceArray& array) {
    return message("DeviceArray(shape=", Shape{array.shape().data(), std::ssize(array.shape())},
                   ", dtype=", std::string(py::str(array.dtype())), ")");
  };
  // Public, unlike the rest of the module: the docstring is the one in _core.pyi.
  py::class_<DeviceArray> bound(module, "DeviceArray", R"(An array in the memory of the GPU.

    >>> x = fastnn.ops.DeviceArray(np.array([[-1.0, 2.0]], "float32"))
    >>> y = fastnn.ops.activation_forward(x, "relu")  # runs on the GPU, and stays there
    >>> y, y.numpy().tolist()
    (DeviceArray(shape=(1, 2), dtype=float32), [[0.0, 2.0]])

A result of `fastnn.ops`, or with DeviceArray(array) a copy of an array. Other libraries take
it by DLPack (`torch.from_dlpack`) or `__cuda_array_interface__` (CuPy, Numba), without a copy;
`numpy()` copies it to the host.)");
  bound.attr("__module__") = "fastnn.ops";
  bound
      .def(py::init([](const py::array& array) {
             if (is_native(array.dtype())) return std::make_unique<DeviceArray>(array);
             const py::object native = array.dtype().attr("newbyteorder")("=");
             return std::make_unique<DeviceArray>(py::array(array.attr("astype")(native)));
           }),
           "array"_a)
      .def_property_readonly(
          "shape", [](const DeviceArray& a) { return py::tuple(py::cast(a.shape())); },
          "The lengths of the axes, a tuple.")
      .def_property_readonly("dtype", &DeviceArray::dtype, "The type of the numbers, of NumPy.")
      .def_property_readonly(
          "ndim", [](const DeviceArray& a) { return a.shape().size(); }, "The number of axes.")
      .def_property_readonly("size", &DeviceArray::size, "The number of elements.")
      .def_property_readonly("nbytes", &DeviceArray::bytes, "The bytes that the elements take.")
      .def_property_readonly(
          "address",
          [](const DeviceArray& a) { return reinterpret_cast<std::uintptr_t>(a.data()); },
          "Where the numbers are, in the memory of the GPU.")
      .def_property_readonly("writable", &DeviceArray::writable,
                             "Whether other libraries may write into it.")
      .def("numpy", &DeviceArray::to_host, "A copy as an array of NumPy.")
      .def("__array__", to_numpy, "dtype"_a = py::none(), "copy"_a = py::none())
      .def_property_readonly("__cuda_array_interface__", &DeviceArray::interface)
      .def("__dlpack__", &DeviceArray::dlpack, py::kw_only(), "stream"_a = py::none(),
           "max_version"_a = py::none(), "dl_device"_a = py::none(), "copy"_a = py::none())
      .def("__dlpack_device__", [](const DeviceArray&) { return py::make_tuple(2, 0); })
      .def("__repr__", text);
  module.def("from_dlpack", &DeviceArray::of_dlpack, "name"_a, "capsule"_a);
  module.def("from_cuda_array_interface", &DeviceArray::of_interface, "name"_a, "source"_a);
  // The stream of the calling thread, in DLPack's numbering.
  module.def("device_stream", [] {
    const Machine& machine = device();
    return reinterpret_cast<std::uintptr_t>(machine.order->stream(*machine.context));
  });
}

}  // namespace fastnn::bindings
