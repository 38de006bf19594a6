// Kernels of the device against their twins of the CPU, where the two must agree to the
// bit: rows gathered and searched, random numbers, optimizers.
//
// `cuda_twins LIBRARY` opens a _cuda; the twins are linked in, in a namespace of their own.
// Prints each difference, and how many there were.
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/declarations.h"
#include "core/math.h"
#include "core/random.h"
#include "cpu/context.h"
#include "cuda/abi.h"

namespace {

using namespace fastnn;
namespace cpu = fastnn::FASTNN_TARGET;

int failures = 0;

void fail(const std::string& what) {
  if (++failures <= 20) std::printf("%s\n", what.c_str());
}

// -- the two sides ----------------------------------------------------------

const CudaLibrary* library;
Context* device;
Context host(true);

void must(Status status) {
  if (status == Status::ok) return;
  std::printf("%s\n", library->last_error());
  std::exit(1);
}

// A copy of some numbers on the device, begun `shift` bytes off what is aligned.
template <class T>
class Copy {
 public:
  explicit Copy(const std::vector<T>& from, std::size_t shift = 0)
      : count_(from.size()), memory_(library->allocate(device, bytes() + shift)), shift_(shift) {
    if (count_ > 0) must(library->write(device, get(), from.data(), bytes()));
  }
  Copy(const Copy&) = delete;
  Copy& operator=(const Copy&) = delete;
  ~Copy() { library->release(device, memory_); }

  T* get() const { return reinterpret_cast<T*>(static_cast<char*>(memory_) + shift_); }
  std::vector<T> read() const {
    std::vector<T> result(count_);
    if (count_ > 0) must(library->read(device, result.data(), get(), bytes()));
    return result;
  }

 private:
  std::size_t bytes() const { return count_ * sizeof(T); }
  std::size_t count_;
  void* memory_;
  std::size_t shift_;
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != a[i] && b[i] != b[i]) continue;
    if (std::memcmp(&a[i], &b[i], sizeof(T)) != 0) return false;
  }
  return true;
}

template <class T>
void compare(const std::string& what, const std::vector<T>& expected, const Copy<T>& got) {
  if (!same(expected, got.read())) fail(what);
}

class Draw {
 public:
  std::uint64_t bits() {
    const cpu::Philox words = cpu::philox(7, count_++, 0);
    return std::uint64_t{words.word[0]} << 32U | words.word[1];
  }
  Index below(Index n) { return static_cast<Index>(bits() % static_cast<std::uint64_t>(n)); }
  template <class T>
  std::vector<T> numbers(Index n) {
    std::vector<T> result(static_cast<std::size_t>(n));
    for (T& x : result) x = static_cast<T>(static_cast<double>(below(2001) - 1000) / 250);
    return result;
  }
  std::vector<Index> indices(Index n, Index end) {
    std::vector<Index> result(static_cast<std::size_t>(n));
    for (Index& x : result) x = below(end);
    return result;
  }

 private:
  std::uint64_t count_ = 0;
} draw;

template <class T>
constexpr const Kernels<T>& kernels() {
  if constexpr (sizeof(T) == sizeof(float)) {
    return library->table->f32;
  } else {
    return library->table->f64;
  }
}

// What a recorded step says, in the device's memory, for as long as it lives.
class Recorded {
 public:
  Recorded(const StepValues& values, Index stopped)
      : values_(std::vector<StepValues>{values}), progress_(std::vector<Progress>{{stopped, 0}}) {
    library->set_step(device, {values_.get(), progress_.get()});
  }
  ~Recorded() { library->set_step(device, {}); }

 private:
  Copy<StepValues> values_;
  Copy<Progress> progress_;
};

// -- rows -------------------------------------------------------------------

// Bytes in which rows lie in one of several ways.
struct Layout {
  const char* name;
  Index row_gap, column_gap;  // bytes beyond what is needed
  Index shift;
  bool by_column;  // columns lie one after another, not rows
  bool backward;
  bool offsets;
};
constexpr Layout layouts[] = {
    {"dense", 0, 0, 0, false, false, false},        {"padded", 64, 0, 0, false, false, false},
    {"begun within", 0, 0, 8, false, false, false}, {"unaligned", 0, 0, 1, false, false, false},
    {"odd rows", 3, 0, 0, false, false, false},     {"apart", 0, 16, 0, false, false, false},
    {"odd columns", 0, 5, 0, false, false, false},  {"by column", 0, 0, 0, true, false, false},
    {"backward", 0, 0, 0, false, true, false},      {"offsets", 0, 0, 0, false, false, true},
    {"odd offsets", 1, 1, 0, false, false, true},
};

