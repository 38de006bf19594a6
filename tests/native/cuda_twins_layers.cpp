// Kernels of layers: see cuda_twins.h.
//
// In layer normalization the two sides add in other orders, and agree but for roundings. On
// each side a call in place and one that is not, and a batch in one call and in tiles of whole
// row groups, agree to the bit. Embeddings, combinations and columns agree to the bit throughout.
#include "cuda_twins.h"

#include <iterator>
#include <memory>

namespace twins {
namespace {

template <class T>
class Here {  // as Copy, of the host
 public:
  explicit Here(const std::vector<T>& from) : numbers_(from) {}
  T* get() { return numbers_.data(); }
  const std::vector<T>& read() const { return numbers_; }

 private:
  std::vector<T> numbers_;
};

template <class T>
class There : public Copy<T> {
 public:
  explicit There(const std::vector<T>& from) : Copy<T>(from) {}
};

template <class T>
struct Side {
  Context& context;
  Kernel<LayerNormForward<T>> forward;
  Kernel<LayerNormBackward<T>> backward;
};

template <class T>
struct Inputs {
  Index n, c;
  std::vector<T> dy, x, gamma, beta;
};

struct Variant {
  bool gamma = true, beta = true, dx = true, vectors = true, in_place = false, accumulates = false;
  Index tile = 0;  // rows of a call; 0: all
};

template <class T>
struct Outputs {
  std::vector<T> y, statistics, dx, dgamma, dbeta;
};

template <template <class> class Memory, class T>
Outputs<T> run(const Side<T>& side, const Inputs<T>& in, const Variant& v) {
  const Index n = in.n;
  const Index c = in.c;
  const std::vector<T> bad(static_cast<std::size_t>(n * c), T(-7));
  Memory<T> dy(in.dy);
  Memory<T> x(in.x);
  Memory<T> x_kept(in.x);
  Memory<T> gamma(in.gamma);
  Memory<T> beta(in.beta);
  Memory<T> y(bad);
  Memory<T> dx(bad);
  Memory<T> statistics(std::vector<T>(static_cast<std::size_t>(2 * n), T(-7)));
  Memory<T> dgamma(in.beta);
  Memory<T> dbeta(in.gamma);
  T* const weights = v.gamma ? gamma.get() : nullptr;
  T* const to_y = v.in_place ? x.get() : y.get();
  T* const to_dx = v.in_place ? dy.get() : dx.get();
  must(side.forward(side.context, {n, c, T(1e-3), x.get(), weights, v.beta ? beta.get() : nullptr,
                                   to_y, statistics.get()}));
  const Index tile = v.tile > 0 ? v.tile : n;
  Index first = 0;
  do {
    const Index at = first * c;
    must(side.backward(side.context,
                       {std::min(tile, n - first), c, dy.get() + at, x_kept.get() + at, weights,
                        statistics.get() + 2 * first, v.dx ? to_dx + at : nullptr,
                        v.vectors ? dgamma.get() : nullptr, v.vectors ? dbeta.get() : nullptr,
                        v.accumulates || first > 0}));
    first += tile;
  } while (first < n);
  return {(v.in_place ? x : y).read(), statistics.read(), (v.in_place ? dy : dx).read(),
          dgamma.read(), dbeta.read()};
}

template <class T>
void close(const std::string& what, const std::vector<T>& expected, const std::vector<T>& got,
           double scale) {
  const double allowed = (sizeof(T) == 4 ? 1e-6 : 1e-14) * scale;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double error = std::fabs(static_cast<double>(expected[i] - got[i]));
    if (!(error <= allowed)) return fail(what + " at " + std::to_string(i));
  }
}

template <class T>
void check_same(const std::string& what, const Outputs<T>& expected, const Outputs<T>& got,
                const Variant& v = {}) {
  if (!same(expected.y, got.y)) fail(what + ": y");
  if (!same(expected.statistics, got.statistics)) fail(what + ": statistics");
  if (v.dx && !same(expected.dx, got.dx)) fail(what + ": dx");
  if (v.vectors && !same(expected.dgamma, got.dgamma)) fail(what + ": dgamma");
  if (v.vectors && !same(expected.dbeta, got.dbeta)) fail(what + ": dbeta");
}

template <template <class> class Memory, class T>
void check_side(const std::string& name, const Side<T>& side, const Inputs<T>& in,
                const Outputs<T>& expected) {
  check_same(name + ", in place", expected, run<Memory>(side, in, {.in_place = true}));
  for (const Variant& v : {Variant{.dx = false}, Variant{.vectors = false}}) {
    check_same(name + ", without an output", expected, run<Memory>(side, in, v), v);
  }
  const Index rows = row_groups(in.n).rows;
  for (const Index tile : {rows, 3 * rows}) {
    check_same(name + ", in tiles", expected, run<Memory>(side, in, {.tile = tile}));
  }
}

template <class T>
void check_layer_norm(Index n, Index c) {
  const auto name = "layer_norm " + std::to_string(n) + "x" + std::to_string(c) +
                    (sizeof(T) == 4 ? ", float" : ", double");
  const Inputs<T> in{
      n, c, draw.numbers<T>(n * c), draw.numbers<T>(n * c), draw.numbers<T>(c), draw.numbers<T>(c)};
  const Side<T> here{host, cpu::layer_norm_forward<T>, cpu::layer_norm_backward<T>};
  const Side<T> there{*device, kernels<T>().layer_norm_forward, kernels<T>().layer_norm_backward};
  for (const bool gamma : {true, false}) {
    for (const bool beta : {true, false}) {
      for (const bool accumulates : {true, false}) {
        const Variant v{.gamma = gamma, .beta = beta, .accumulates = accumulates};
        const Outputs<T> expected = run<Here>(here, in, v);
        const Outputs<T> got = run<There>(there, in, v);
        // xhat is at most the root of c, the numbers at most 4; short rows may vary little.
        const double size = 100 * std::sqrt(static_cast<double>(c));
        close(name + ": y", expected.y, got.y, size);
        close(name + ": statistics", expected.statistics, got.statistics, size);
        close(name + ": dx", expected.dx, got.dx, 32 * size);
        close(name + ": dgamma", expected.dgamma, got.dgamma, size + static_cast<double>(n));
        close(name + ": dbeta", expected.dbeta, got.dbeta, size + static_cast<double>(n));
      }
    }
  }
  check_side<Here>(name + ", host", here, in, run<Here>(here, in, {}));
  check_side<There>(name + ", device", there, in, run<There>(there, in, {}));
}

// -- rows of a table --------------------------------------------------------

template <class T>
void check_embedding(Index n, Index k, Index vocabulary, Index d) {
  const auto name = "embedding " + std::to_string(n) + "x" + std::to_string(k) + " of " +
                    std::to_string(vocabulary) + "x" + std::to_string(d) +
                    (sizeof(T) == 4 ? ", float" : ", double");
  std::vector<T> x;
  for (const Index row : draw.indices(n * k, vocabulary)) x.push_back(static_cast<T>(row));
  const T size = static_cast<T>(vocabulary);
  const T no_rows[] = {T(-1), T(0.5), size, T(1e30), T(NAN), T(HUGE_VAL), T(-HUGE_VAL)};
  for (std::size_t i = 3; i < x.size(); i += 5) x[i] = no_rows[i % 7];
  const auto table = draw.numbers<T>(vocabulary * d);
  const auto dy = draw.numbers<T>(n * k * d);
  const Copy<T> x_there(x);
  const Copy<T> table_there(table);
  const Copy<T> dy_there(dy);

  std::vector<T> y(dy.size());
  const Copy<T> y_got(y);
  must(cpu::embedding_forward<T>(host, {n, k, vocabulary, d, x.data(), table.data(), y.data()}));
  must(kernels<T>().embedding_forward(
      *device, {n, k, vocabulary, d, x_there.get(), table_there.get(), y_got.get()}));
  compare(name + ": y", y, y_got);
  for (std::size_t i = 3; i < x.size(); i += 5) {
    const T got = y[i * static_cast<std::size_t>(d)];
    if (got == got) fail(name + ": a number is no row, and does not give NaN");
  }

  for (const bool accumulates : {false, true}) {
    std::vector<T> dtable = table;
    const Copy<T> got(dtable);
    must(cpu::embedding_backward<T>(
        host, {n, k, vocabulary, d, dy.data(), x.data(), dtable.data(), accumulates}));
    must(kernels<T>().embedding_backward(
        *device, {n, k, vocabulary, d, dy_there.get(), x_there.get(), got.get(), accumulates}));
    compare(name + ": dtable", dtable, got);
    // The batch in two halves, the second added to the first.
    std::vector<T> halves = table;
    const Index first = n / 2;
    must(cpu::embedding_backward<T>(
        host, {first, k, vocabulary, d, dy.data(), x.data(), halves.data(), accumulates}));
    must(cpu::embedding_backward<T>(host, {n - first, k, vocabulary, d, dy.data() + first * k * d,
                                           x.data() + first * k, halves.data(), true}));
    if (!same(dtable, halves)) fail(name + ": in halves");
  }
}

template <class T>
void check_embeddings() {
  for (const Index n : {0, 1, 9, 300}) {
    for (const Index k : {1, 3}) {
      for (const Index vocabulary : {1, 2, 37, 2000}) {
        for (const Index d : {1, 8, 33}) check_embedding<T>(n, k, vocabulary, d);
      }
    }
  }
}

// -- tensors combined, and columns ------------------------------------------

// Some numbers are equal, and some are NaN.
template <class T>
std::vector<T> rounded(Index count) {
  std::vector<T> numbers = draw.numbers<T>(count);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    if (i % 3 != 0) numbers[i] = std::round(numbers[i]);
    if (i % 37 == 5) numbers[i] = T(NAN);
  }
  return numbers;
}

