// Kernels that loop over a table of core, and those of updates and normalizations: see
// cuda_twins.h.
//
// Noises, categories, axes, constraints of signs and sums of two arrays agree to the bit. The
// others add in other orders or take roots and exponentials, and agree but for roundings.
#include "cuda_twins.h"

#include <iterator>
#include <limits>

#include "core/encoded_dense.h"

namespace fastnn::FASTNN_TARGET {
extern const EncodedDense encoded_dense;
}

namespace twins {
namespace {

// The same numbers on both sides.
template <class T>
class Pair {
 public:
  explicit Pair(const std::vector<T>& from) : here_(from), there_(from) {}
  T* at(bool on_device) { return on_device ? there_.get() : here_.data(); }
  void same(const std::string& what) const { compare(what, here_, there_); }
  // Up to so many roundings of numbers as large as `size`; not finite ones are the same.
  void close(const std::string& what, double size) const {
    const std::vector<T> got = there_.read();
    const double allowed = (sizeof(T) == 4 ? 1e-6 : 1e-14) * size;
    for (std::size_t i = 0; i < here_.size(); ++i) {
      const auto a = static_cast<double>(here_[i]);
      const auto b = static_cast<double>(got[i]);
      const bool alike = std::isfinite(a) ? std::fabs(a - b) <= allowed * (1 + std::fabs(a))
                                          : (a == b || (a != a && b != b));
      if (!alike) return fail(what + " at " + std::to_string(i));
    }
  }

 private:
  std::vector<T> here_;
  Copy<T> there_;
};

template <class T>
Pair<T> numbers(Index n) {
  return Pair<T>(draw.numbers<T>(n));
}

template <class T>
Pair<T> unwritten(Index n) {
  return Pair<T>(std::vector<T>(static_cast<std::size_t>(n), T(-7)));
}

// f(context, whether it is of the device) on both sides.
template <class F>
void on_both(const F& f) {
  must(f(host, false));
  must(f(*device, true));
}

template <class T>
std::string of(const char* name, Index n, Index c) {
  return std::string(name) + " " + std::to_string(n) + "x" + std::to_string(c) +
         (sizeof(T) == 4 ? ", float" : ", double");
}

#define FASTNN_TWIN(name) (there ? kernels<T>().name : cpu::name<T>)

// -- tables -------------------------------------------------------------------

template <class T>
void check_activations(Index n) {
  for (std::size_t kind = 0; kind < std::size(activation_names); ++kind) {
    const Activation activation{static_cast<ActivationKind>(kind), 0.75, 0.25, 0.5};
    const auto name = of<T>(activation_names[kind], n, 1);
    auto x = numbers<T>(n);
    auto dy = numbers<T>(n);
    auto y = unwritten<T>(n);
    auto dx = unwritten<T>(n);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(activation_forward)(context, {activation, n, x.at(there), y.at(there)});
    });
    y.close(name + ": y", 32);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(activation_backward)(
          context, {activation, n, dy.at(there), x.at(there), y.at(there), dx.at(there)});
    });
    dx.close(name + ": dx", 64);
  }
}

template <class T>
void check_noises(Index n, Index c) {
  for (std::size_t kind = 0; kind < std::size(noise_names); ++kind) {
    for (const bool backward : {false, true}) {
      auto x = numbers<T>(n * c);
      auto y = unwritten<T>(n * c);
      on_both([&](Context& context, bool there) {
        return FASTNN_TWIN(noise)(context, {static_cast<NoiseKind>(kind), backward, 11, 5, 3, n, c,
                                            0.25, x.at(there), y.at(there)});
      });
      y.same(of<T>(noise_names[kind], n, c));
    }
  }
}

// -- elements and columns -----------------------------------------------------

template <class T>
void check_elements(Index n) {
  auto x = numbers<T>(n);
  auto y = numbers<T>(n);
  on_both([&](Context& context, bool there) {
    return FASTNN_TWIN(affine)(context, {n, T(1.25), T(-0.3), x.at(there), x.at(there)});
  });
  x.same(of<T>("affine", n, 1));
  Pair<double> factor({0.75});
  for (const T keep : {T(0), T(0.6)}) {
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(weighted_sum)(
          context, {n, keep, T(0.4), factor.at(there), x.at(there), y.at(there)});
    });
    y.same(of<T>("weighted_sum", n, 1));
  }
  Pair<double> sums(std::vector<double>(max_groups, 0.0));
  on_both([&](Context& context, bool there) {
    return FASTNN_TWIN(penalty)(context, {n, 0.25, 0.5, x.at(there), sums.at(there)});
  });
  sums.close(of<T>("penalty", n, 1), sizeof(T) == 4 ? 1e8 : 1e2);
}