// A view of the same bytes on either side.
struct Views {
  Views(const Layout& layout, Element element, Index rows, Index columns,
        const std::vector<unsigned char>& all)
      : bytes(all),
        columns_at(columns_of(layout, bytes_of(element), columns)),
        there(bytes),
        offsets_there(columns_at) {
    const Index size = bytes_of(element);
    Index row = (size + layout.column_gap) * columns + layout.row_gap;
    Index column = size + layout.column_gap;
    if (layout.by_column) {
      row = size;
      column = size * rows;
    }
    const Index start =
        layout.shift + (layout.backward ? (rows - 1) * row + (columns - 1) * column : 0);
    if (layout.backward) {
      row = -row;
      column = -column;
    }
    here_view = {bytes.data() + start,
                 element,
                 rows,
                 columns,
                 row,
                 column,
                 layout.offsets ? columns_at.data() : nullptr};
    there_view = here_view;
    there_view.data = there.get() + start;
    if (layout.offsets) there_view.offsets = offsets_there.get();
  }

  static std::vector<Index> columns_of(const Layout& layout, Index size, Index columns) {
    std::vector<Index> at(static_cast<std::size_t>(columns));
    for (Index& x : at) x = draw.below(columns) * (size + layout.column_gap);
    return at;
  }

  std::vector<unsigned char> bytes;
  std::vector<Index> columns_at;
  Copy<unsigned char> there;
  Copy<Index> offsets_there;
  ArrayView here_view, there_view;
};

std::vector<unsigned char> any_bytes(Index n) {
  std::vector<unsigned char> bytes(static_cast<std::size_t>(n));
  for (auto& byte : bytes) byte = static_cast<unsigned char>(draw.bits());
  return bytes;
}

Index room(Index rows, Index columns) { return rows * (columns * 24 + 64) + 64; }

template <class T>
void check_gather(const Layout& layout, Element element, Index columns, Index n, bool ordered) {
  constexpr Index rows = 21;
  const Views views(layout, element, rows, columns, any_bytes(room(rows, columns)));
  const auto order = draw.indices(n + 3, rows);
  const Copy<Index> order_there(order);
  const Index first = ordered ? 0 : draw.below(rows - std::min(n, rows) + 1);
  const std::vector<T> none(static_cast<std::size_t>(n * columns), T(-1));
  for (const bool plain : {true, false}) {
    const T scale = plain ? T(1) : T(1) / T(3);
    const T offset = plain ? T(0) : T(-0.7);
    const auto name = std::string("gather ") + layout.name + ", element " +
                      std::to_string(static_cast<int>(element)) + ", " + std::to_string(n) + "x" +
                      std::to_string(columns) + (ordered ? ", ordered" : "") +
                      (plain ? "" : ", scaled") + (sizeof(T) == 4 ? ", float" : ", double");
    std::vector<T> expected = none;
    must(cpu::gather<T>(host, {views.here_view,
                               {ordered ? order.data() : nullptr, first, n},
                               scale,
                               offset,
                               expected.data()}));
    const Copy<T> got(none);
    must(kernels<T>().gather(*device, {views.there_view,
                                       {ordered ? order_there.get() : nullptr, first, n},
                                       scale,
                                       offset,
                                       got.get()}));
    compare(name, expected, got);
    // The same rows, of which the step tells the first.
    const Index skipped = ordered ? 2 : first;
    must(cpu::gather<T>(host, {views.here_view,
                               {ordered ? order.data() + 2 : nullptr, first, n},
                               scale,
                               offset,
                               expected.data()}));
    StepValues values{};
    values.first = skipped;
    const Recorded recorded(values, -1);
    const Copy<T> replayed(none);
    must(kernels<T>().gather(*device, {views.there_view,
                                       {ordered ? order_there.get() : nullptr, 99, n},
                                       scale,
                                       offset,
                                       replayed.get()}));
    compare(name + ", recorded", expected, replayed);
  }
}

void check_gathers() {
  for (const Layout& layout : layouts) {
    for (int element = 0; element <= static_cast<int>(Element::f64); ++element) {
      for (const Index columns : {1, 3, 4, 8, 33}) {
        for (const Index n : {0, 1, 7, 20}) {
          for (const bool ordered : {false, true}) {
            check_gather<float>(layout, static_cast<Element>(element), columns, n, ordered);
            check_gather<double>(layout, static_cast<Element>(element), columns, n, ordered);
          }
        }
      }
    }
  }
}

