// The eight tile registers of AMX: 16 rows of 64 bytes each. The operations are macros, since the
// number of a register is part of the instruction.
//
// With FASTNN_EMULATE_TILES the tiles are plain memory, so that the loops over them run on any
// processor; for tests only.
#pragma once

#include "core/kernels.h"
#include "core/target.h"

#if !defined(FASTNN_EMULATE_TILES)
#include <immintrin.h>
#endif

namespace fastnn::FASTNN_TARGET {

inline constexpr Index tile_rows = 16;

#if !defined(FASTNN_EMULATE_TILES)

struct alignas(64) TileShapes {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// While an object lives, its thread may use tiles. The system saves tiles as long as they are used.
class TilesInUse {
 public:
  TilesInUse() {
    // The intrinsic of GCC 12 declares that it reads only 8 of these 64 bytes (GCC bug 114098).
    const TileShapes shapes;
    __asm__ volatile("ldtilecfg\t%0" ::"m"(shapes));
  }
  ~TilesInUse() { _tile_release(); }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

// GCC's tile loads do not declare that they read memory: this keeps earlier stores before them.
FASTNN_INLINE void finish_stores() { __asm__ volatile("" ::: "memory"); }

#define FASTNN_TILE_ZERO(t) _tile_zero(t)
#define FASTNN_TILE_LOAD(t, from, bytes) _tile_loadd(t, from, bytes)
#define FASTNN_TILE_STORE(t, to, bytes) _tile_stored(t, to, bytes)
#define FASTNN_TILE_DOT(c, a, b) _tile_dpbf16ps(c, a, b)

#else

struct Tile {
  uint32_t at[tile_rows][16];
};

inline thread_local Tile tiles[8];
inline thread_local bool tiles_in_use = false;

class TilesInUse {
 public:
  TilesInUse() {
    if (tiles_in_use) __builtin_trap();
    tiles_in_use = true;
    for (Tile& tile : tiles) tile = {};
  }
  ~TilesInUse() { tiles_in_use = false; }
  TilesInUse(const TilesInUse&) = delete;
  TilesInUse& operator=(const TilesInUse&) = delete;
};

inline Tile& tile(int t) {
  if (!tiles_in_use) __builtin_trap();
  return tiles[t];
}

inline void load_tile(int t, const void* from, Index bytes) {
  for (Index r = 0; r < tile_rows; ++r) {
    __builtin_memcpy(tile(t).at[r], static_cast<const char*>(from) + r * bytes, 64);
  }
}

inline void store_tile(int t, void* to, Index bytes) {
  for (Index r = 0; r < tile_rows; ++r) {
    __builtin_memcpy(static_cast<char*>(to) + r * bytes, tile(t).at[r], 64);
  }
}

// A float with a denormal set to zero. The unit does this to inputs and results of each operation.
inline float flushed(float x) {
  return __builtin_fabsf(x) < __FLT_MIN__ ? __builtin_copysignf(0.0F, x) : x;
}

inline float float_of(uint32_t bits) {
  float x;
  __builtin_memcpy(&x, &bits, sizeof x);
  return flushed(x);
}

// TDPBF16PS as in Intel's manual: products of even and of odd k are summed separately over the
// tile, by fused operations in ascending k; then the two sums are added, and their sum is added to
// C.
inline void multiply_tiles(int c, int a, int b) {
  constexpr uint32_t odd = 0xffff0000U;
  for (Index m = 0; m < tile_rows; ++m) {
    for (Index n = 0; n < 16; ++n) {
      float sums[2] = {};
      for (Index k = 0; k < 16; ++k) {
        const uint32_t x = tile(a).at[m][k];
        const uint32_t y = tile(b).at[k][n];
        sums[0] = flushed(__builtin_fmaf(float_of(x << 16), float_of(y << 16), sums[0]));
        sums[1] = flushed(__builtin_fmaf(float_of(x & odd), float_of(y & odd), sums[1]));
      }
      const float sum = flushed(float_of(tile(c).at[m][n]) + flushed(sums[0] + sums[1]));
      __builtin_memcpy(&tile(c).at[m][n], &sum, sizeof sum);
    }
  }
}

FASTNN_INLINE void finish_stores() {}

#define FASTNN_TILE_ZERO(t) (tile(t) = {})
#define FASTNN_TILE_LOAD(t, from, bytes) load_tile(t, from, bytes)
#define FASTNN_TILE_STORE(t, to, bytes) store_tile(t, to, bytes)
#define FASTNN_TILE_DOT(c, a, b) multiply_tiles(c, a, b)

#endif

}  // namespace fastnn::FASTNN_TARGET