template <class T>
void check_combination(Combination combination, Index n, int count) {
  const auto name = std::string(combination_names[static_cast<int>(combination)]) + " of " +
                    std::to_string(count) + ", " + std::to_string(n) +
                    (sizeof(T) == 4 ? ", float" : ", double");
  std::vector<std::vector<T>> x;
  std::vector<std::unique_ptr<Copy<T>>> x_there;
  const auto dy = draw.numbers<T>(n);
  const Copy<T> dy_there(dy);
  std::vector<T> y(dy.size());
  const Copy<T> y_got(y);
  CombineForward<T> forward{combination, count, n, {}, y.data()};
  CombineForward<T> forward_there{combination, count, n, {}, y_got.get()};
  for (int k = 0; k < count; ++k) x.push_back(rounded<T>(n));
  for (int k = 0; k < count; ++k) {
    x_there.push_back(std::make_unique<Copy<T>>(x[static_cast<std::size_t>(k)]));
    forward.x[k] = x[static_cast<std::size_t>(k)].data();
    forward_there.x[k] = x_there.back()->get();
  }
  must(cpu::combine_forward<T>(host, forward));
  must(kernels<T>().combine_forward(*device, forward_there));
  compare(name + ": y", y, y_got);
  for (int index = 0; index < count; ++index) {
    std::vector<T> dx(dy.size());
    const Copy<T> dx_got(dx);
    CombineBackward<T> backward{combination, count, index, n, dy.data(), {}, y.data(), dx.data()};
    CombineBackward<T> there{combination,    count, index,       n,
                             dy_there.get(), {},    y_got.get(), dx_got.get()};
    std::copy_n(forward.x, count, backward.x);
    std::copy_n(forward_there.x, count, there.x);
    must(cpu::combine_backward<T>(host, backward));
    must(kernels<T>().combine_backward(*device, there));
    compare(name + ": dx", dx, dx_got);
  }
}