template <class T>
void check_order_of_axes(Index n) {
  // Rows of shape (2, 3, 4), whose axes come in the order (2, 0, 1).
  const Axes axes{{4, 2, 3, 1}, {1, 12, 4, 0}};
  for (const bool backward : {false, true}) {
    auto x = numbers<T>(n * 24);
    auto y = unwritten<T>(n * 24);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(permute_columns)(context,
                                          {n, 24, axes, backward, x.at(there), y.at(there)});
    });
    y.same(of<T>("permute_columns", n, 24));
  }
}

template <class T>
void check_categories(Index n, Index k, Index vocabulary) {
  std::vector<T> named;
  for (const Index row : draw.indices(n * k, vocabulary)) named.push_back(static_cast<T>(row));
  if (named.size() > 4) named[4] = T(0.5);  // names none
  for (const bool counts : {false, true}) {
    Pair<T> x(named);
    auto y = unwritten<T>(n * vocabulary);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(count_categories)(context,
                                           {n, k, vocabulary, counts, x.at(there), y.at(there)});
    });
    y.same(of<T>("count_categories", n, vocabulary));
  }
}

template <class T>
void check_encodings(Index n) {
  // Two columns of numbers, the second with two bins and a last output for gaps; three levels and
  // what is missing; two values.
  const std::vector<EncodedColumn> columns = {{ColumnKind::number, 0, 3, 0, 0, 0, 0, 0, 0},
                                              {ColumnKind::number, 1, 1, 1, 0, 2, 2, 0, 4},
                                              {ColumnKind::categories, 1, 0, 5, 3, 0, 0, 0, 0},
                                              {ColumnKind::signs, 0, 2, 9, 2, 0, 0, 0, 0}};
  std::vector<T> rows = draw.numbers<T>(n * 4);
  const std::vector<Index> levels = draw.indices(n * 4, 5);
  for (Index i = 0; i < n * 4; ++i) {
    const auto place = static_cast<std::size_t>(i);
    if (i % 2 == 0) rows[place] = static_cast<T>(levels[place] - 1);
    if (i % 7 == 3) rows[place] = std::numeric_limits<T>::quiet_NaN();
  }
  for (const T bound : {T(0), T(3)}) {
    Pair<T> x(rows);
    Pair<EncodedColumn> encodings(columns);
    auto fill = numbers<T>(2);
    auto center = numbers<T>(2);
    auto factor = numbers<T>(2);
    Pair<T> edges(std::vector<T>{T(-0.5), T(0.25), T(1)});
    auto y = unwritten<T>(n * 10);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(encode_columns)(
          context, {n, 4, 10, 4, 2, bound, x.at(there), encodings.at(there), fill.at(there),
                    center.at(there), factor.at(there), edges.at(there), y.at(there)});
    });
    y.close(of<T>("encode_columns", n, 10), 1);
  }
}

template <class T>
void check_constraints(Index rows, Index columns) {
  const Index n = rows * columns;
  auto x = numbers<T>(n);
  on_both([&](Context& context, bool there) {
    return FASTNN_TWIN(constrain)(context,
                                  {ConstraintKind::not_negative, 1, n, 0, 1, 0, 0, 1, x.at(there)});
  });
  x.same(of<T>("not_negative", rows, columns));
  for (const double rate : {1.0, 0.5}) {
    for (const int along : {0, 1, 2}) {  // columns, rows, all
      auto w = numbers<T>(n);
      const Constrain<T> whole[] = {
          {ConstraintKind::norm, columns, rows, 1, columns, 0.5, 1.5, rate, nullptr},
          {ConstraintKind::norm, rows, columns, columns, 1, 0.5, 1.5, rate, nullptr},
          {ConstraintKind::norm, 1, n, 0, 1, 0.5, 1.5, rate, nullptr}};
      on_both([&](Context& context, bool there) {
        Constrain<T> one = whole[along];
        one.x = w.at(there);
        return FASTNN_TWIN(constrain)(context, one);
      });
      w.close(of<T>("norm", rows, columns), 4);
    }
  }
}

