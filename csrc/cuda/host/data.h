// Data sets on the device: put there once, in their own element types, rows packed.
#pragma once

#include <memory>

#include "core/machine.h"
#include "core/session.h"

namespace fastnn {

class DeviceData {
 public:
  explicit DeviceData(const Machine& machine) : machine_(machine) {}

  // The rows that count, in their order, with addresses of the device; the copy made for
  // the same data set before, if it is still held.
  const Dataset& hold(const Dataset& data);
  // Rows first..first+count of them; a copy of the whole serves where one is held.
  Dataset part(const Dataset& data, Index first, Index count);
  void forget();

 private:
  struct Copy {
    explicit Copy(const Machine& machine) : memory(machine) {}
    Memory memory;
    Dataset data;
  };

  std::unique_ptr<Copy> copied(const Dataset& data, Index first, Index count) const;
  SparseView bring_sparse(Memory& memory, const Dataset& data, Index first, Index count) const;
  // Packs and writes the rows of one array.
  ArrayView bring(Memory& memory, const ArrayView& view, const Dataset& data, Index first,
                  Index count) const;

  const Machine& machine_;
  std::unique_ptr<Copy> whole_, part_;
};

}  // namespace fastnn
