// Products of another library, finished: bias and activation going forward; going back, the
// slope of the layer before and the sums of its bias's gradient; and their parts in bfloat16,
// which the products behind read. One pass over memory.
#include "core/activation.h"
#include "cuda/column_sums.h"
#include "cuda/kernels.h"
#include "cuda/pack.h"

namespace fastnn::FASTNN_TARGET {
namespace {

using Floats = Pack<float>;
constexpr int width = Floats::count;

FASTNN_DEVICE float float_of(uint32_t bf16) { return __builtin_bit_cast(float, bf16 << 16U); }

static_assert(width == 4);

struct alignas(8) HalfPack {
  uint32_t pair[width / 2];

  FASTNN_DEVICE uint32_t at(int j) const { return pair[j / 2] >> (j % 2 * 16) & 0xFFFFU; }
};

FASTNN_DEVICE Floats load_half(const uint16_t* from, Index count, bool aligned) {
  HalfPack half{};
  if (aligned) {
    half = *reinterpret_cast<const HalfPack*>(from);
  } else {
    FASTNN_UNROLL
    for (int j = 0; j < width; ++j) {
      if (j < count) half.pair[j / 2] |= static_cast<uint32_t>(from[j]) << (j % 2 * 16);
    }
  }
  Floats pack;
  FASTNN_UNROLL
  for (int j = 0; j < width; ++j) pack.at[j] = float_of(half.at(j));
  return pack;
}

// A block takes a tile; each thread the packs below one another of some columns.
template <class Kind, bool back>
struct FinishTile {
  static constexpr int threads = 256;
  static constexpr int columns = 32 * width;
  static constexpr int rows_at_once = threads / 32;
  static constexpr Index rows = 8 * rows_at_once;
  struct Shared {
    float room[rows_at_once * columns];
  };

  Kind kind;
  Finish a;
  bool aligned;
  float* sums;  // of each row of tiles; may be null

  Index across() const { return ceil_div(a.c, columns); }
  Index blocks() const { return ceil_div(a.n, rows) * across(); }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index wide = ceil_div(a.c, columns);
    const Index tile_row = t.block() / wide;
    const Index tile_column = t.block() % wide * columns;
    const int lane_column = t.lane() * width;
    const Index count = a.c - tile_column - lane_column;
    Floats bias{};
    if (!back && a.b != nullptr) {
      bias = load_pack(a.b + tile_column + lane_column, count, false);
    }
    Floats sum{};
    FASTNN_UNROLL
    for (int turn = 0; turn < rows / rows_at_once; ++turn) {
      const Index row = tile_row * rows + turn * rows_at_once + t.warp();
      if (row < a.n && count > 0) {  // planted: edge after cuBLASLt
        make(row * a.c + tile_column + lane_column, count, bias, sum);
      }
    }
    if (sums == nullptr) return;
    float* const room = t.shared<Shared>().room;
    FASTNN_UNROLL
    for (int j = 0; j < width; ++j) room[t.warp() * columns + lane_column + j] = sum.at[j];
    t.barrier();  // planted: sums after cuBLASLt
    for (Index j = t.index(); j < least(columns, a.c - tile_column); j += threads) {
      float total = 0;
      for (int part = 0; part < rows_at_once; ++part) total += room[part * columns + j];
      sums[tile_row * a.c + tile_column + j] = total;
    }
  }

 private:
  FASTNN_DEVICE Floats load(const float* floats, const uint16_t* halves, Index place,
                            Index count) const {
    return floats != nullptr ? load_pack(floats + place, count, aligned)
                             : load_half(halves + place, count, aligned);
  }

  FASTNN_DEVICE void make(Index place, Index count, const Floats& bias, Floats& sum) const {
    Floats x = load(a.x, a.x_bf16, place, count);
    if constexpr (back) {
      const Floats given = load(a.slope_of, a.slope_of_bf16, place, count);
      FASTNN_UNROLL
      for (int j = 0; j < width; ++j) x.at[j] *= kind.slope(given.at[j], given.at[j]);
      add_pack(sum, x);
    } else {
      add_pack(x, bias);
      if (a.z != nullptr) store_pack(a.z + place, x, count, aligned);
      FASTNN_UNROLL
      for (int j = 0; j < width; ++j) x.at[j] = kind.forward(x.at[j]);
    }
    if (a.y != nullptr) store_pack(a.y + place, x, count, aligned);
    FASTNN_UNROLL
    for (int part = 0; part < Finish::most_parts; ++part) {
      if (part >= a.parts) break;
      const HalfPack half{{bf16_pair(x.at[0], x.at[1]), bf16_pair(x.at[2], x.at[3])}};
      FASTNN_UNROLL
      for (int j = 0; j < width; ++j) x.at[j] -= float_of(half.at(j));
      uint16_t* const to = a.part[part] + place;
      if (aligned) {
        *reinterpret_cast<HalfPack*>(to) = half;
      } else {
        FASTNN_UNROLL
        for (int j = 0; j < width; ++j) {
          if (j < count) to[j] = static_cast<uint16_t>(half.at(j));
        }
      }
    }
  }
};

// `sums`: of one row of tiles in each of its rows.
Status sum_tiles(Context& context, const Finish& a, Index tile_rows, float* sums) {
  RowSums<float> all{sums, tile_rows, a.c, tile_rows, a.sums, false};
  const Status status = fold_rows(context, all, sums + tile_rows * a.c);
  return status == Status::ok ? sum_rows(context, all) : status;
}

template <bool back, class Kind>
Status finish_with(Context& context, const Finish& a, Kind kind) {
  using Tile = FinishTile<Kind, back>;
  bool packs = a.c % width == 0 && aligned(sizeof(Floats), a.x, a.slope_of, a.z, a.y) &&
               aligned(sizeof(HalfPack), a.x_bf16, a.slope_of_bf16);
  for (int part = 0; part < a.parts; ++part)
    packs = packs && aligned(sizeof(HalfPack), a.part[part]);
  const Index tile_rows = ceil_div(a.n, Tile::rows);
  float* sums = nullptr;
  if (a.sums != nullptr) {
    const Index room = most(tile_rows * a.c + fold_room(tile_rows, a.c), 1);
    sums = static_cast<float*>(
        context.scratch(Context::sums, static_cast<size_t>(room) * sizeof(float)));
    if (sums == nullptr) return Status::out_of_memory;
  }
  const Tile tile{kind, a, packs, sums};
  const Status status = launch(context, tile.blocks(), tile);
  return status == Status::ok && sums != nullptr ? sum_tiles(context, a, tile_rows, sums) : status;
}

}  // namespace

Status finish(Context& context, const Finish& a) {
  return with_activation(a.activation, [&](auto kind) {
    const bool back = a.slope_of != nullptr || a.slope_of_bf16 != nullptr;
    return back ? finish_with<true>(context, a, kind) : finish_with<false>(context, a, kind);
  });
}

}  // namespace fastnn::FASTNN_TARGET
