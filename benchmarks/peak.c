/* The fused multiply-add peak of one core in float32, in GFLOP/s: a loop over
 * independent chains in registers, nothing loaded, nothing stored. It says what a
 * core can do, not what any product reaches. Built by machine.py with -march=native. */
#include <stdio.h>
#include <time.h>

#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif
#define CHAINS 12 /* latency 4 times 2 units needs 8; 12 and 2 constants fit 16 registers */

typedef float vec __attribute__((vector_size(BYTES)));

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void) {
  const long turns = 2000000;
  const vec one = {0};
  const vec b = one + 0.999f, c = one + 0.001f;
  vec a[CHAINS];
  double best = 0;
  for (int j = 0; j < CHAINS; ++j) a[j] = one + (float)j;
  for (int round = 0; round < 12; ++round) {
    const double start = now();
    for (long i = 0; i < turns; ++i) {
#pragma GCC unroll 12
      for (int j = 0; j < CHAINS; ++j) a[j] = a[j] * b + c;
    }
    const double rate = (double)turns * CHAINS * 2 * (BYTES / 4) / (now() - start) * 1e-9;
    if (rate > best) best = rate;
  }
  vec sum = one;
  for (int j = 0; j < CHAINS; ++j) sum += a[j];
  printf("%.1f\n", best);
  return sum[0] < 0; /* keeps the chains alive */
}
