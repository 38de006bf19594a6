// Kernels that draw random numbers, all of them computed from counters (see core/random.h).
#include "core/random.h"

#include "cuda/kernels.h"

namespace fastnn::FASTNN_TARGET {
namespace {

constexpr int threads_of_block = 256;

struct ShufflePositions {
  static constexpr int threads = threads_of_block;
  Permutation permutation;
  bool shuffled;
  Index first, count;
  const Index* rows;
  Index* out;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index i = t.place();
    if (i >= count) return;
    Index row = first + i;
    if (shuffled) row = static_cast<Index>(permute(permutation, static_cast<uint64_t>(row)));
    out[i] = rows != nullptr ? rows[row] : row;
  }
};

// Each thread takes one quad: up to four columns that share a counter.
template <class T, bool whole>  // whether quads are whole and aligned
struct DropQuads {
  static constexpr int threads = threads_of_block;
  Dropout<T> a;
  Index quads;  // in a row
  Kept<T> kept;
  const StepValues* values;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    if (t.place() >= a.n * quads) return;
    const Cell cell = cell_of(t.place(), quads);
    const uint64_t step = values != nullptr ? values->life : a.step;
    const Philox words = dropout_words(a.key, step, static_cast<uint32_t>(a.first_row + cell.row),
                                       static_cast<uint32_t>(cell.column));
    if constexpr (whole) {
      Group<T, 4> x = reinterpret_cast<const Group<T, 4>*>(a.x)[t.place()];
      FASTNN_UNROLL
      for (int k = 0; k < 4; ++k) x.element[k] = drop(kept, words.word[k], x.element[k]);
      reinterpret_cast<Group<T, 4>*>(a.y)[t.place()] = x;
    } else {
      const Index start = cell.row * a.c + 4 * cell.column;
      const Index columns = a.c - 4 * cell.column;
      FASTNN_UNROLL
      for (int k = 0; k < 4; ++k) {
        if (k < columns) a.y[start + k] = drop(kept, words.word[k], a.x[start + k]);
      }
    }
  }
};

// The same for noise.
template <class T, class Kind>
struct Disturb {
  static constexpr int threads = threads_of_block;
  Noise<T> a;
  Index quads;  // in a row
  Kind kind;
  const StepValues* values;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    if (t.place() >= a.n * quads) return;
    const Cell cell = cell_of(t.place(), quads);
    const uint64_t step = values != nullptr ? values->life : a.step;
    const Philox words = dropout_words(a.key, step, static_cast<uint32_t>(a.first_row + cell.row),
                                       static_cast<uint32_t>(cell.column));
    const Index start = cell.row * a.c + 4 * cell.column;
    const Index columns = a.c - 4 * cell.column;
    FASTNN_UNROLL
    for (int k = 0; k < 4; ++k) {
      if (k >= columns) continue;
      const T x = a.x[start + k];
      const auto drawn = Kind::draw(words.word[k]);
      a.y[start + k] = a.backward ? kind.slope().forward(drawn, x) : kind.forward(drawn, x);
    }
  }
};

// Each thread draws one number.
template <class T>
struct FillUniform {
  static constexpr int threads = threads_of_block;
  Fill<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index j = t.place();
    if (j >= a.n) return;
    a.out[j] = static_cast<T>(uniform_number(a.key, static_cast<uint64_t>(j), a.a, a.b));
  }
};

template <class T>
struct FillNormal {
  static constexpr int threads = threads_of_block;
  Fill<T> a;

  FASTNN_DEVICE void operator()(const Thread& t) const {
    const Index j = t.place();
    if (j >= a.n) return;
    a.out[j] =
        static_cast<T>(normal_number(a.key, static_cast<uint64_t>(j), a.a, a.b, a.truncated));
  }
};

}  // namespace

Status shuffle(Context& context, const Shuffle& a) {
  Permutation permutation{};
  if (a.shuffled) permutation = make_permutation(static_cast<uint64_t>(a.n), a.key, a.epoch);
  return launch(context, ceil_div(a.count, threads_of_block),
                ShufflePositions{permutation, a.shuffled, a.first, a.count, a.rows, a.out});
}

template <class T>
Status dropout(Context& context, const Dropout<T>& a) {
  const Index quads = ceil_div(a.c, 4);
  const Index blocks = ceil_div(a.n * quads, threads_of_block);
  const Kept<T> kept = kept_of<T>(a.rate);
  const StepValues* const values = context.step.values;
  if (a.c % 4 == 0 && aligned(16, a.x, a.y)) {
    return launch(context, blocks, DropQuads<T, true>{a, quads, kept, values});
  }
  return launch(context, blocks, DropQuads<T, false>{a, quads, kept, values});
}

template <class T>
Status noise(Context& context, const Noise<T>& a) {
  const Index quads = ceil_div(a.c, 4);
  return with_noise<T>(a.kind, a.amount, [&](auto kind) {
    return launch(context, ceil_div(a.n * quads, threads_of_block),
                  Disturb<T, decltype(kind)>{a, quads, kind, context.step.values});
  });
}

template <class T>
Status fill_uniform(Context& context, const Fill<T>& a) {
  return launch(context, ceil_div(a.n, threads_of_block), FillUniform<T>{a});
}

template <class T>
Status fill_normal(Context& context, const Fill<T>& a) {
  return launch(context, ceil_div(a.n, threads_of_block), FillNormal<T>{a});
}

FASTNN_INSTANTIATE(dropout, Dropout)
FASTNN_INSTANTIATE(noise, Noise)
FASTNN_INSTANTIATE(fill_uniform, Fill)
FASTNN_INSTANTIATE(fill_normal, Fill)

}  // namespace fastnn::FASTNN_TARGET
