// Products C (m, n) = A (m, k) B (k, n): how they are cut into tiles and pieces, and the kernel
// that computes a tile. The arithmetic of a tile is in gemm_tile.h and gemm_bf16.h.
//
// Nothing here depends on the GPU: the tile and the cuts of k follow from shape and precision, and
// so do the bits of the result. A small result with long sums is cut into pieces of k, each
// computed by blocks of its own. A second kernel adds the pieces in order and applies the epilogue
// that the first kernel would have applied.
#pragma once

#include <type_traits>

#include "core/session.h"
#include "cuda/column_sums.h"
#include "cuda/dense_finish.h"
#include "cuda/gemm_bf16.h"
#include "cuda/gemm_tile.h"

namespace fastnn::FASTNN_TARGET {

enum class Tile : unsigned char { large, middle, small, least, narrow };

struct Cut {
  Tile tile;
  int bf16_parts;       // bfloat16 parts of an operand; 0: float32 or double
  Index rows;           // of a tile, or of a region in which pieces are added
  Index pieces, depth;  // number of pieces of k, and the terms in each
};

// The destination of sums over the rows of B: one row for each piece.
template <class T>
struct ColumnSums {
  T* out = nullptr;
  bool accumulates = false;
};

template <class Unit, bool a_by_k, bool b_by_k, class Finish>
struct Product {
  using T = typename Unit::Type;
  static constexpr int threads = Unit::threads;
  static constexpr int resident_blocks = Unit::resident_blocks;
  // Only for a weight's gradient: B is then dz, and its sums are the gradient of the bias.
  static constexpr bool sums_b = !a_by_k && !b_by_k;
  union Shared {
    typename Unit::Stage stages[2];
    typename Unit::Result result;
    T room[threads * Pack<T>::count];
  };
  static_assert(sizeof(Shared) <= size_t{96} << 10U);

  Index m, n, k;
  Operand<T> a, b;
  Index pieces, piece_depth;
  Finish finish;
  ColumnSums<T> b_sums;
  RowSums<T> beside;  // done by blocks that follow the product's blocks

  Index row_tiles() const { return ceil_div(m, Unit::rows); }
  Index blocks() const { return row_tiles() * ceil_div(n, Unit::columns) * pieces; }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    auto& shared = t.shared<Shared>();
    // There are fewer than 2^31 blocks, and 64-bit divisions are slow.
    const auto block = static_cast<unsigned>(t.block());
    const auto down = static_cast<unsigned>(ceil_div(m, Unit::rows));
    const auto across = static_cast<unsigned>(ceil_div(n, Unit::columns));
    const unsigned piece = block / (down * across);
    if (piece >= pieces) {
      beside.template run<threads>(t, block - down * across * static_cast<unsigned>(pieces),
                                   shared.room);
      return;
    }
    // Tiles are ordered in bands of a few rows, so that neighbouring blocks read the same parts of
    // B.
    constexpr unsigned band = 8;
    const unsigned tile = block - piece * (down * across);
    const unsigned band_first = tile / (band * across) * band;
    const unsigned band_rows = down - band_first < band ? down - band_first : band;
    const unsigned within = tile - band_first * across;
    make(t, shared, {piece, band_first + within % band_rows, within / band_rows});
  }

 private:
  struct TileIndex {
    unsigned piece, row_tile, column_tile;
    FASTNN_DEVICE Index row() const { return Index{row_tile} * Unit::rows; }
    FASTNN_DEVICE Index column() const { return Index{column_tile} * Unit::columns; }
  };

  FASTNN_DEVICE void make(const Thread& t, Shared& shared, const TileIndex& place) const {
    const Index begin = place.piece * piece_depth;
    const Index end = least(k, begin + piece_depth);
    Unit unit;
    typename Unit::template FetchA<a_by_k> fetch_a(t, a, place.row(), begin);
    typename Unit::template FetchB<b_by_k> fetch_b(t, b, place.column(), begin);
    Pack<T> sum{};
    const auto load = [&](Index at) {
      const int left = static_cast<int>(least(end - at, Unit::depth));
      fetch_a.load(t, a, left);
      fetch_b.load(t, b, left);
    };
    load(begin);
    const int rows = static_cast<int>(least(m - place.row(), Unit::rows));
    int turn = 0;
    for (Index at = begin; at < end; at += Unit::depth) {
      Unit::store(t, fetch_a, fetch_b, shared.stages[turn]);
      if constexpr (sums_b) fetch_b.add_to(sum);
      t.barrier();  // planted: product stages
      if (at + Unit::depth < end) load(at + Unit::depth);
      unit.multiply(t, shared.stages[turn], rows);
      turn ^= 1;
    }
    t.barrier();
    if constexpr (sums_b) {
      if (b_sums.out != nullptr && place.row_tile == 0) {
        add_columns(t, shared.room, sum, place);
        t.barrier();
      }
    }
    unit.put(t, shared.result);
    t.barrier();
    finish.template run<Unit::columns, threads>(
        t, m, n,
        {shared.result.at, Unit::result_row, Unit::slices, Unit::rows * Unit::result_row, true,
         place.row(), place.column(), Unit::rows, place.row_tile, place.piece},
        shared.room);
  }

