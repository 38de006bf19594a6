// Dense layers of groups, and those that encode the columns of a table: see cuda_twins.h.
//
// Both add in other orders than on the CPU, and agree but for roundings.
#include <limits>

#include "core/encoded_dense.h"
#include "cuda_twins_pairs.h"

namespace fastnn::FASTNN_TARGET {
extern const EncodedDense encoded_dense;
}

namespace twins {
namespace {

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
void check_all() {
  for (const Index n : {1, 3, 5, 300}) {
    for (const bool steps : {false, true}) {
      check_encoded_dense<T>(n, 37, true, {ActivationKind::relu}, steps);
      check_encoded_dense<T>(n, 8, true, {}, steps);
      check_encoded_dense<T>(n, 8, false, {ActivationKind::tanh}, steps);
    }
  }
  for (const Index n : {1, 6, 200}) {
    for (const Index c : {1, 5, 40}) check_grouped_dense<T>(n, 3, c, 4);
    check_grouped_dense<T>(n, 40, 2, 1);
  }
}

}  // namespace

void check_products() {
  check_all<float>();
  check_all<double>();
}

}  // namespace twins
