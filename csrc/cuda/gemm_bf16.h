// A block's part of a product by tensor cores: each float32 operand is the sum of one or two
// bfloat16 parts. gemm.h decides which blocks compute what.
//
// Part 0 of an operand is x rounded to nearest even; part 1 is the remainder, rounded likewise. Two
// parts keep 16 bits and take three products: all except the product of the two remainders, which
// is below 2^-16 of the whole. With one part, an infinity stays an infinity; with two parts it
// gives NaN, as does a number that rounds to infinity (from 3.3962e38 on). NaN stays NaN.
//
// Tensor cores truncate their sums, always towards zero, so that long sums shrink. Therefore, with
// two parts each stage's sum begins at zero and is then added in float32 with rounding.
#pragma once

#include "cuda/gemm_tile.h"
#include "cuda/pack.h"

namespace fastnn::FASTNN_TARGET {

// Stages of 32 terms of k. A row of a shared tile (a column, for the right operand) is its 32
// bfloat16 numbers, 64 bytes. A lane reads 16 bytes at once, 8 terms of k. These are consecutive k,
// while the unit's own order has pairs apart; since both operands use the same order, the product
// is the same.
template <int extent, int threads, int bf16_parts, bool by_k>
class FetchPairs {
 public:
  static constexpr int depth = 32;
  static constexpr int row_words = depth / 2;
  static constexpr int words = bf16_parts * extent * row_words;

  // The place of a row. In every second group of four rows, the rows of each pair are exchanged, so
  // that stores down a tile's rows cause fewer bank conflicts.
  FASTNN_DEVICE static int place_of(int e) { return (e ^ (e / 4 % 2)) * row_words; }

  FASTNN_DEVICE FetchPairs(const Thread& t, const Operand<float>& from, Index first, Index k) {
    const Index e = first + t.index() / 8 * (by_k ? 1 : 4);
    const Index own_k = k + own_share(t) * 4;
    at_ = by_k ? from.data + e * from.stride + own_k : from.data + own_k * from.stride + e;
    left_ = static_cast<int>(least(from.extent - e, extent));
  }

  // Like Fetch::load.
  FASTNN_DEVICE void load(const Thread& t, const Operand<float>& from, int k_left) {
    const int own_left = k_left - own_share(t) * 4;
    FASTNN_UNROLL
    for (int turn = 0; turn < 4; ++turn) {
      constexpr int e_step = by_k ? threads / 8 : 0;
      const bool inside = by_k ? turn * e_step < left_ : turn < own_left;
      const int count = by_k ? own_left : left_;
      const Index step = (by_k ? turn * e_step : turn) * from.stride;
      held_[turn] = load_pack(at_ + step, inside ? count : 0, from.aligned);
    }
    at_ += by_k ? depth : depth * from.stride;
  }

  FASTNN_DEVICE void store(const Thread& t, uint32_t* tile) const {
    const int row = t.index() / 8;
    uint32_t* const to = tile + own_share(t) * 2;
    FASTNN_UNROLL
    for (int j = 0; j < 4; ++j) {
      if constexpr (by_k) {
        put(held_[j].at, to + place_of(row + j * (threads / 8)));
      } else {
        const float four[] = {held_[0].at[j], held_[1].at[j], held_[2].at[j], held_[3].at[j]};
        put(four, to + place_of(row * 4 + j));
      }
    }
  }

  // Like the members of Fetch.
  static constexpr int sharers = 8;
  FASTNN_DEVICE static int own_column(const Thread& t) { return t.index() / 8 * 4; }
  FASTNN_DEVICE static int own_share(const Thread& t) { return t.index() % 8; }
  FASTNN_DEVICE void add_to(Pack<float>& sum) const {
    FASTNN_UNROLL
    for (int held = 0; held < 4; ++held) add_pack(sum, held_[held]);
  }

 private:
  static_assert(extent * 2 == threads);

  struct alignas(8) Words {
    uint32_t at[2];
  };
  // Stores four terms of k.
  FASTNN_DEVICE static void put(const float (&x)[4], uint32_t* to) {
    const Words high{{bf16_pair(x[0], x[1]), bf16_pair(x[2], x[3])}};
    *reinterpret_cast<Words*>(to) = high;
    if constexpr (bf16_parts == 2) {
      float rest[4];
      FASTNN_UNROLL
      for (int j = 0; j < 4; ++j) {
        const uint32_t bits = j % 2 == 0 ? high.at[j / 2] << 16U : high.at[j / 2] & 0xFFFF0000U;
        rest[j] = x[j] - __builtin_bit_cast(float, bits);
      }
      const Words low{{bf16_pair(rest[0], rest[1]), bf16_pair(rest[2], rest[3])}};
      *reinterpret_cast<Words*>(to + extent * row_words) = low;
    }
  }

