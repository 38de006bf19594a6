// Packs: sixteen bytes of consecutive elements, which a thread moves at once.
#pragma once

#include "cuda/device.h"

namespace fastnn::FASTNN_TARGET {

template <class T>
struct alignas(16) Pack {
  static constexpr int count = 16 / sizeof(T);
  T at[count];
};

// Whether rows with this stride can be read and written in packs.
template <class T>
bool packs_align(const T* data, Index stride) {
  return reinterpret_cast<uintptr_t>(data) % sizeof(Pack<T>) == 0 && stride % Pack<T>::count == 0;
}

// The first `count` elements from `from`, then zeros. `aligned`: whether the address is.
template <class T>
FASTNN_DEVICE Pack<T> load_pack(const T* from, Index count, bool aligned) {
  Pack<T> pack;
  if (aligned && count >= Pack<T>::count) {
    pack = *reinterpret_cast<const Pack<T>*>(from);
  } else {
    FASTNN_UNROLL
    for (int j = 0; j < Pack<T>::count; ++j) pack.at[j] = j < count ? from[j] : T(0);
  }
  return pack;
}

template <class T>
FASTNN_DEVICE void store_pack(T* to, const Pack<T>& pack, Index count, bool aligned) {
  if (aligned && count >= Pack<T>::count) {
    *reinterpret_cast<Pack<T>*>(to) = pack;
  } else {
    FASTNN_UNROLL
    for (int j = 0; j < Pack<T>::count; ++j) {
      if (j < count) to[j] = pack.at[j];
    }
  }
}

template <class T>
FASTNN_DEVICE void add_pack(Pack<T>& sum, const Pack<T>& pack) {
  FASTNN_UNROLL
  for (int j = 0; j < Pack<T>::count; ++j) sum.at[j] += pack.at[j];
}

}  // namespace fastnn::FASTNN_TARGET
