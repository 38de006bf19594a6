// Random numbers and optimizers: see cuda_twins.h.
#include "cuda_twins.h"

namespace twins {
namespace {

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

void check_numbers() {
  check_shuffles();
  check_random<float>();
  check_random<double>();
  check_optimizers<float>();
  check_optimizers<double>();
}

}  // namespace twins