  // By k: four rows, a fixed number of rows apart. Otherwise: four consecutive k.
  Pack<float> held_[4];
  const float* at_;
  int left_;  // rows, or elements of a row
};

// Tiles of rows x columns; each warp computes a part of the tile.
template <int rows_, int columns_, int warp_rows, int warp_columns, int bf16_parts>
class MultiplyBf16 {
 public:
  using Type = float;
  static constexpr int rows = rows_, columns = columns_, depth = 32, slices = 1;
  static constexpr int warps_across = columns / warp_columns;
  static constexpr int threads = 32 * (rows / warp_rows) * warps_across;
  static constexpr int resident_blocks = bf16_parts == 1 ? 1 : 0;
  // Eight more than columns, so that rows written by a warp at the same time are in different
  // banks.
  static constexpr int result_row = columns + 8;

  template <bool by_k>
  using FetchA = FetchPairs<rows, threads, bf16_parts, by_k>;
  template <bool by_k>
  using FetchB = FetchPairs<columns, threads, bf16_parts, by_k>;

  struct Stage {
    alignas(16) uint32_t a[FetchA<true>::words];
    alignas(16) uint32_t b[FetchB<true>::words];
  };
  struct Result {
    alignas(16) float at[rows * result_row];
  };

  template <class A, class B>
  FASTNN_DEVICE static void store(const Thread& t, const A& a, const B& b, Stage& stage) {
    a.store(t, stage.a);
    b.store(t, stage.b);
  }

  // Multiplies a stage of a tile that has `rows_here` rows.
  FASTNN_DEVICE void multiply(const Thread& t, const Stage& stage, int rows_here) {
    Eight b[bf16_parts][across];
    FASTNN_UNROLL
    for (int part = 0; part < bf16_parts; ++part) {
      FASTNN_UNROLL
      for (int j = 0; j < across; ++j) {
        b[part][j] = read(t, stage.b + part * columns * row_words, first_column(t) + j * 8);
      }
    }
    FASTNN_UNROLL
    for (int i = 0; i < down; ++i) {
      // Two parts leave no registers for reading far ahead, and a branch keeps ptxas from doing so.
      if (bf16_parts == 2 && down > 2 && i == down / 2 && first_row(t) + i * 16 >= rows_here)
        return;
      Eight a[bf16_parts][2];
      FASTNN_UNROLL
      for (int part = 0; part < bf16_parts; ++part) {
        FASTNN_UNROLL
        for (int half = 0; half < 2; ++half) {
          a[part][half] =
              read(t, stage.a + part * rows * row_words, first_row(t) + i * 16 + half * 8);
        }
      }
      if constexpr (bf16_parts == 1) {
        add_products(t, a[0], b[0], sums_[i]);
      } else {
        float part[across][4] = {};
        add_products(t, a[1], b[0], part);
        add_products(t, a[0], b[1], part);
        add_products(t, a[0], b[0], part);
        FASTNN_UNROLL
        for (int j = 0; j < across; ++j) {
          FASTNN_UNROLL
          for (int l = 0; l < 4; ++l) sums_[i][j][l] += part[j][l];
        }
      }
    }
  }

  FASTNN_DEVICE void put(const Thread& t, Result& result) const {
    FASTNN_UNROLL
    for (int i = 0; i < down; ++i) {
      FASTNN_UNROLL
      for (int j = 0; j < across; ++j) {
        FASTNN_UNROLL
        for (int half = 0; half < 2; ++half) {
          const int row = first_row(t) + i * 16 + half * 8 + t.lane() / 4;
          const int column = first_column(t) + j * 8 + t.lane() % 4 * 2;
          const Two two{{sums_[i][j][2 * half], sums_[i][j][2 * half + 1]}};
          *reinterpret_cast<Two*>(result.at + row * result_row + column) = two;
        }
      }
    }
  }

 private:
  static constexpr int row_words = FetchA<true>::row_words;
  static constexpr int down = warp_rows / 16, across = warp_columns / 8;

  // Four pairs of k, consecutive in a row.
  struct alignas(16) Eight {
    uint32_t pairs[4];
  };
  struct alignas(8) Two {
    float at[2];
  };

  FASTNN_DEVICE static int first_row(const Thread& t) {
    return t.warp() / warps_across * warp_rows;
  }
  FASTNN_DEVICE static int first_column(const Thread& t) {
    return t.warp() % warps_across * warp_columns;
  }
  FASTNN_DEVICE static Eight read(const Thread& t, const uint32_t* tile, int first) {
    const int place = FetchA<true>::place_of(first + t.lane() / 4) + t.lane() % 4 * 4;
    return *reinterpret_cast<const Eight*>(tile + place);
  }

  // A stage's 32 terms of k are two steps of the unit.
  FASTNN_DEVICE static void add_products(const Thread& t, const Eight (&a)[2],
                                         const Eight (&b)[across], float (&sums)[across][4]) {
    FASTNN_UNROLL
    for (int step = 0; step < 4; step += 2) {
      const uint32_t left[] = {a[0].pairs[step], a[1].pairs[step], a[0].pairs[step + 1],
                               a[1].pairs[step + 1]};
      FASTNN_UNROLL
      for (int j = 0; j < across; ++j) {
        const uint32_t right[] = {b[j].pairs[step], b[j].pairs[step + 1]};
        t.mma(sums[j], left, right);
      }
    }
  }

  float sums_[down][across][4] = {};
};

}  // namespace fastnn::FASTNN_TARGET