template <class T>
void check_columns(Index n, Index columns, Index first, Index c) {
  const auto name = "columns " + std::to_string(first) + " + " + std::to_string(c) + " of " +
                    std::to_string(n) + "x" + std::to_string(columns) +
                    (sizeof(T) == 4 ? ", float" : ", double");
  const auto whole = draw.numbers<T>(n * columns);
  const auto part = draw.numbers<T>(n * c);
  const Copy<T> whole_there(whole);
  const Copy<T> part_there(part);
  std::vector<T> taken(part.size());
  const Copy<T> taken_got(taken);
  must(cpu::take_columns<T>(host, {n, columns, first, c, whole.data(), taken.data()}));
  must(kernels<T>().take_columns(*device,
                                 {n, columns, first, c, whole_there.get(), taken_got.get()}));
  compare(name + ": taken", taken, taken_got);
  for (const Put put : {Put::among_others, Put::among_zeros, Put::added}) {
    std::vector<T> y = whole;
    const Copy<T> got(y);
    must(cpu::put_columns<T>(host, {n, columns, first, c, put, part.data(), y.data()}));
    must(kernels<T>().put_columns(*device,
                                  {n, columns, first, c, put, part_there.get(), got.get()}));
    compare(name + ": put", y, got);
  }
}

template <class T>
void check_repeats(Index n, Index c, Index times) {
  const auto name = "repeat " + std::to_string(times) + " times " + std::to_string(n) + "x" +
                    std::to_string(c) + (sizeof(T) == 4 ? ", float" : ", double");
  const auto x = draw.numbers<T>(n * c);
  const auto dy = draw.numbers<T>(n * c * times);
  const Copy<T> x_there(x);
  const Copy<T> dy_there(dy);
  std::vector<T> y(dy.size());
  std::vector<T> dx(x.size());
  const Copy<T> y_got(y);
  const Copy<T> dx_got(dx);
  must(cpu::repeat_columns<T>(host, {n, c, times, x.data(), y.data()}));
  must(kernels<T>().repeat_columns(*device, {n, c, times, x_there.get(), y_got.get()}));
  must(cpu::sum_repeated<T>(host, {n, c, times, dy.data(), dx.data()}));
  must(kernels<T>().sum_repeated(*device, {n, c, times, dy_there.get(), dx_got.get()}));
  compare(name + ": y", y, y_got);
  compare(name + ": dx", dx, dx_got);
}

