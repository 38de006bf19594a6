// Kernels that draw random numbers, all of them computed from counters (see core/random.h).
#include "core/random.h"

#include <type_traits>

#include "cpu/kernels.h"
#include "cpu/loops.h"
#include "cpu/words.h"

namespace fastnn::FASTNN_TARGET {

// encipher for many pairs, round by round over all of them: the rounds of one pair are one long
// chain, and a processor looks too few pairs ahead to use the time that it waits.
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

// Where sides are narrow, pairs go through all rounds in registers, some vectors of them at a time,
// so that one waits for no other. Turns are those of `turn`.
#if defined(__AVX512F__)
inline constexpr Index pairs_of_vector = 16;
inline constexpr int pair_vectors = 8;  // at a time, for the registers that there are
#elif defined(__AVX2__)
inline constexpr Index pairs_of_vector = 8;
inline constexpr int pair_vectors = 4;
#else
inline constexpr Index pairs_of_vector = 4;
inline constexpr int pair_vectors = 4;
#endif

struct PairVector {
  using Words __attribute__((vector_size(pairs_of_vector * sizeof(uint32_t)))) = uint32_t;
  Words left, right;

  static FASTNN_INLINE Words turn(Words x, Words y, uint32_t key, uint32_t size) {
    Words h = (y ^ key) * 0x7FEB352DU;
    h = (h ^ (h >> 15U)) * 0x846CA68BU;
    const Words step = ((h >> 16U) * size) >> 16U;
    const Words room = size - x;
    return step < room ? x + step : step - room;
  }
};

template <int count>
static void encipher_vectors(const Permutation& p, uint32_t* left, uint32_t* right) {
  PairVector pairs[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    __builtin_memcpy(&pairs[i].left, left + i * pairs_of_vector, sizeof pairs[i].left);
    __builtin_memcpy(&pairs[i].right, right + i * pairs_of_vector, sizeof pairs[i].right);
  }
  for (int round = 0; round < Permutation::rounds; ++round) {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      PairVector& at = pairs[i];
      at.left = PairVector::turn(at.left, at.right, p.keys[2 * round], p.a);
    }
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      PairVector& at = pairs[i];
      at.right = PairVector::turn(at.right, at.left, p.keys[2 * round + 1], p.b);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    __builtin_memcpy(left + i * pairs_of_vector, &pairs[i].left, sizeof pairs[i].left);
    __builtin_memcpy(right + i * pairs_of_vector, &pairs[i].right, sizeof pairs[i].right);
  }
}

// All vectors of [begin, end), at most `count` at a time.
template <int count>
static void encipher_vectors(const Permutation& p, Index begin, Index end, uint32_t* left,
                             uint32_t* right) {
  constexpr Index at_once = count * pairs_of_vector;
  for (; begin + at_once <= end; begin += at_once) {
    encipher_vectors<count>(p, left + begin, right + begin);
  }
  if constexpr (count > 1) encipher_vectors<count / 2>(p, begin, end, left, right);
}

// Enciphers whole vectors: what lies behind the pairs is enciphered, too.
static void encipher_padded(const Permutation& p, Index count, uint32_t* left, uint32_t* right) {
  const Index padded = round_up(count, pairs_of_vector);
  for (Index i = count; i < padded; ++i) left[i] = right[i] = 0;
  if (p.narrow) {
    encipher_vectors<pair_vectors>(p, 0, padded, left, right);
  } else {
    encipher_all<false>(p, padded, left, right);
  }
}

