/* The limits of one core: the peaks of multiply-adds in registers, and streams over arrays.
 * The streams have the loads and stores of fastnn's ops and almost no arithmetic; `a` is
 * written, or read and written, first. They measure memory and caches, not the least time of
 * an op. Built and called by yardstick.py, with -march=native. */
#include <time.h>
#if defined(__AVX512BF16__) || defined(__AMX_BF16__)
#include <immintrin.h>
#endif
#if defined(__AMX_BF16__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define LANES (BYTES / 4)
#define CHAINS 12 /* latency 4 times 2 units needs 8; 12 and 2 constants fit 16 registers */

typedef float vec __attribute__((vector_size(BYTES)));
typedef float any __attribute__((vector_size(BYTES), aligned(4), may_alias)); /* any address */

#define AT(p) (*(any*)((p) + i))
#define AT_CONST(p) (*(const any*)((p) + i))

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* x in every lane, hidden from the compiler: from constants it would find chains that do not
 * change, and remove them. */
static vec opaque(float x) {
  volatile float hidden = x;
  const vec zero = {0};
  return zero + hidden;
}

/* Multiplications and additions a second, in float32, in the best of twelve short rounds.
 * `rounded_peak` is the same for the unit for bfloat16, or 0 without such a unit. */
double peak(void) {
  const long turns = 2000000;
  const vec b = opaque(0.999f), c = opaque(0.001f);
  vec a[CHAINS];
  double best = 0;
  for (int j = 0; j < CHAINS; ++j) a[j] = opaque((float)j);
  for (int round = 0; round < 12; ++round) {
    const double start = now();
    for (long i = 0; i < turns; ++i) {
#pragma GCC unroll 12
      for (int j = 0; j < CHAINS; ++j) a[j] = a[j] * b + c;
    }
    const double rate = (double)turns * CHAINS * 2 * LANES / (now() - start);
    if (rate > best) best = rate;
  }
  vec sum = a[0];
  for (int j = 1; j < CHAINS; ++j) sum += a[j];
  return sum[0] < 0 ? 0 : best; /* keeps the chains alive */
}

#if defined(__AMX_BF16__) && defined(__linux__)

/* Tiles of 16 by 16 with 32 products for each element; 0 if the system refuses the tiles. */
double rounded_peak(void) {
  const long request = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA */
  if (syscall(SYS_arch_prctl, request, tile_data) != 0) return 0;
  struct {
    unsigned char palette, start, reserved[14];
    unsigned short row_bytes[16];
    unsigned char rows[16];
  } config = {.palette = 1};
  for (int i = 0; i < 8; ++i) config.row_bytes[i] = 64, config.rows[i] = 16;
  _tile_loadconfig(&config);
  const long turns = 100000;
  double best = 0;
  for (int round = 0; round < 12; ++round) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
    _tile_zero(6);
    _tile_zero(7);
    const double start = now();
    for (long i = 0; i < turns; ++i) {
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 4, 7);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
    const double rate = (double)turns * 4 * 2 * 16 * 16 * 32 / (now() - start);
    if (rate > best) best = rate;
  }
  _tile_release();
  return best;
}

#elif defined(__AVX512BF16__)

/* Dot products of pairs have a longer latency: 12 chains reach 0.93 of the rate of 24. */
#define DOT_CHAINS 24

double rounded_peak(void) {
  const long turns = 2000000;
  const __m512bh b = (__m512bh)_mm512_set1_epi32(0x3f003f00);
  __m512 a[DOT_CHAINS];
  double best = 0;
  for (int j = 0; j < DOT_CHAINS; ++j) a[j] = _mm512_set1_ps((float)j);
  for (int round = 0; round < 12; ++round) {
    const double start = now();
    for (long i = 0; i < turns; ++i) {
#pragma GCC unroll 24
      for (int j = 0; j < DOT_CHAINS; ++j) a[j] = _mm512_dpbf16_ps(a[j], b, b);
    }
    const double rate = (double)turns * DOT_CHAINS * 2 * 32 / (now() - start);
    if (rate > best) best = rate;
  }
  __m512 sum = a[0];
  for (int j = 1; j < DOT_CHAINS; ++j) sum = _mm512_add_ps(sum, a[j]);
  return _mm512_reduce_add_ps(sum) < 0 ? 0 : best;
}

#else

double rounded_peak(void) { return 0; }

#endif

/* n is a multiple of 16 in all of these. Values are scaled, or a compiler would call memcpy,
 * which bypasses the caches for large arrays and is no comparison for an op. */
void read_1_write_1(long n, float* restrict a, const float* restrict b) {
  for (long i = 0; i < n; i += LANES) AT(a) = 0.5f * AT_CONST(b);
}

void read_2_write_1(long n, float* restrict a, const float* restrict b, const float* restrict c) {
  for (long i = 0; i < n; i += LANES) AT(a) = AT_CONST(b) + 0.5f * AT_CONST(c);
}

/* These work in place, as optimizers do; g is only read. */
void update_1(long n, float* restrict a, const float* restrict g) {
  for (long i = 0; i < n; i += LANES) AT(a) = 0.5f * (AT(a) + AT_CONST(g));
}

void update_2(long n, float* restrict a, float* restrict b, const float* restrict g) {
  for (long i = 0; i < n; i += LANES) {
    AT(b) = 0.5f * (AT(b) + AT_CONST(g));
    AT(a) = 0.5f * (AT(a) + AT(b));
  }
}

void update_3(long n, float* restrict a, float* restrict b, float* restrict c,
              const float* restrict g) {
  for (long i = 0; i < n; i += LANES) {
    AT(b) = 0.5f * (AT(b) + AT_CONST(g));
    AT(c) = 0.5f * (AT(c) + AT_CONST(g));
    AT(a) = 0.5f * (AT(a) + AT(b) + AT(c));
  }
}