template <class T>
void check_joins() {
  for (const Index n : {0, 1, 31, 300}) {
    for (const Index c : {1, 2, 33}) {
      for (const Index times : {1, 2, 17}) check_repeats<T>(n, c, times);
    }
  }
  for (std::size_t kind = 0; kind < std::size(combination_names); ++kind) {
    for (const Index n : {0, 1, 255, 256, 257, 5000}) {
      for (const int count : {1, 2, 3, 64}) {
        if (n < 300 || count < 64) check_combination<T>(static_cast<Combination>(kind), n, count);
      }
    }
  }
  for (const Index n : {0, 1, 31, 300}) {
    for (const Index columns : {1, 2, 33}) {
      for (Index first = 0; first < columns; first += 7) {
        for (const Index c : {Index{1}, columns - first}) check_columns<T>(n, columns, first, c);
      }
    }
  }
}

}  // namespace

void check_layers() {
  check_joins<float>();
  check_joins<double>();
  check_embeddings<float>();
  check_embeddings<double>();
  for (const Index n : {0, 1, 5, 129, 700}) {
    for (const Index c : {1, 3, 16, 33, 64}) {
      check_layer_norm<float>(n, c);
      check_layer_norm<double>(n, c);
    }
  }
  for (const Index n : {1, 3}) {
    check_layer_norm<float>(n, 1500);
    check_layer_norm<double>(n, 1500);
  }
}

}  // namespace twins
