// Sums over ranks: processes that train one model together, each on its part of every batch.
//
// A sum is taken in the order of ranks, whatever its size and however it travels, and every rank
// gets the same bits. All ranks make the same rounds. A round begins with a block of fixed size
// from each rank, so that a rank that ends with an error can say so whatever the others wait for:
// they throw then, and none of them hangs. How bytes travel is the transport's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/arrays.h"

namespace fastnn {

// Two calls that all ranks make together, over memory of the host.
class Transport {
 public:
  Transport() = default;
  Transport(const Transport&) = delete;
  Transport& operator=(const Transport&) = delete;
  virtual ~Transport() = default;

  // all (ranks, bytes) gets what each rank has in mine (bytes).
  virtual void gather(const void* mine, void* all, Index bytes) = 0;
  // Piece r of out (ranks, bytes) goes to rank r; in (ranks, bytes) gets one piece from each.
  virtual void swap(const void* out, void* in, Index bytes) = 0;
  // Between two rounds: may throw what came meanwhile, an interrupt.
  virtual void rest() {}
};

// Other ranks ended with an error, or do something else than this one.
struct RankFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Exchange {
 public:
  // The transport must outlive it.
  Exchange(Transport& transport, Index rank, Index size);

  Index rank() const { return rank_; }
  Index size() const { return size_; }
  // The part of `count` things in order that is this rank's: [begin, end).
  Index begin(Index count) const { return share(count, rank_); }
  Index end(Index count) const { return share(count, rank_ + 1); }

  // The sums over ranks of these numbers, and of n values, in place. T: float or double.
  template <class T>
  void sum(std::span<double> numbers, T* values, Index n);
  void sum(std::span<double> numbers) { sum<double>(numbers, nullptr, 0); }
  // all (ranks, n) gets the numbers of each rank.
  void gather(std::span<const double> mine, std::span<double> all);
  // RankFailure where the bytes of any rank are not the same; `name` says what they are.
  void same(const char* name, std::span<const std::byte> mine);

  // This rank wants all to end after the present step. All ranks see it after the same round.
  void wish_to_end() { wishes_ = true; }
  bool ends() const { return ends_; }
  void forget_wishes() { wishes_ = ends_ = false; }

  // Tells the others, in place of the next round, why this rank makes no more of them.
  void leave(const std::string& why);
  // Whether any rank has left.
  bool is_over() const { return over_; }

 private:
  enum class Kind : std::uint32_t { sum, gather, leave };
  struct Head;

  Index share(Index count, Index rank) const;
  std::byte* block_of(Index rank) { return blocks_.data() + rank * block_size; }
  std::byte* begin_round(Kind kind, Index numbers, Index bytes);
  void end_blocks();
  void check_blocks();
  template <class T>
  void add_up(std::span<T> numbers, const std::byte* from, Index stride) const;
  template <class T>
  void sum_values(T* values, Index n);

  static constexpr Index block_size = 2048;

  Transport& transport_;
  Index rank_, size_;
  std::uint64_t round_ = 0;
  bool wishes_ = false, ends_ = false, over_ = false;
  std::vector<std::byte> mine_, blocks_;  // a block, and that of each rank
  std::vector<std::byte> room_, pieces_;  // what else travels
};

// How the rows of a run are shared out.
struct Ranks {
  // How many rows of a batch the ranks before this one have, and how many all ranks have.
  struct Part {
    Index before, whole;
  };

  Exchange* exchange = nullptr;
  // Whether the data are this rank's rows alone: those of all ranks in order are the data set. Else
  // every rank has the whole data set, and a part of each batch.
  bool shards = false;
  Index total = 0;   // rows of all ranks
  Index before = 0;  // those of the ranks before this one; 0 unless they are shards
  // 0: gradients are summed in every step. Else each rank makes so many steps on its own rows,
  // after which, and after an epoch, weights are averaged.
  Index average_every = 0;
  // Where each rank brings its own rows of every batch: those of the steps from `first_part` on. A
  // step takes the next batch_size rows of the data, of which there may be fewer, or none.
  Index first_part = 0;
  std::vector<Part> parts = {};

  bool brings() const { return !parts.empty(); }
  const Part& part(Index step) const { return parts[static_cast<std::size_t>(step - first_part)]; }
  // The rows of the batch of a step, of all ranks, where each has so many.
  Index rows(Index step, Index batch_size) const {
    return brings() ? part(step).whole : std::min(batch_size, total - step * batch_size);
  }
};

}  // namespace fastnn
