#include "nn/snapshot.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace fastnn {

void Snapshots::consider(const Buffers& buffers, const Steps& steps,
                         const std::function<void()>& fetch) {
  const bool first = !held() || due_;
  const auto begin = Clock::now();
  if (!first && begin < next_) return;
  fetch();
  candidate_.held = false;
  candidate_.copies.resize(buffers.size());
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    Copy& copy = candidate_.copies[i];
    const auto bytes = static_cast<std::size_t>(buffers[i]->bytes());
    if (copy.bytes != bytes || !copy.memory) copy = {OwnedMemory(allocate_zeroed(bytes)), bytes};
    if (!copy.memory) throw std::bad_alloc();
    std::memcpy(copy.memory.get(), buffers[i]->data(), bytes);
  }
  candidate_.steps = steps;
  candidate_.held = true;
  if (due_) good_.held = false;
  due_ = false;
  const auto end = Clock::now();
  next_ = end + std::max<Clock::duration>(std::chrono::seconds(1), 50 * (end - begin));
}

void Snapshots::prove() {
  if (!candidate_.held) return;
  std::swap(good_, candidate_);
  candidate_.held = false;
}

Steps Snapshots::restore(const Buffers& buffers) const {
  const State& state = good_.held ? good_ : candidate_;
  for (std::size_t i = 0; i < buffers.size(); ++i) {
    std::memcpy(buffers[i]->data(), state.copies[i].memory.get(), state.copies[i].bytes);
  }
  return state.steps;
}

}  // namespace fastnn
