// Kernels that draw random numbers, all by counter.
#include "core/random.h"

#include "core/math.h"
#include "cpu/kernels.h"
#include "cpu/loops.h"

namespace fastnn::FASTNN_TARGET {

// encipher of many pairs, round by round over all: a pair's rounds are one long chain,
// and a processor sees too few pairs ahead to fill the waiting.
template <bool narrow>
static void encipher_all(const Permutation& p, Index count, uint32_t* __restrict__ left,
                         uint32_t* __restrict__ right) {
  for (int round = 0; round < Permutation::rounds; ++round) {
    const uint32_t left_key = p.keys[2 * round];
    const uint32_t right_key = p.keys[2 * round + 1];
    const uint32_t a = p.a;
    const uint32_t b = p.b;
    for (Index i = 0; i < count; ++i) left[i] = turn<narrow>(left[i], right[i], left_key, a);
    for (Index i = 0; i < count; ++i) right[i] = turn<narrow>(right[i], left[i], right_key, b);
  }
}

// Where the shuffled row of each position lies, in blocks of which the first
// pass of the permutation vectorises; the few that fall outside walk on.
static void permute_block(const Permutation& p, Index first, Index count, Index* out) {
  constexpr Index block = 256;
  uint32_t left[block];
  uint32_t right[block];
  Pair pair = split(p, static_cast<uint64_t>(first));
  for (Index i = 0; i < count; ++i) {
    left[i] = pair.left;
    right[i] = pair.right;
    if (++pair.right == p.b) pair = {pair.left + 1, 0};
  }
  if (p.narrow) {
    encipher_all<true>(p, count, left, right);
  } else {
    encipher_all<false>(p, count, left, right);
  }
  for (Index i = 0; i < count; ++i) {
    uint64_t x = join(p, {left[i], right[i]});
    if (x >= p.n) x = permute(p, x);
    out[i] = static_cast<Index>(x);
  }
}

Status shuffle(Context&, const Shuffle& a) {
  constexpr Index block = 256;
  if (a.shuffled) {
    const Permutation p = make_permutation(static_cast<uint64_t>(a.n), a.key, a.epoch);
    for (Index i = 0; i < a.count; i += block) {
      permute_block(p, a.first + i, least(block, a.count - i), a.out + i);
    }
  } else {
    for (Index i = 0; i < a.count; ++i) a.out[i] = a.first + i;
  }
  if (a.rows != nullptr) {
    for (Index i = 0; i < a.count; ++i) a.out[i] = a.rows[a.out[i]];
  }
  return Status::ok;
}

template <class T>
Status dropout(Context& context, const Dropout<T>& a) {
  const auto keep_below = static_cast<uint64_t>((1 - a.rate) * 0x1p32);
  const T scale = static_cast<T>(1 / (1 - a.rate));
  for_ranges(context, a.n, most(a.c * 4, 1), [&](Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const auto row = static_cast<uint64_t>(a.first_row + r);
      const T* const x = a.x + r * a.c;
      T* const y = a.y + r * a.c;
      // Four columns share a counter: word j % 4 of counter j / 4.
      constexpr Index block = 256;
      uint32_t bits[block] = {};
      for (Index start = 0; start < a.c; start += block) {
        const Index count = least(block, a.c - start);
        for (Index q = 0; q < ceil_div(count, 4); ++q) {
          const auto column = static_cast<uint64_t>(start / 4 + q);
          const Philox words = philox(a.key, a.step, row << 32U | column);
          for (int j = 0; j < 4; ++j) bits[4 * q + j] = words.word[j];
        }
        for (Index j = 0; j < count; ++j) {
          y[start + j] = bits[j] < keep_below ? x[start + j] * scale : T(0);
        }
      }
    }
  });
  return Status::ok;
}

template <class T>
Status fill_uniform(Context&, const Fill<T>& a) {
  for (Index j = 0; j < a.n; ++j) {
    const Philox words = philox(a.key, static_cast<uint64_t>(j), 0);
    a.out[j] = static_cast<T>(a.a + (a.b - a.a) * uniform(words.word[0]));
  }
  return Status::ok;
}

// Box and Muller, 1958: the radius from one word, the angle from another.
static double normal(const Philox& words) {
  constexpr double two_pi = 6.283185307179586;
  return sqrt(-2 * log(uniform(words.word[0]))) * ::cos(two_pi * uniform(words.word[1]));
}

template <class T>
Status fill_normal(Context&, const Fill<T>& a) {
  for (Index j = 0; j < a.n; ++j) {
    const auto counter = static_cast<uint64_t>(j);
    double x = normal(philox(a.key, counter, 0));
    for (uint64_t again = 1; a.truncated && abs(x) > 2; ++again) {
      x = normal(philox(a.key, counter, again));
    }
    a.out[j] = static_cast<T>(a.a + a.b * x);
  }
  return Status::ok;
}

FASTNN_INSTANTIATE(dropout, Dropout)
FASTNN_INSTANTIATE(fill_uniform, Fill)
FASTNN_INSTANTIATE(fill_normal, Fill)

}  // namespace fastnn::FASTNN_TARGET