  // Adds the sums of the threads that share a column, in the order of those threads.
  FASTNN_DEVICE void add_columns(const Thread& t, T* room, const Pack<T>& sum,
                                 const TileIndex& place) const {
    using FetchB = typename Unit::template FetchB<false>;
    FASTNN_UNROLL
    for (int j = 0; j < Pack<T>::count; ++j) {
      room[FetchB::own_share(t) * Unit::columns + FetchB::own_column(t) + j] = sum.at[j];
    }
    t.barrier();
    for (Index j = t.index(); j < least(Unit::columns, n - place.column()); j += threads) {
      T* const out = b_sums.out + place.piece * n + place.column() + j;
      T total = b_sums.accumulates ? *out : T(0);
      for (int share = 0; share < FetchB::sharers; ++share) {
        total += room[share * Unit::columns + j];
      }
      *out = total;
    }
  }
};

// Adds the pieces of a product and finishes the result.
template <class T, class Finish>
struct FinishPieces {
  static constexpr int threads = 256;
  static constexpr int rows = 32, columns = 32;
  struct Shared {
    T room[threads * Pack<T>::count];
  };

  Index m, n;
  const T* values;
  Index pieces;
  bool aligned;
  Finish finish;
  RowSums<T> beside;

  Index blocks() const { return ceil_div(m, rows) * ceil_div(n, columns); }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    T* const room = t.shared<Shared>().room;
    const Index across = ceil_div(n, columns);
    const Index row = t.block() / across;
    if (row * rows >= m) {
      beside.template run<threads>(t, t.block() - ceil_div(m, rows) * across, room);
      return;
    }
    const Index column = t.block() % across * columns;
    finish.template run<columns, threads>(t, m, n,
                                          {values + row * rows * n + column, n, pieces, m * n,
                                           aligned, row * rows, column, rows, row, 0},
                                          room);
  }
};

// -- choice of tiles --------------------------------------------------------

template <class T>
struct Tiles;

template <>
struct Tiles<float> {
  using Large = MultiplyAdd<float, 128, 128, 16, 8, 8>;
  using Middle = MultiplyAdd<float, 64, 64, 16, 8, 4>;
  using Small = MultiplyAdd<float, 32, 32, 64, 4, 4, 4>;
  using Least = MultiplyAdd<float, 16, 16, 128, 2, 4, 8>;
  using Narrow = MultiplyAdd<float, 128, 16, 32, 4, 4>;
};

template <int bf16_parts>
struct UnitTiles {
  using Large = MultiplyBf16<128, 128, 64, 32, bf16_parts>;
  using Middle = MultiplyBf16<64, 64, 32, 32, bf16_parts>;
};

// Double is not meant for speed.
template <>
struct Tiles<double> {
  using Middle = MultiplyAdd<double, 32, 32, 16, 2, 2>;
  using Least = MultiplyAdd<double, 16, 16, 64, 2, 2, 4>;
};

// Blocks that keep any large GPU busy.
inline constexpr Index enough_blocks = 96;
// So many blocks with tensor cores do as much work as a full GPU without them.
inline constexpr Index enough_unit_blocks = 32;

// A piece has at least least_depth terms of k, in whole multiples of piece_step.
inline constexpr Index least_depth = 512;
inline constexpr Index piece_step = 128;
inline constexpr Index most_pieces = 192;

inline Index tiles_of(Index m, Index n, Index rows, Index columns) {
  return ceil_div(m, rows) * ceil_div(n, columns);
}

// Whether tiles of that size are mostly full and give enough blocks.
inline bool tile_serves(Index m, Index n, Index k, Index side, Index enough = enough_blocks) {
  const Index pieces = least(most(k / least_depth, 1), most_pieces);
  return 2 * m > side && 2 * n > side && tiles_of(m, n, side, side) * pieces >= enough;
}

inline Cut cut_for(Index m, Index n, Index k, Tile tile, Index rows, Index columns,
                   int bf16_parts = 0) {
  const Index tiles = most(tiles_of(m, n, rows, columns), 1);
  if (tiles >= enough_blocks || k < 2 * least_depth) return {tile, bf16_parts, rows, 1, k};
  const Index wanted = least(ceil_div(most_pieces, tiles), k / least_depth);
  const Index depth = ceil_div(ceil_div(k, wanted), piece_step) * piece_step;
  const Index pieces = ceil_div(k, depth);
  constexpr Index added_rows = FinishPieces<float, FinishStore<float>>::rows;
  return {tile, bf16_parts, pieces > 1 ? added_rows : rows, pieces, depth};
}

