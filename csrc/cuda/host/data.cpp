#include "cuda/host/data.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cuda/host/library.h"

namespace fastnn {
namespace {

Index row_at(const Dataset& data, Index r) { return data.rows != nullptr ? data.rows[r] : r; }

bool columns_adjoin(const ArrayView& view) {
  return view.offsets == nullptr &&
         (view.column_stride == bytes_of(view.element) || view.columns == 1);
}

// One row, its columns side by side.
void pack_row(const ArrayView& view, Index row, char* out) {
  const Index size = bytes_of(view.element);
  const char* const start = static_cast<const char*>(view.data) + row * view.row_stride;
  if (columns_adjoin(view)) {
    std::memcpy(out, start, static_cast<std::size_t>(view.columns * size));
    return;
  }
  for (Index j = 0; j < view.columns; ++j) {
    const Index offset = view.offsets != nullptr ? view.offsets[j] : j * view.column_stride;
    std::memcpy(out + j * size, start + offset, static_cast<std::size_t>(size));
  }
}

// `count` values of an array of the host by row, written to the device.
template <class T>
T* bring_values(const Machine& machine, Memory& memory, const T* values, const Dataset& data,
                Index first, Index count) {
  std::vector<T> packed(static_cast<std::size_t>(count));
  for (Index r = 0; r < count; ++r) {
    packed[static_cast<std::size_t>(r)] = values[row_at(data, first + r)];
  }
  T* const there = memory.take<T>(count);
  machine.write(*machine.context, there, packed.data(), packed.size() * sizeof(T));
  return there;
}

}  // namespace

ArrayView DeviceData::bring(Memory& memory, const ArrayView& view, const Dataset& data, Index first,
                            Index count) const {
  const Index size = bytes_of(view.element);
  const Index row_bytes = view.columns * size;
  char* const there = memory.take<char>(std::max<Index>(count, 1) * row_bytes);
  const ArrayView result{there, view.element, count, view.columns, row_bytes, size, nullptr};
  if (data.rows == nullptr && columns_adjoin(view) && view.row_stride == row_bytes) {
    machine_.write(*machine_.context, there,
                   static_cast<const char*>(view.data) + first * row_bytes,
                   static_cast<std::size_t>(count * row_bytes));
    return result;
  }
  // Some megabytes at a time, never a copy of the whole.
  constexpr Index at_once = Index{1} << 23;
  const Index rows =
      std::clamp<Index>(at_once / std::max<Index>(row_bytes, 1), 1, std::max<Index>(count, 1));
  std::vector<char> packed(static_cast<std::size_t>(rows * row_bytes));
  for (Index begin = 0; begin < count; begin += rows) {
    const Index n = std::min(rows, count - begin);
    for (Index r = 0; r < n; ++r) {
      pack_row(view, row_at(data, first + begin + r), packed.data() + r * row_bytes);
    }
    machine_.write(*machine_.context, there + begin * row_bytes, packed.data(),
                   static_cast<std::size_t>(n * row_bytes));
  }
  return result;
}

SparseView DeviceData::bring_sparse(Memory& memory, const Dataset& data, Index first,
                                    Index count) const {
  const SparseView& view = data.sparse;
  const auto size = static_cast<std::size_t>(bytes_of(view.element));
  std::vector<Index> starts{0};
  starts.reserve(static_cast<std::size_t>(count) + 1);
  for (Index r = first; r < first + count; ++r) {
    const Index row = row_at(data, r);
    starts.push_back(starts.back() + view.starts[row + 1] - view.starts[row]);
  }
  const auto total = static_cast<std::size_t>(starts.back());
  std::vector<std::int32_t> columns(total);
  std::vector<char> values(total * size);
  for (Index r = 0; r < count; ++r) {
    const Index from = view.starts[row_at(data, first + r)];
    const auto to = static_cast<std::size_t>(starts[static_cast<std::size_t>(r)]);
    const std::size_t n = static_cast<std::size_t>(starts[static_cast<std::size_t>(r) + 1]) - to;
    std::copy_n(view.columns + from, n, columns.data() + to);
    std::copy_n(static_cast<const char*>(view.values) + static_cast<std::size_t>(from) * size,
                n * size, values.data() + to * size);
  }
  const auto put = [&]<class Value>(const std::vector<Value>& from) {
    Value* const there = memory.take<Value>(static_cast<Index>(from.size()));
    if (!from.empty()) {
      machine_.write(*machine_.context, there, from.data(), from.size() * sizeof(Value));
    }
    return there;
  };
  return {put(starts), put(columns), put(values), view.element};
}

std::unique_ptr<DeviceData::Copy> DeviceData::copied(const Dataset& data, Index first,
                                                     Index count) const {
  auto copy = std::make_unique<Copy>(machine_);
  Memory& memory = copy->memory;
  Dataset& there = copy->data;
  there.id = data.id;
  there.before = data.before;
  there.count = count;
  if (data.sparse.starts != nullptr) {
    there.x = {.rows = count, .columns = data.x.columns};
    there.sparse = bring_sparse(memory, data, first, count);
  } else {
    there.x = bring(memory, data.x, data, first, count);
  }
  if (data.labels != nullptr) {
    there.labels = bring_values(machine_, memory, data.labels, data, first, count);
  } else if (data.targets.data != nullptr) {
    there.targets = bring(memory, data.targets, data, first, count);
  }
  if (data.weights != nullptr) {
    there.weights = bring_values(machine_, memory, data.weights, data, first, count);
  }
  if (data.element_weights.data != nullptr) {
    there.element_weights = bring(memory, data.element_weights, data, first, count);
  }
  return copy;
}

const Dataset& DeviceData::hold(const Dataset& data) {
  if (whole_ == nullptr || whole_->data.id != data.id) {
    forget();
    whole_ = copied(data, 0, data.count);
  }
  return whole_->data;
}

Dataset DeviceData::part(const Dataset& data, Index first, Index count) {
  if (whole_ == nullptr || whole_->data.id != data.id) {
    part_.reset();
    part_ = copied(data, first, count);
    part_->data.before = data.before + first;
    return part_->data;
  }
  Dataset part = whole_->data;
  const auto from = [&](ArrayView& view) {
    if (view.data == nullptr) return;
    view.data = static_cast<const char*>(view.data) + first * view.row_stride;
    view.rows = count;
  };
  from(part.x);
  if (part.sparse.starts != nullptr) part.sparse.starts += first;
  from(part.targets);
  from(part.element_weights);
  if (part.labels != nullptr) part.labels += first;
  if (part.weights != nullptr) part.weights += first;
  part.count = count;
  part.before += first;
  return part;
}

void DeviceData::forget() {
  whole_.reset();
  part_.reset();
}

}  // namespace fastnn
