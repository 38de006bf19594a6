#include "core/exchange.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"

namespace fastnn {
namespace {

// Values of up to so many bytes are gathered whole by each rank; of more each rank adds up a part.
constexpr Index gathered = Index{1} << 14;
// Bytes that travel at once, of all ranks together.
constexpr Index at_once = Index{1} << 26;
constexpr std::uint32_t mark = 0x4e4e4146;

// Adds to `to` the numbers of `from`.
template <class T>
void add(T* __restrict__ to, const T* __restrict__ from, Index n) {
  for (Index i = 0; i < n; ++i) to[i] += from[i];
}

std::string text_of(const std::byte* bytes, Index most) {
  const auto* const text = reinterpret_cast<const char*>(bytes);
  return {text, strnlen(text, static_cast<std::size_t>(most))};
}

}  // namespace

struct Exchange::Head {
  std::uint32_t mark;
  Kind kind;
  std::uint64_t round;
  std::uint64_t numbers, bytes;
  std::uint64_t wishes;
};

Exchange::Exchange(Transport& transport, Index rank, Index size)
    : transport_(transport),
      rank_(rank),
      size_(size),
      mine_(static_cast<std::size_t>(block_size)),
      blocks_(static_cast<std::size_t>(size * block_size)) {
  check(size >= 1 && rank >= 0 && rank < size, "comm: expected a rank in [0, ", size, "), got ",
        rank);
}

Index Exchange::share(Index count, Index rank) const {
  const Index each = count / size_;
  return each * rank + std::min(rank, count % size_);
}

// Writes the head of this rank's block; returns the room behind it.
std::byte* Exchange::begin_round(Kind kind, Index numbers, Index bytes) {
  if (over_) refuse("comm: a rank has left this training; call fit again on every rank");
  const Head head{mark,
                  kind,
                  round_++,
                  static_cast<std::uint64_t>(numbers),
                  static_cast<std::uint64_t>(bytes),
                  wishes_ ? 1U : 0U};
  std::memcpy(mine_.data(), &head, sizeof head);
  return mine_.data() + sizeof head;
}

void Exchange::end_blocks() {
  transport_.gather(mine_.data(), blocks_.data(), block_size);
  check_blocks();
}

void Exchange::check_blocks() {
  Head own{};
  std::memcpy(&own, mine_.data(), sizeof own);
  Head head{};
  for (Index r = 0; r < size_; ++r) {
    std::memcpy(&head, block_of(r), sizeof head);
    if (head.mark == mark && head.kind == Kind::leave && r != rank_) {
      over_ = true;
      const std::string why = text_of(block_of(r) + sizeof head, block_size - sizeof head);
      throw RankFailure(message("rank ", r, " of ", size_, " ended: ", why));
    }
  }
  for (Index r = 0; r < size_; ++r) {
    std::memcpy(&head, block_of(r), sizeof head);
    const bool same = head.mark == mark && head.kind == own.kind && head.round == own.round &&
                      head.numbers == own.numbers && head.bytes == own.bytes;
    if (!same) {
      over_ = true;
      throw RankFailure(message("rank ", r, " of ", size_,
                                " is in another part of training than rank ", rank_,
                                ": the calls of fit, the data or the models differ"));
    }
    if (head.wishes != 0) ends_ = true;
  }
}

// Adds up, in the order of ranks, the numbers that lie `stride` bytes apart from one rank to the
// next.
template <class T>
void Exchange::add_up(std::span<T> numbers, const std::byte* from, Index stride) const {
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    T total = 0;
    for (Index r = 0; r < size_; ++r) {
      T one = 0;
      std::memcpy(&one, from + r * stride + static_cast<Index>(i * sizeof(T)), sizeof one);
      total = r == 0 ? one : total + one;
    }
    numbers[i] = total;
  }
}