void check_trust_ratios() {
  for (const double none : {1.0, 0.0}) {
    Pair<double> weights({none, 2.0 * none, 3.5 * none});
    Pair<double> moves({0.5, 0.25, 7.0});
    Pair<double> factor({-7.0});
    on_both([&](Context& context, bool there) {
      return (there ? library->table->trust_ratio : cpu::trust_ratio)(
          context, {3, weights.at(there), moves.at(there), factor.at(there)});
    });
    factor.close("trust_ratio", 1);
  }
}

// -- normalizations -----------------------------------------------------------

template <class T>
void check_scaled_rows(Index n, Index c) {
  for (const RowLength length : {RowLength::root_mean_square, RowLength::norm}) {
    for (const bool accumulates : {false, true}) {
      auto x = numbers<T>(n * c);
      auto dy = numbers<T>(n * c);
      auto gamma = numbers<T>(c);
      auto dgamma = numbers<T>(c);
      auto y = unwritten<T>(n * c);
      auto inverses = unwritten<T>(n);
      auto dx = unwritten<T>(n * c);
      const auto name = of<T>("scale_rows", n, c);
      on_both([&](Context& context, bool there) {
        return FASTNN_TWIN(scale_rows_forward)(
            context,
            {n, c, length, T(0.5), x.at(there), gamma.at(there), y.at(there), inverses.at(there)});
      });
      y.close(name + ": y", 16);
      inverses.close(name + ": inverses", 16);
      on_both([&](Context& context, bool there) {
        return FASTNN_TWIN(scale_rows_backward)(
            context, {n, c, length, T(0.5), dy.at(there), x.at(there), gamma.at(there),
                      inverses.at(there), dx.at(there), dgamma.at(there), accumulates});
      });
      dx.close(name + ": dx", 64 + static_cast<double>(c));
      dgamma.close(name + ": dgamma", 64 + static_cast<double>(n));
    }
  }
}

// A table and its encoding, for a dense layer that encodes it itself.
struct Encoded {
  Index numbers, width;
  std::vector<EncodedColumn> columns;
};

Encoded encoded_table(bool has_numbers) {
  if (!has_numbers) {  // three levels and what is missing, two values, five levels
    return {0,
            10,
            {{ColumnKind::categories, 1, 0, 0, 3, 0, 0, 0, 0},
             {ColumnKind::signs, 0, 2, 4, 2, 0, 0, 0, 0},
             {ColumnKind::categories, 0, 4, 5, 5, 0, 0, 0, 0}}};
  }
  // Before these three numbers: without pieces; with two, and an output for gaps; with three, of
  // which one has no width.
  return {3,
          19,
          {{ColumnKind::number, 0, 3, 0, 0, 0, 0, 0, 0},
           {ColumnKind::number, 1, 1, 1, 0, 3, 2, 0, 8},
           {ColumnKind::number, 0, 5, 2, 0, 5, 3, 3, 0},
           {ColumnKind::categories, 1, 0, 9, 3, 0, 0, 0, 0},
           {ColumnKind::signs, 0, 2, 13, 2, 0, 0, 0, 0},
           {ColumnKind::categories, 0, 4, 14, 5, 0, 0, 0, 0}}};
}

