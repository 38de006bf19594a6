// Random numbers and optimizers: see cuda_twins.h.
#include "cuda_twins.h"

#include <iterator>
#include <memory>
#include <span>

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
  OptimizerKind kind;
  OptimizerSettings settings;
  bool shaped;  // gradients are, and an average is kept

  void check(Step step) const {
    auto param = draw.numbers<T>(n);
    auto grad = draw.numbers<T>(stride * pieces);
    std::vector<std::vector<T>> slots;
    for (int slot = 0; slot < max_slots; ++slot) {
      slots.push_back(draw.numbers<T>(n));
      for (T& x : slots.back()) x = std::fabs(x);
    }
    std::vector<double> factors{0.75, 0.5};
    const Copy<T> param_there(param, shift);
    const Copy<T> grad_there(grad);
    const Copy<double> factors_there(factors);
    std::vector<std::unique_ptr<Copy<T>>> slots_there;
    for (auto& slot : slots) slots_there.push_back(std::make_unique<Copy<T>>(slot));
    const auto told = [&](auto* p, auto* g, const double* scales, const auto& slot_at) {
      OptimizerStep<T> a{.kind = kind,
                         .n = n,
                         .param = p,
                         .grad = g,
                         .slots = {},
                         .settings = settings,
                         .step = 3,
                         .pieces = pieces,
                         .piece_stride = stride,
                         .group = 2};
      for (int slot = 0; slot < rule_slots; ++slot) {
        const bool kept = (cpu::kept_slots(kind, settings) >> unsigned(slot) & 1U) != 0;
        if (kept) a.slots[slot] = slot_at(slot);
      }
      if (shaped) {
        a.slots[average_slot] = slot_at(average_slot);
        a.extras = {scales, scales + 1, scales + 1, T(0.01), T(0.02), T(0.6), T(0.9)};
      }
      return a;
    };
    if (step != Step::stopped) {
      must(cpu::optimizer_step<T>(host, told(param.data(), grad.data(), factors.data(), [&](int i) {
                                    return slots[static_cast<std::size_t>(i)].data();
                                  })));
    }
    StepValues values{};
    values.group[2] = {cpu::rates_of<float>(kind, settings, 3), 0.9F};
    // The rates that are given are then not read, but in double.
    auto other = told(param_there.get(), grad_there.get(), factors_there.get(),
                      [&](int i) { return slots_there[static_cast<std::size_t>(i)]->get(); });
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
    for (std::size_t i = 0; i < slots.size(); ++i) {
      compare(name + ": slot " + std::to_string(i), slots[i], *slots_there[i]);
    }
  }
};

// f(kind, settings) for every row, with its options as they are at first and, of flags and of
// numbers that are 0, as they may be.
template <class F>
void for_optimizers(const F& f) {
  for (std::size_t k = 0; k < std::size(optimizer_names); ++k) {
    const auto kind = static_cast<OptimizerKind>(k);
    cpu::with_optimizer(kind, [&](auto rule) {
      OptimizerSettings settings{.learning_rate = 0.03, .weight_decay = 0.02};
      const std::span<const Option> options = decltype(rule)::options;
      for (std::size_t i = 0; i < options.size(); ++i) settings.own[i] = options[i].initial;
      f(kind, settings);
      for (std::size_t i = 0; i < options.size(); ++i) {
        if (options[i].initial != 0) continue;
        settings.own[i] = options[i].is_flag ? 1 : 0.9;
        f(kind, settings);
      }
    });
  }
}

template <class T>
void check_optimizers() {
  for (const Index n : {0, 1, 3, 4, 5, 63, 1028, 2051}) {
    for (const Index pieces : {1, 2, 7}) {
      for (const std::size_t shift : {std::size_t{0}, sizeof(T)}) {
        const Index stride = n + (n % 2 == 0 ? 0 : 1);
        for (const Step step : {Step::given, Step::recorded, Step::stopped}) {
          for_optimizers([&](OptimizerKind kind, const OptimizerSettings& settings) {
            const bool shaped = n == 5 || n == 2051;
            Optimized<T>{n, pieces, stride, shift, kind, settings, shaped}.check(step);
          });
        }
      }
    }
  }
}

template <class T>
void check_norms() {
  for (const Index n : {1, 5, 300, 9000}) {
    auto grad = draw.numbers<T>(n);
    auto param = draw.numbers<T>(n);
    std::vector<double> sums(max_groups);
    std::vector<double> factor(1);
    const Copy<T> grad_there(grad);
    const Copy<T> param_there(param);
    const Copy<double> sums_there(sums);
    const Copy<double> factor_there(factor);
    const UpdateExtras<T> extras{.l1 = T(0.1), .l2 = T(0.2)};
    must(cpu::sum_of_squares<T>(host, {n, grad.data(), param.data(), extras, sums.data()}));
    must(kernels<T>().sum_of_squares(
        *device, {n, grad_there.get(), param_there.get(), extras, sums_there.get()}));
    must(cpu::norm_factor(host, {max_groups, sums.data(), 0.5, factor.data()}));
    must(library->table->norm_factor(*device,
                                     {max_groups, sums_there.get(), 0.5, factor_there.get()}));
    // Sums of squares in double, in two orders.
    if (!(std::fabs(factor_there.read()[0] / factor[0] - 1) <= 1e-12)) {
      fail("norm of " + std::to_string(n));
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
  check_norms<float>();
  check_norms<double>();
}

}  // namespace twins
