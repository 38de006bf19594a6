// The structs of DLPack, by which array libraries hand memory to one another: the parts
// that are used here, in the layout that its specification fixes
// (https://dmlc.github.io/dlpack/latest/c_api.html).
#pragma once

#include <cstdint>

namespace fastnn::dlpack {

enum DeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_managed = 13 };
enum TypeCode : std::uint8_t { integer = 0, unsigned_integer = 1, floating = 2, boolean = 6 };

struct Device {
  std::int32_t type;
  std::int32_t id;
};

struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};

struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null: C order
  std::uint64_t byte_offset;
};

// In a capsule "dltensor", which is renamed "used_dltensor" by who takes it.
struct Managed {
  Tensor tensor;
  void* owner;
  void (*deleter)(Managed*);
};

// In a capsule "dltensor_versioned", for who asks for max_version (1, 0) or more.
struct ManagedVersioned {
  std::uint32_t major, minor;
  void* owner;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};
inline constexpr std::uint64_t read_only = 1;

}  // namespace fastnn::dlpack