// Finds the source row of each shuffled position. The first pass of the permutation vectorises over
// a block; the few results outside [0, n) are permuted again, all at once.
static void permute_block(const Permutation& p, Index first, Index count, Index* out) {
  constexpr Index block = 256;
  uint32_t left[block];
  uint32_t right[block];
  Index place[block];  // of the pairs that are still outside
  Pair pair = split(p, static_cast<uint64_t>(first));
  for (Index i = 0; i < count; ++i) {
    left[i] = pair.left;
    right[i] = pair.right;
    if (++pair.right == p.b) pair = {pair.left + 1, 0};
  }
  encipher_padded(p, count, left, right);
  Index outside = 0;
  for (Index i = 0; i < count; ++i) {
    const Pair found{left[i], right[i]};
    const uint64_t x = join(p, found);
    out[i] = static_cast<Index>(x);
    // Behind those that were looked at, and overwritten by the next one unless it is outside.
    left[outside] = found.left;
    right[outside] = found.right;
    place[outside] = i;
    outside += x >= p.n ? 1 : 0;
  }
  while (outside > 0) {
    encipher_padded(p, outside, left, right);
    Index still = 0;
    for (Index i = 0; i < outside; ++i) {
      const Pair found{left[i], right[i]};
      const uint64_t x = join(p, found);
      const Index at = place[i];
      out[at] = static_cast<Index>(x);
      left[still] = found.left;
      right[still] = found.right;
      place[still] = at;
      still += x >= p.n ? 1 : 0;
    }
    outside = still;
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

// The counters of `quads` neighbours, from a quarter of the columns of a row on.
static void count_on(Index row, Index column, Index in_row, uint64_t* counter) {
  auto next = static_cast<uint64_t>(row) << 32U | static_cast<uint64_t>(column);
  if (column + quads <= in_row) {
    for (Index i = 0; i < quads; ++i) counter[i] = next + static_cast<uint64_t>(i);
    return;
  }
  Index left = in_row - column;
  for (Index i = 0; i < quads; ++i) {
    counter[i] = next++;
    if (--left == 0) {
      next += (uint64_t{1} << 32U) - static_cast<uint64_t>(in_row);
      left = in_row;
    }
  }
}

// -- noise ------------------------------------------------------------------

// A kernel's work on elements whose words are at hand: y is x with noise.
template <class Kind, class T>
struct Disturbed {
  using Draw = typename Kind::Draw;
  Kind kind;
  const T* x;
  T* y;

  static void run(const Draw* __restrict__ drawn, const Kind kind, const T* x, T* y, Index count) {
    FASTNN_INDEPENDENT
    for (Index j = 0; j < count; ++j) y[j] = kind.forward(drawn[j], x[j]);
  }
  // `count` elements from `start` on.
  FASTNN_INLINE void operator()(const Draw* drawn, Index start, Index count) const {
    run(drawn, kind, x + start, y + start, count);
  }
  // A vector of them, of kinds whose draws are words.
  template <Index lanes>
  FASTNN_INLINE void vector(const uint32_t* words, Index start) const {
    const T* const from = x + start;
    T* const to = y + start;
    FASTNN_LANES
    for (Index k = 0; k < lanes; ++k) to[k] = kind.forward(words[k], from[k]);
  }
};

inline constexpr Index words_at_once = 4 * quads;

// What kinds of noise make of `count` words, at most words_at_once.
static FASTNN_INLINE const uint32_t* drawn_from(const uint32_t* words, Index, uint32_t*) {
  return words;
}

// In two loops: an element's operations are one chain, and a processor looks ahead as far as the
// next few of it.
static const float* drawn_from(const uint32_t* words, Index count, float* normal) {
  for (Index i = 0; i < count; ++i) normal[i] = normal_argument(words[i]);
  for (Index i = 0; i < count; ++i) normal[i] = normal_at(normal[i], words[i]);
  return normal;
}

struct Draws {
  Index c, first_row;
  uint64_t key, step;
};

// Rows [begin, end), which are short: one lies behind the other.
template <class Kind, class T>
static void disturb_short_rows(const Draws& a, Index begin, Index end,
                               const Disturbed<Kind, T>& disturbed) {
  const Index in_row = ceil_div(a.c, 4);
  uint64_t counter[quads];
  alignas(64) uint32_t words[words_at_once];
  alignas(64) typename Kind::Draw made[words_at_once];
  const Index total = (end - begin) * in_row;
  Index row = begin;
  Index column = 0;  // divided by 4
  for (Index first = 0; first < total; first += quads) {
    const Index count = least(quads, total - first);
    count_on(a.first_row + row, column, in_row, counter);
    random_words(a.key, a.step, counter, words);
    const auto* const drawn = drawn_from(words, 4 * count, made);
    for (Index done = 0; done < count;) {
      const Index some = least(count - done, in_row - column);
      disturbed(drawn + 4 * done, row * a.c + 4 * column, least(4 * some, a.c - 4 * column));
      done += some;
      column += some;
      if (column == in_row) {
        column = 0;
        ++row;
      }
    }
  }
}

#if defined(__SSE2__)
// Rows [begin, end), which are long, a table of columns after the other. Words that are used as
// they are stay in registers.
template <class Kind, class T>
static void disturb_long_rows(const Draws& a, Index begin, Index end,
                              const Disturbed<Kind, T>& disturbed) {
  constexpr Index width = 4 * Halves::lanes;  // of the elements of a vector of counters
  ColumnRounds table[table_vectors];
  alignas(64) uint32_t words[words_at_once];
  alignas(64) typename Kind::Draw made[words_at_once];
  for (Index first = 0; first < a.c; first += width * table_vectors) {
    const Index columns = least(a.c - first, width * table_vectors);
    const Index vectors = ceil_div(columns, width);
    for (Index v = 0; v < vectors; ++v) {
      table[v] = column_rounds(a.key, a.step, first / 4 + v * Halves::lanes);
    }
    for (Index row = begin; row < end; ++row) {
      const RowRounds rounds = row_rounds(a.key, a.step, a.first_row + row);
      const Index start = row * a.c + first;
      Index v = 0;
      if constexpr (std::is_same_v<typename Kind::Draw, uint32_t>) {
        for (; (v + vectors_at_once) * width <= columns; v += vectors_at_once) {
          words_of_vectors<vectors_at_once>(a.key, table + v, rounds, words);
          for (Index k = 0; k < vectors_at_once * width; k += width / 2) {
            disturbed.template vector<width / 2>(words + k, start + v * width + k);
          }
        }
      }
      for (; v < vectors; v += words_at_once / width) {
        const Index some = least(words_at_once / width, vectors - v);
        words_of_row(a.key, table + v, some, rounds, words);
        disturbed(drawn_from(words, some * width, made), start + v * width,
                  least(some * width, columns - v * width));
      }
    }
  }
}

// Whether tables of columns are worth their vectors that are not full.
static bool is_long(Index c) {
  const Index in_row = ceil_div(c, 4);
  return c >= 64 && 10 * round_up(in_row, Halves::lanes) <= 13 * in_row;
}
#endif

template <class Kind, class T>
static Status disturb(Context& context, Index n, Index cost, const Draws& a, const Kind& kind,
                      const T* x, T* y) {
  const Disturbed<Kind, T> disturbed{kind, x, y};
  for_ranges(context, n, most(a.c * cost, 1), [&](Index begin, Index end) {
#if defined(__SSE2__)
    if (is_long(a.c)) return disturb_long_rows(a, begin, end, disturbed);
#endif
    disturb_short_rows(a, begin, end, disturbed);
  });
  return Status::ok;
}

template <class T>
static Status disturb(Context& context, Index n, Index, const Draws& a, const Unchanged<T>&,
                      const T* x, T* y) {
  if (x == y) return Status::ok;
  for_ranges(context, n, most(a.c, 1), [&](Index begin, Index end) {
    for (Index i = begin * a.c; i < end * a.c; ++i) y[i] = x[i];
  });
  return Status::ok;
}

template <class T>
Status dropout(Context& context, const Dropout<T>& a) {
  const Drop<T> kind{kept_of<T>(a.rate)};
  return disturb(context, a.n, 4, {a.c, a.first_row, a.key, a.step}, kind, a.x, a.y);
}

template <class T>
Status noise(Context& context, const Noise<T>& a) {
  return with_noise<T>(a.kind, a.amount, [&](const auto& kind) {
    const Draws draws{a.c, a.first_row, a.key, a.step};
    if (a.backward) return disturb(context, a.n, 8, draws, kind.slope(), a.x, a.y);
    return disturb(context, a.n, 8, draws, kind, a.x, a.y);
  });
}

template <class T>
Status fill_uniform(Context&, const Fill<T>& a) {
  for (Index j = 0; j < a.n; ++j) {
    a.out[j] = static_cast<T>(uniform_number(a.key, static_cast<uint64_t>(j), a.a, a.b));
  }
  return Status::ok;
}

template <class T>
Status fill_normal(Context&, const Fill<T>& a) {
  for (Index j = 0; j < a.n; ++j) {
    a.out[j] =
        static_cast<T>(normal_number(a.key, static_cast<uint64_t>(j), a.a, a.b, a.truncated));
  }
  return Status::ok;
}

FASTNN_INSTANTIATE(dropout, Dropout)
FASTNN_INSTANTIATE(noise, Noise)
FASTNN_INSTANTIATE(fill_uniform, Fill)
FASTNN_INSTANTIATE(fill_normal, Fill)

}  // namespace fastnn::FASTNN_TARGET
