// Kernels that loop over a table of core, and those of updates and normalizations: see
// cuda_twins.h.
//
// Noises, categories, axes, constraints of signs and sums of two arrays agree to the bit. The
// others add in other orders or take roots and exponentials, and agree but for roundings.
#include <iterator>
#include <limits>

#include "cuda_twins_pairs.h"

namespace twins {
namespace {

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
  for (const Index n : {1, 6, 200}) {
    for (const Index c : {1, 5, 40}) {
      check_constraints<T>(n, c);
      check_scaled_rows<T>(n, c);
      check_normalized_columns<T>(n, c);
      check_batch_norm<T>(n, c);
    }
  }
}

}  // namespace

void check_tables() {
  check_all<float>();
  check_all<double>();
  check_trust_ratios();
}

}  // namespace twins