template <class T>
void check_labels(Index n, bool weighted, bool ignores, bool ordered) {
  constexpr Index rows = 900;
  std::vector<std::int32_t> labels(rows);
  for (auto& label : labels) label = static_cast<std::int32_t>(draw.below(4));
  const auto weights = draw.numbers<double>(rows);
  const auto order = draw.indices(n, rows);
  const Copy<std::int32_t> labels_there(labels);
  const Copy<double> weights_there(weights);
  const Copy<Index> order_there(order);
  const auto size = static_cast<std::size_t>(n);
  std::vector<std::int32_t> out_labels(size);
  std::vector<T> out_weights(size);
  std::vector<T> present(size);
  const Copy<std::int32_t> got_labels(out_labels);
  const Copy<T> got_weights(out_weights, sizeof(T));
  const Copy<T> got_present(present);
  must(cpu::gather_labels<T>(host, {labels.data(),
                                    weighted ? weights.data() : nullptr,
                                    2,
                                    ignores,
                                    {ordered ? order.data() : nullptr, 5, n},
                                    out_labels.data(),
                                    out_weights.data(),
                                    present.data()}));
  must(kernels<T>().gather_labels(*device, {labels_there.get(),
                                            weighted ? weights_there.get() : nullptr,
                                            2,
                                            ignores,
                                            {ordered ? order_there.get() : nullptr, 5, n},
                                            got_labels.get(),
                                            got_weights.get(),
                                            got_present.get()}));
  const std::string name = "gather_labels of " + std::to_string(n);
  compare(name, out_labels, got_labels);
  compare(name + ": weights", out_weights, got_weights);
  compare(name + ": present", present, got_present);
}

void check_all_labels() {
  for (const Index n : {0, 1, 33, 700}) {
    for (const bool weighted : {false, true}) {
      for (const bool ignores : {false, true}) {
        for (const bool ordered : {false, true}) {
          check_labels<float>(n, weighted, ignores, ordered);
          check_labels<double>(n, weighted, ignores, ordered);
        }
      }
    }
  }
}

// -- the search -------------------------------------------------------------

// Bytes of a number in [0, 1] everywhere, with some that are not as expected strewn in.
template <class T>
std::vector<unsigned char> strewn(Index n, Index bad) {
  std::vector<T> numbers(static_cast<std::size_t>(n), T{});
  const double values[] = {std::nan(""), HUGE_VAL, 1e300, 2.0, -1.0, -HUGE_VAL};
  for (Index i = 0; i < bad; ++i) {
    numbers[static_cast<std::size_t>(draw.below(n))] = static_cast<T>(values[draw.below(6)]);
  }
  std::vector<unsigned char> bytes(numbers.size() * sizeof(T));
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  return bytes;
}

void check_scan(const Views& views, Index n, bool ordered, Expected expected) {
  const Index rows = views.here_view.rows;
  const auto order = draw.indices(n, rows);
  const Copy<Index> order_there(order);
  const Index first = ordered ? 0 : draw.below(rows - n + 1);
  Index row = -2;
  Index column = -2;
  Index row_got = -2;
  Index column_got = -2;
  must(cpu::scan(
      host,
      {views.here_view, {ordered ? order.data() : nullptr, first, n}, expected, &row, &column}));
  must(library->table->scan(*device, {views.there_view,
                                      {ordered ? order_there.get() : nullptr, first, n},
                                      expected,
                                      &row_got,
                                      &column_got}));
  if (row != row_got || (row >= 0 && column != column_got)) {
    fail("scan: expected row " + std::to_string(row) + ", column " + std::to_string(column) +
         ", got " + std::to_string(row_got) + ", " + std::to_string(column_got));
  }
}

// More elements than threads, each of which must keep the first of its own.
void check_large_scan() {
  constexpr Index rows = 200000;
  constexpr Index columns = 3;
  std::vector<float> numbers(static_cast<std::size_t>(rows * columns));
  numbers[16] = std::nanf("");
  for (std::size_t i = 500000; i < numbers.size(); ++i) numbers[i] = std::nanf("");
  std::vector<unsigned char> bytes(numbers.size() * sizeof(float));
  std::memcpy(bytes.data(), numbers.data(), bytes.size());
  check_scan({layouts[0], Element::f32, rows, columns, bytes}, rows, false, Expected::finite);
}

