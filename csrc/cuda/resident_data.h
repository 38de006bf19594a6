// What a resident step needs of the caller's arrays, fetched while the step before it runs:
// loads are given out at that step's start, and arrive by its end.
#pragma once

#include "core/element.h"
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/resident.h"

namespace fastnn::FASTNN_TARGET {

// An element as it lies there.
FASTNN_DEVICE uint64_t bits_at(const ArrayView& view, int bytes, Index row, int column) {
  const char* const at = static_cast<const char*>(view.data) + row * view.row_stride +
                         static_cast<Index>(column) * bytes;
  switch (bytes) {
    case 1:
      return *reinterpret_cast<const uint8_t*>(at);
    case 2:
      return *reinterpret_cast<const uint16_t*>(at);
    case 4:
      return *reinterpret_cast<const uint32_t*>(at);
    default:
      return *reinterpret_cast<const uint64_t*>(at);
  }
}

FASTNN_DEVICE float number_of(Element element, uint64_t bits) {
  if (element == Element::f32) {
    return __builtin_bit_cast(float, static_cast<uint32_t>(bits));
  }
  switch (element) {
#define FASTNN_USE(name, type)             \
  case Element::name: {                    \
    type x;                                \
    __builtin_memcpy(&x, &bits, sizeof x); \
    return convert<float>(x);              \
  }
    FASTNN_ELEMENTS(FASTNN_USE)
#undef FASTNN_USE
  }
  __builtin_unreachable();
}

// An array's rows of one batch, into the shared memory: a thread's first `ahead` elements
// by way of registers.
template <int ahead>
class RowsAhead {
 public:
  FASTNN_DEVICE RowsAhead(const Thread& t, const ArrayView& view, int columns)
      : view_(view), columns_(columns) {
    FASTNN_UNROLL
    for (int q = 0; q < ahead; ++q) {
      const int e = t.index() + q * t.threads();
      row_[q] = e / columns;
      column_[q] = e % columns;
    }
  }

  FASTNN_DEVICE void load(const Index* numbers, int n) {
    FASTNN_UNROLL
    for (int q = 0; q < ahead; ++q) {
      if (row_[q] < n)
        bits_[q] = bits_at(view_, bytes_of(view_.element), numbers[row_[q]], column_[q]);
    }
  }

  FASTNN_DEVICE void store(const Thread& t, const Index* numbers, int n, float scale, float offset,
                           float* out, int stride) const {
    FASTNN_UNROLL
    for (int q = 0; q < ahead; ++q) {
      if (row_[q] >= n) continue;
      out[row_[q] * stride + column_[q]] =
          mul_add(scale, number_of(view_.element, bits_[q]), offset);
    }
    for (int e = t.index() + ahead * t.threads(); e < n * columns_; e += t.threads()) {
      const int row = e / columns_;
      const int column = e % columns_;
      const uint64_t bits = bits_at(view_, bytes_of(view_.element), numbers[row], column);
      out[row * stride + column] = mul_add(scale, number_of(view_.element, bits), offset);
    }
  }

 private:
  const ArrayView& view_;
  int columns_;
  int row_[ahead], column_[ahead];
  uint64_t bits_[ahead];
};

// All of a batch's data. Steps count from the first of the run.
class Data {
 public:
  FASTNN_DEVICE Data(const Thread& t, const Resident& a, float* shared)
      : t_(t),
        a_(a),
        shared_(shared),
        x_(t, a.x, a.layer[0].i),
        targets_(t, a.targets.data != nullptr ? a.targets : a.x, a.targets_of_row) {}

  // Rows of a step; 0 beyond the last.
  FASTNN_DEVICE int rows(Index step) const {
    if (step >= a_.steps) return 0;
    return static_cast<int>(least(a_.rows, a_.count - (a_.first + step) * a_.rows));
  }

  FASTNN_DEVICE int place(Index step) const {
    return step % 2 == 0 ? 0 : static_cast<int>(a_.batch.stride);
  }

  // Which rows are a step's; they must stand there before it is loaded.
  FASTNN_DEVICE void load_numbers(Index step) {
    if (t_.index() < rows(step)) number_ = number(step, t_.index());
  }
  FASTNN_DEVICE void store_numbers(Index step) const {
    const int n = rows(step);
    Index* const out = numbers(step);
    if (t_.index() < n) out[t_.index()] = number_;
    for (int r = t_.index() + t_.threads(); r < n; r += t_.threads()) out[r] = number(step, r);
  }

  FASTNN_DEVICE void load(Index step) {
    const int n = rows(step);
    const Index* const numbers = this->numbers(step);
    x_.load(numbers, n);
    if (a_.targets.data != nullptr) targets_.load(numbers, n);
    if (t_.index() >= n) return;
    const Index row = numbers[t_.index()];
    if (a_.labels != nullptr) label_ = a_.labels[row];
    if (a_.row_weights != nullptr) weight_ = a_.row_weights[row];
  }

  FASTNN_DEVICE void store(Index step) const {
    const int n = rows(step);
    const Index* const numbers = this->numbers(step);
    float* const batch = shared_ + place(step);
    x_.store(t_, numbers, n, a_.input_scale, a_.input_offset, batch + a_.layer[0].x.at,
             a_.layer[0].x.stride);
    if (a_.targets.data != nullptr) {
      targets_.store(t_, numbers, n, 1.0F, 0.0F, batch + a_.batch.targets.at,
                     a_.batch.targets.stride);
    }
    if (t_.index() < n) store_row(batch, t_.index(), label_, weight_);
    for (int r = t_.index() + t_.threads(); r < n; r += t_.threads()) {
      store_row(batch, r, a_.labels != nullptr ? a_.labels[numbers[r]] : 0,
                a_.row_weights != nullptr ? a_.row_weights[numbers[r]] : 1.0);
    }
  }

 private:
  FASTNN_DEVICE Index* numbers(Index step) const {
    return reinterpret_cast<Index*>(shared_ + place(step) + a_.batch.numbers.at);
  }

  FASTNN_DEVICE Index number(Index step, int r) const {
    const Index place = (a_.first + step) * a_.rows + r;
    return a_.order != nullptr ? a_.order[place] : place;
  }

  FASTNN_DEVICE void store_row(float* batch, int r, int32_t label, double weight) const {
    const bool ignored = a_.ignores && a_.labels != nullptr && label == a_.ignore_class;
    reinterpret_cast<int32_t*>(batch + a_.batch.labels.at)[r] = label;
    batch[a_.batch.weights.at + r] = ignored ? 0.0F : static_cast<float>(weight);
    batch[a_.batch.present.at + r] = ignored ? 0.0F : 1.0F;
  }

  const Thread& t_;
  const Resident& a_;
  float* shared_;
  RowsAhead<2> x_;
  RowsAhead<1> targets_;
  Index number_ = 0;
  int32_t label_ = 0;
  double weight_ = 1;
};

}  // namespace fastnn::FASTNN_TARGET