template <class T>
Cut cut_of(int precision, Index m, Index n, Index k) {
  if constexpr (sizeof(T) == sizeof(double)) {
    if (tile_serves(m, n, k, 32)) return cut_for(m, n, k, Tile::middle, 32, 32);
  } else {
    if (precision != static_cast<int>(Precision::highest) &&
        k >= MultiplyBf16<64, 64, 32, 32, 1>::depth) {
      const int bf16_parts = precision == static_cast<int>(Precision::high) ? 2 : 1;
      if (tile_serves(m, n, k, 128)) return cut_for(m, n, k, Tile::large, 128, 128, bf16_parts);
      if (tile_serves(m, n, k, 64, enough_unit_blocks)) {
        return cut_for(m, n, k, Tile::middle, 64, 64, bf16_parts);
      }
    }
    if (n <= 16 && m >= 128 * enough_blocks / 2) return cut_for(m, n, k, Tile::narrow, 128, 16);
    if (tile_serves(m, n, k, 128)) return cut_for(m, n, k, Tile::large, 128, 128);
    if (tile_serves(m, n, k, 64)) return cut_for(m, n, k, Tile::middle, 64, 64);
    if (tile_serves(m, n, k, 32)) return cut_for(m, n, k, Tile::small, 32, 32);
  }
  return cut_for(m, n, k, Tile::least, 16, 16);
}

template <class Unit>
struct Of {
  using Type = Unit;
};

template <int bf16_parts, class F>
Status with_unit_tile(Tile tile, const F& f) {
  if (tile == Tile::large) return f(Of<typename UnitTiles<bf16_parts>::Large>{});
  return f(Of<typename UnitTiles<bf16_parts>::Middle>{});
}

template <class T, class F>
Status with_tile(const Cut& cut, const F& f) {
  using All = Tiles<T>;
  const Tile tile = cut.tile;
  if constexpr (sizeof(T) != sizeof(double)) {
    if (cut.bf16_parts == 1) return with_unit_tile<1>(tile, f);
    if (cut.bf16_parts == 2) return with_unit_tile<2>(tile, f);
    if (tile == Tile::large) return f(Of<typename All::Large>{});
    if (tile == Tile::small) return f(Of<typename All::Small>{});
    if (tile == Tile::narrow) return f(Of<typename All::Narrow>{});
  }
  if (tile == Tile::middle) return f(Of<typename All::Middle>{});
  return f(Of<typename All::Least>{});
}

// -- whole products ---------------------------------------------------------

template <class T, class Finish>
struct Multiply {
  Index m, n, k;
  Operand<T> a, b;
  Cut cut;
  Finish finish;
  ColumnSums<T> b_sums = {};  // only if neither A nor B is stored by k
  RowSums<T> beside = {};     // done in the same launch as the product
  RowSums<T> after = {};      // done in the launch that adds the pieces
};

// `pieces`, if not null, has shape (cut.pieces, m, n) and receives the pieces, which are not added.
template <bool a_by_k, bool b_by_k, class T, class Finish>
Status multiply(Context& context, const Multiply<T, Finish>& p, T* pieces = nullptr) {
  const auto make = [&](const auto& finish) {
    using Own = std::remove_cvref_t<decltype(finish)>;
    return with_tile<T>(p.cut, [&](auto of) {
      using Unit = typename decltype(of)::Type;
      const Product<Unit, a_by_k, b_by_k, Own> product{
          p.m, p.n, p.k, p.a, p.b, p.cut.pieces, p.cut.depth, finish, p.b_sums, p.beside};
      return launch(context, product.blocks() + p.beside.blocks(), product);
    });
  };
  const bool stay = pieces != nullptr;
  if (p.cut.pieces == 1 && !stay) return make(p.finish);
  const Index size = p.m * p.n;
  if (!stay) {
    const auto elements = static_cast<size_t>(most(p.cut.pieces * size, 1));
    pieces = static_cast<T*>(context.scratch(Context::product, elements * sizeof(T)));
    if (pieces == nullptr) return Status::out_of_memory;
  }
  const bool aligned = packs_align(pieces, p.n) && size % Pack<T>::count == 0;
  const Status status = make(FinishStore<T>{pieces, size, false, aligned});
  if (status != Status::ok || stay) return status;
  const FinishPieces<T, Finish> rest{p.m, p.n, pieces, p.cut.pieces, aligned, p.finish, p.after};
  return launch(context, rest.blocks() + p.after.blocks(), rest);
}

}  // namespace fastnn::FASTNN_TARGET