template <class T>
void Exchange::sum(std::span<double> numbers, T* values, Index n) {
  constexpr auto head = static_cast<Index>(sizeof(Head));
  const auto count = static_cast<Index>(numbers.size());
  const Index bytes = n * static_cast<Index>(sizeof(T));
  const Index given = count * static_cast<Index>(sizeof(double));
  // What fits rides in the block. All memory is there before the round begins.
  const bool rides = given <= block_size - head;
  const bool all_ride = given + bytes <= block_size - head;
  if (!rides) pieces_.resize(static_cast<std::size_t>(size_ * given));
  std::byte* const room = begin_round(Kind::sum, count, bytes);
  if (rides && count > 0) std::memcpy(room, numbers.data(), static_cast<std::size_t>(given));
  if (all_ride && n > 0) std::memcpy(room + given, values, static_cast<std::size_t>(bytes));
  end_blocks();
  if (rides) {
    add_up(numbers, blocks_.data() + head, block_size);
  } else {
    transport_.gather(numbers.data(), pieces_.data(), given);
    add_up(numbers, pieces_.data(), given);
  }
  if (all_ride) {
    add_up(std::span(values, static_cast<std::size_t>(n)), blocks_.data() + head + given,
           block_size);
  } else if (n > 0) {
    sum_values(values, n);
  }
  transport_.rest();
}

template <class T>
void Exchange::sum_values(T* values, Index n) {
  constexpr auto width = static_cast<Index>(sizeof(T));
  if (n * width <= gathered) {
    pieces_.resize(static_cast<std::size_t>(size_ * n * width));
    transport_.gather(values, pieces_.data(), n * width);
    const auto* const from = reinterpret_cast<const T*>(pieces_.data());
    std::copy_n(from, n, values);
    for (Index r = 1; r < size_; ++r) add(values, from + r * n, n);
    return;
  }
  const Index most = std::max<Index>(at_once / width / size_, 1);  // elements of a piece
  for (Index first = 0; first < n; first += most * size_) {
    const Index some = std::min(n - first, most * size_);
    const Index each = some / size_ + (some % size_ != 0 ? 1 : 0);
    const bool fits = each * size_ == some;
    room_.resize(static_cast<std::size_t>(fits ? 0 : each * size_ * width));
    pieces_.resize(static_cast<std::size_t>(each * size_ * width));
    T* const padded = fits ? values + first : reinterpret_cast<T*>(room_.data());
    if (!fits) {
      std::copy_n(values + first, some, padded);
      std::fill(padded + some, padded + each * size_, T(0));
    }
    transport_.swap(padded, pieces_.data(), each * width);
    auto* const sums = reinterpret_cast<T*>(pieces_.data());
    for (Index r = 1; r < size_; ++r) add(sums, sums + r * each, each);
    transport_.gather(sums, padded, each * width);
    if (!fits) std::copy_n(padded, some, values + first);
  }
}

void Exchange::gather(std::span<const double> mine, std::span<double> all) {
  constexpr auto head = static_cast<Index>(sizeof(Head));
  const auto count = static_cast<Index>(mine.size());
  const Index given = count * static_cast<Index>(sizeof(double));
  const bool rides = given <= block_size - head;
  std::byte* const room = begin_round(Kind::gather, count, 0);
  if (rides && count > 0) std::memcpy(room, mine.data(), static_cast<std::size_t>(given));
  end_blocks();
  if (!rides) {
    transport_.gather(mine.data(), all.data(), given);
  } else {
    for (Index r = 0; r < size_ && count > 0; ++r) {
      std::memcpy(all.data() + r * count, block_of(r) + head, static_cast<std::size_t>(given));
    }
  }
  transport_.rest();
}

void Exchange::same(const char* name, std::span<const std::byte> mine) {
  const std::size_t count = (mine.size() + sizeof(double) - 1) / sizeof(double);
  std::vector<double> own(count);
  std::vector<double> all(count * static_cast<std::size_t>(size_));
  std::memcpy(own.data(), mine.data(), mine.size());
  gather(own, all);
  std::string others;
  for (Index r = 1; r < size_; ++r) {
    const double* const one = all.data() + r * static_cast<Index>(count);
    if (std::memcmp(one, all.data(), count * sizeof(double)) == 0) continue;
    others += (others.empty() ? "" : ", ") + std::to_string(r);
  }
  if (others.empty()) return;
  over_ = true;  // every rank knows
  throw RankFailure(message(name, " of rank ", others, " differ from those of rank 0"));
}

void Exchange::leave(const std::string& why) {
  if (over_) return;
  std::byte* const room = begin_round(Kind::leave, 0, 0);
  over_ = true;
  constexpr auto most = static_cast<std::size_t>(block_size) - sizeof(Head) - 1;
  std::memset(room, 0, most + 1);
  std::memcpy(room, why.data(), std::min(why.size(), most));
  transport_.gather(mine_.data(), blocks_.data(), block_size);
}

template void Exchange::sum<float>(std::span<double>, float*, Index);
template void Exchange::sum<double>(std::span<double>, double*, Index);

}  // namespace fastnn