template <class T>
void check_encoded_dense(Index n, Index o, bool has_numbers, Activation activation, bool steps) {
  const Encoded table = encoded_table(has_numbers);
  std::vector<T> rows = draw.numbers<T>(n * 6);
  const std::vector<Index> levels = draw.indices(n * 6, 7);
  for (Index i = 0; i < n * 6; ++i) {
    const auto place = static_cast<std::size_t>(i);
    if (i % 2 == 0) rows[place] = static_cast<T>(levels[place] - 1);
    if (i % 11 == 5) rows[place] = std::numeric_limits<T>::quiet_NaN();
  }
  Pair<T> x(rows);
  Pair<EncodedColumn> encodings(table.columns);
  auto fill = numbers<T>(3);
  auto center = numbers<T>(3);
  auto factor = numbers<T>(3);
  Pair<T> edges(std::vector<T>{T(-0.5), T(0.25), T(1), T(-1), T(0), T(0), T(0.5)});
  auto w = numbers<T>(table.width * o);
  auto b = numbers<T>(o);
  auto scaled = unwritten<T>(n * table.numbers);
  auto y = unwritten<T>(n * o);
  auto z = unwritten<T>(n * o);
  auto dy = numbers<T>(n * o);
  auto dz = unwritten<T>(n * o);
  auto db = numbers<T>(o);
  const auto name = of<T>("encoded_dense", n, o) + (has_numbers ? "" : ", no numbers");
  const bool is_linear = activation.is(ActivationKind::linear);
  const auto columns = [&](bool there) {
    return EncodeColumns<T>{n,
                            6,
                            table.width,
                            static_cast<Index>(table.columns.size()),
                            table.numbers,
                            T(3),
                            x.at(there),
                            encodings.at(there),
                            fill.at(there),
                            center.at(there),
                            factor.at(there),
                            edges.at(there),
                            scaled.at(there)};
  };
  const auto of_side = [](bool there) -> const EncodedDenseKernels<T>& {
    return encoded_dense_kernels<T>(there ? *library->encoded_dense : cpu::encoded_dense);
  };
  on_both([&](Context& context, bool there) {
    return of_side(there).forward(
        context, {columns(there),
                  {n, table.width, o, nullptr, w.at(there), is_linear ? nullptr : b.at(there),
                   activation, is_linear ? nullptr : z.at(there), y.at(there)}});
  });
  y.close(name + ": y", 32);
  z.close(name + ": z", 32);
  for (const bool accumulates : {false, true}) {
    auto dw = numbers<T>(table.width * o);
    on_both([&](Context& context, bool there) {
      const OptimizerStep<T> step{.kind = OptimizerKind::sgd,
                                  .n = table.width * o,
                                  .param = w.at(there),
                                  .grad = nullptr,
                                  .slots = {},
                                  .settings = {.learning_rate = 0.5},
                                  .step = 1};
      return of_side(there).backward(context, {columns(there),
                                               {.n = n,
                                                .i = table.width,
                                                .o = o,
                                                .dy = dy.at(there),
                                                .x = nullptr,
                                                .w = w.at(there),
                                                .y = y.at(there),
                                                .z = z.at(there),
                                                .activation = activation,
                                                .dz = dz.at(there),
                                                .dx = nullptr,
                                                .dw = steps ? nullptr : dw.at(there),
                                                .db = db.at(there),
                                                .accumulates = accumulates && !steps,
                                                .update = steps ? &step : nullptr}});
    });
    dz.close(name + ": dz", 32);
    db.close(name + ": db", 32 + static_cast<double>(n));
    dw.close(name + ": dw", 32 + static_cast<double>(n));
    w.close(name + ": w", 32 + static_cast<double>(n));
  }
}

template <class T>
void check_grouped_dense(Index n, Index groups, Index i, Index o) {
  const auto name = of<T>("grouped_dense", n, groups * i);
  for (const bool accumulates : {false, true}) {
    auto x = numbers<T>(n * groups * i);
    auto w = numbers<T>(groups * i * o);
    auto b = numbers<T>(groups * o);
    auto dy = numbers<T>(n * groups * o);
    auto dw = numbers<T>(groups * i * o);
    auto db = numbers<T>(groups * o);
    auto y = unwritten<T>(n * groups * o);
    auto plain = unwritten<T>(n * groups * o);
    auto dx = unwritten<T>(n * groups * i);
    on_both([&](Context& context, bool there) {
      must(FASTNN_TWIN(grouped_dense_forward)(
          context, {n, groups, i, o, x.at(there), w.at(there), nullptr, plain.at(there)}));
      return FASTNN_TWIN(grouped_dense_forward)(
          context, {n, groups, i, o, x.at(there), w.at(there), b.at(there), y.at(there)});
    });
    plain.close(name + ": y without bias", 16 + static_cast<double>(i));
    y.close(name + ": y", 16 + static_cast<double>(i));
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(grouped_dense_backward)(
          context, {n, groups, i, o, dy.at(there), x.at(there), w.at(there), dx.at(there),
                    dw.at(there), db.at(there), accumulates});
    });
    dx.close(name + ": dx", 16 + static_cast<double>(o));
    dw.close(name + ": dw", 16 + static_cast<double>(n));
    db.close(name + ": db", 16 + static_cast<double>(n));
    // What is not asked for stays as it was.
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(grouped_dense_backward)(
          context, {n, groups, i, o, dy.at(there), x.at(there), w.at(there), nullptr, nullptr,
                    db.at(there), accumulates});
    });
    dx.close(name + ": dx, not asked for", 16 + static_cast<double>(o));
    dw.close(name + ": dw, not asked for", 16 + static_cast<double>(n));
    db.close(name + ": db alone", 32 + 2 * static_cast<double>(n));
  }
}