void check_scans() {
  check_large_scan();
  constexpr Index rows = 700;
  for (const Layout& layout : layouts) {
    for (const Index columns : {1, 4, 7}) {
      for (const Index bad : {0, 1, 3, 200}) {
        const Index n = room(rows, columns) / 8;
        const Views all[] = {
            {layout, Element::f64, rows, columns, strewn<double>(n, bad)},
            {layout, Element::f32, rows, columns, strewn<float>(2 * n, bad)},
            {layout, Element::i16, rows, columns, any_bytes(8 * n)},
            {layout, Element::f16, rows, columns,
             bad == 200 ? any_bytes(8 * n) : strewn<float>(2 * n, 0)},
        };
        for (const Views& views : all) {
          for (const bool ordered : {false, true}) {
            for (const Index some : {Index{0}, Index{1}, rows}) {
              check_scan(views, some, ordered, Expected::finite);
              check_scan(views, some, ordered, Expected::finite_float);
              check_scan(views, some, ordered, Expected::unit_or_missing);
            }
          }
        }
      }
    }
  }
}

// -- random numbers ---------------------------------------------------------

void check_shuffle(Index n, Index first, Index count, bool shuffled, bool chosen) {
  const auto rows = draw.indices(chosen ? n : 1, 1000000);
  const Copy<Index> rows_there(rows);
  std::vector<Index> expected(static_cast<std::size_t>(count));
  const Copy<Index> got(expected);
  const std::uint64_t key = draw.bits();
  must(cpu::shuffle(
      host, {key, 3, n, first, count, shuffled, chosen ? rows.data() : nullptr, expected.data()}));
  must(library->table->shuffle(*device, {key, 3, n, first, count, shuffled,
                                         chosen ? rows_there.get() : nullptr, got.get()}));
  compare("shuffle of " + std::to_string(n), expected, got);
}

void check_shuffles() {
  for (const bool shuffled : {false, true}) {
    for (const bool chosen : {false, true}) {
      for (const Index n : {1, 2, 7, 65, 700}) {
        check_shuffle(n, 0, n, shuffled, chosen);
        check_shuffle(n, n / 3, n / 2, shuffled, chosen);
      }
    }
    check_shuffle(Index{3} << 28U, Index{1} << 28U, 300, shuffled, false);
  }
}

template <class T>
void check_dropout(Index n, Index c, double rate, std::size_t shift, bool in_place) {
  const auto x = draw.numbers<T>(n * c);
  const Copy<T> x_there(x, shift);
  const Copy<T> y_there(x, 0);
  T* const out = in_place ? x_there.get() : y_there.get();
  const std::uint64_t key = draw.bits();
  for (const bool recorded : {false, true}) {
    const Copy<T> start(x);
    must(library->copy(device, x_there.get(), start.get(), x.size() * sizeof(T)));
    StepValues values{};
    values.life = 1234;
    std::vector<T> expected(x.size());
    must(cpu::dropout<T>(host,
                         {key, recorded ? 1234U : 9U, 5, n, c, rate, x.data(), expected.data()}));
    if (recorded) {
      const Recorded step(values, -1);
      must(kernels<T>().dropout(*device, {key, 77, 5, n, c, rate, x_there.get(), out}));
    } else {
      must(kernels<T>().dropout(*device, {key, 9, 5, n, c, rate, x_there.get(), out}));
    }
    compare("dropout " + std::to_string(n) + "x" + std::to_string(c), expected,
            in_place ? x_there : y_there);
  }
}

template <class T>
void check_fill(Index n, bool truncated) {
  std::vector<T> expected(static_cast<std::size_t>(n));
  const Copy<T> got(expected);
  const std::uint64_t key = draw.bits();
  must(cpu::fill_uniform<T>(host, {n, key, -0.3, 0.7, false, expected.data()}));
  must(kernels<T>().fill_uniform(*device, {n, key, -0.3, 0.7, false, got.get()}));
  compare("fill_uniform", expected, got);
  must(cpu::fill_normal<T>(host, {n, key, 0.1, 2.0, truncated, expected.data()}));
  must(kernels<T>().fill_normal(*device, {n, key, 0.1, 2.0, truncated, got.get()}));
  // A logarithm or cosine of another library may end in another bit.
  const auto numbers = got.read();
  for (std::size_t j = 0; j < numbers.size(); ++j) {
    const double error = std::fabs(static_cast<double>(numbers[j] - expected[j]));
    if (!(error <= (sizeof(T) == 4 ? 1e-6 : 1e-14))) fail("fill_normal at " + std::to_string(j));
  }
}

