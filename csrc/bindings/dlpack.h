// The structs of DLPack, with which array libraries exchange memory: only the parts that fastnn
// uses, in the layout that the specification fixes
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

// In a capsule "dltensor". The consumer renames it "used_dltensor".
struct Managed {
  Tensor tensor;
  void* owner;
  void (*deleter)(Managed*);
};

// In a capsule "dltensor_versioned", for consumers that ask for max_version (1, 0) or more.
struct ManagedVersioned {
  std::uint32_t major, minor;
  void* owner;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  Tensor tensor;
};
inline constexpr std::uint64_t read_only = 1;

}  // namespace fastnn::dlpack