template <class T>
void check_normalized_columns(Index n, Index c) {
  for (const ColumnScaling scaling :
       {ColumnScaling::with_epsilon, ColumnScaling::at_least_epsilon, ColumnScaling::inverted}) {
    auto x = numbers<T>(n * c);
    auto dy = numbers<T>(n * c);
    auto mean = numbers<T>(c);
    auto gamma = numbers<T>(c);
    auto beta = numbers<T>(c);
    std::vector<T> spread = draw.numbers<T>(c);
    for (T& v : spread) v = v * v;
    Pair<T> variance(spread);
    auto y = unwritten<T>(n * c);
    auto dx = unwritten<T>(n * c);
    auto dgamma = numbers<T>(c);
    auto dbeta = numbers<T>(c);
    const bool sums = scaling != ColumnScaling::inverted;
    const auto name = of<T>("normalize_columns", n, c);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(normalize_columns_forward)(
          context, {n, c, scaling, T(0.5), x.at(there), mean.at(there), variance.at(there),
                    gamma.at(there), beta.at(there), y.at(there)});
    });
    y.close(name + ": y", 64);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(normalize_columns_backward)(
          context, {n, c, scaling, T(0.5), dy.at(there), x.at(there), mean.at(there),
                    variance.at(there), gamma.at(there), dx.at(there),
                    sums ? dgamma.at(there) : nullptr, sums ? dbeta.at(there) : nullptr, true});
    });
    dx.close(name + ": dx", 64);
    dgamma.close(name + ": dgamma", 64 + 16 * static_cast<double>(n));
    dbeta.close(name + ": dbeta", 64 + 16 * static_cast<double>(n));
  }
}

template <class T>
void check_batch_norm(Index n, Index c) {
  for (const bool accumulates : {false, true}) {
    auto x = numbers<T>(n * c);
    auto dy = numbers<T>(n * c);
    auto gamma = numbers<T>(c);
    auto beta = numbers<T>(c);
    auto moving_mean = numbers<T>(c);
    auto moving_variance = numbers<T>(c);
    auto statistics = unwritten<T>(3 * c);
    auto y = unwritten<T>(n * c);
    auto dx = unwritten<T>(n * c);
    auto dgamma = numbers<T>(c);
    auto dbeta = numbers<T>(c);
    const auto name = of<T>("batch_norm", n, c);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(batch_norm_forward)(
          context, {n, c, T(0.1), T(0.9), x.at(there), gamma.at(there), beta.at(there), y.at(there),
                    statistics.at(there), moving_mean.at(there), moving_variance.at(there)});
    });
    y.close(name + ": y", 256);
    moving_mean.close(name + ": moving_mean", 16);
    moving_variance.close(name + ": moving_variance", 64);
    on_both([&](Context& context, bool there) {
      return FASTNN_TWIN(batch_norm_backward)(
          context, {n, c, dy.at(there), x.at(there), gamma.at(there), statistics.at(there),
                    dx.at(there), dgamma.at(there), dbeta.at(there), accumulates});
    });
    dx.close(name + ": dx", 1024);
    dgamma.close(name + ": dgamma", 64 + 16 * static_cast<double>(n));
    dbeta.close(name + ": dbeta", 64 + 16 * static_cast<double>(n));
  }
}

#undef FASTNN_TWIN

template <class T>
void check_all() {
  for (const Index n : {0, 1, 7, 129, 2000}) {
    check_activations<T>(n);
    check_elements<T>(n);
  }
  for (const Index n : {0, 1, 5, 300}) {
    check_order_of_axes<T>(n);
    check_categories<T>(n, 3, 7);
    check_encodings<T>(n);
    for (const Index c : {1, 9, 33}) check_noises<T>(n, c);
  }
  for (const Index n : {1, 3, 5, 300}) {
    for (const bool steps : {false, true}) {
      check_encoded_dense<T>(n, 37, true, {ActivationKind::relu}, steps);
      check_encoded_dense<T>(n, 8, true, {}, steps);
      check_encoded_dense<T>(n, 8, false, {ActivationKind::tanh}, steps);
    }
  }
  for (const Index n : {1, 6, 200}) {
    for (const Index c : {1, 5, 40}) {
      check_constraints<T>(n, c);
      check_scaled_rows<T>(n, c);
      check_normalized_columns<T>(n, c);
      check_batch_norm<T>(n, c);
      check_grouped_dense<T>(n, 3, c, 4);
    }
    check_grouped_dense<T>(n, 40, 2, 1);
  }
}

}  // namespace

void check_tables() {
  check_all<float>();
  check_all<double>();
  check_trust_ratios();
}

}  // namespace twins