template <class T>
void check_random() {
  for (const Index n : {0, 1, 3, 40}) {
    for (const Index c : {1, 3, 4, 5, 31, 64}) {
      for (const double rate : {0.0, 0.3, 0.999}) {
        check_dropout<T>(n, c, rate, 0, false);
        check_dropout<T>(n, c, rate, 0, true);
        check_dropout<T>(n, c, rate, sizeof(T), true);
      }
    }
  }
  for (const Index n : {0, 1, 777}) {
    check_fill<T>(n, false);
    check_fill<T>(n, true);
  }
}

// -- optimizers -------------------------------------------------------------

enum class Step : unsigned char { given, recorded, stopped };

template <class T>
struct Optimized {
  Index n, pieces, stride;
  std::size_t shift;
  OptimizerSettings settings;
  OptimizerKind kind;
  bool keeps;

  void check(Step step) const {
    auto param = draw.numbers<T>(n);
    auto grad = draw.numbers<T>(stride * pieces);
    auto m = draw.numbers<T>(n);
    auto v = draw.numbers<T>(n);
    for (T& x : v) x = std::fabs(x);
    const Copy<T> param_there(param, shift);
    const Copy<T> grad_there(grad);
    const Copy<T> m_there(m);
    const Copy<T> v_there(v);
    const auto told = [&](auto* p, auto* g, auto* first, auto* second, std::uint64_t number) {
      return OptimizerStep<T>{kind,     n,      p,      g,     {keeps ? first : nullptr, second},
                              settings, number, pieces, stride};
    };
    if (step != Step::stopped) {
      must(cpu::optimizer_step<T>(host, told(param.data(), grad.data(), m.data(), v.data(), 3)));
    }
    StepValues values{};
    values.adam = cpu::adam_rates<float>(settings, 3);
    values.sgd = cpu::sgd_rates<float>(settings);
    // What is given is then not read, but in double.
    auto other = told(param_there.get(), grad_there.get(), m_there.get(), v_there.get(), 3);
    if (step == Step::given) {
      must(kernels<T>().optimizer_step(*device, other));
    } else {
      if (sizeof(T) == sizeof(float)) other.settings.learning_rate = 99;
      const Recorded recorded(values, step == Step::stopped ? 12 : -1);
      must(kernels<T>().optimizer_step(*device, other));
    }
    const std::string name = std::string(optimizer_names[static_cast<int>(kind)]) + " step of " +
                             std::to_string(n) + ", pieces " + std::to_string(pieces);
    compare(name + ": param", param, param_there);
    compare(name + ": grad", grad, grad_there);
    compare(name + ": first slot", m, m_there);
    compare(name + ": second slot", v, v_there);
  }
};

template <class T>
void check_optimizers() {
  const OptimizerSettings settings{0.03, 0.02, 0.9, false, 0.85, 0.97, 1e-7};
  OptimizerSettings nesterov = settings;
  nesterov.nesterov = true;
  for (const Index n : {0, 1, 3, 4, 5, 63, 1028, 2051}) {
    for (const Index pieces : {1, 2, 7}) {
      for (const std::size_t shift : {std::size_t{0}, sizeof(T)}) {
        const Index stride = n + (n % 2 == 0 ? 0 : 1);
        for (const Step step : {Step::given, Step::recorded, Step::stopped}) {
          const auto check = [&](OptimizerKind kind, const OptimizerSettings& s, bool keeps) {
            Optimized<T>{n, pieces, stride, shift, s, kind, keeps}.check(step);
          };
          check(OptimizerKind::sgd, settings, false);
          check(OptimizerKind::sgd, settings, true);
          check(OptimizerKind::sgd, nesterov, true);
          check(OptimizerKind::adam, settings, true);
        }
      }
    }
  }
}

}  // namespace

int main(int count, char** words) {
  if (count != 2) return 2;
  void* const object = dlopen(words[1], RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    std::printf("%s\n", dlerror());
    return 2;
  }
  using Offered = const CudaLibrary* (*)();
  const auto offered = reinterpret_cast<Offered>(dlsym(object, "fastnn_cuda_library"));
  if (offered == nullptr) return 2;
  library = offered();
  device = library->make_context();
  if (library->layout != cuda_layout() || device == nullptr) return 2;
  check_gathers();
  check_all_labels();
  check_scans();
  check_shuffles();
  check_random<float>();
  check_random<double>();
  check_optimizers<float>();
  check_optimizers<double>();
  library->end_context(device);
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
