// Single ops of layers that normalize, look up or add noise, on arrays: shapes are checked here,
// once, and results allocated.
#include <pybind11/stl.h>

#include <algorithm>
#include <string>
#include <vector>

#include "bindings/bindings.h"
#include "bindings/op_arguments.h"
#include "bindings/place.h"
#include "core/embedding.h"
#include "core/layer_norm.h"
#include "core/names.h"
#include "core/noise.h"

namespace fastnn::bindings {

namespace {

struct Rows2d {
  Index n, c;
};

// Rows are all that lies on the last axis.
Rows2d rows_of(const Array& x) {
  check(x.ndim() >= 1, "x: expected at least 1 axis, got a scalar");
  const Index c = x.shape(x.ndim() - 1);
  check(c >= 1, "x: expected at least 1 number on the last axis, got shape ", shape_of(x));
  return {x.size() / c, c};
}

// What the backward pass needs of a forward one: given by that, or made again.
template <class T, class Make>
const T* statistics_of(CallSide& place, const Optional& given, Index count, Index elements,
                       const Make& make) {
  if (given) {
    check(given->size() == count, "statistics: expected ", count, " numbers, got shape ",
          shape_of(*given));
    return place.in<T>(given, "statistics");
  }
  T* const y = place.room<T>(elements + count);
  make(y, y + elements);
  return y + elements;
}

// y; with `keeps` y and what the backward pass needs.
py::object layer_normalization(const Array& x, const Optional& gamma, const Optional& beta,
                               double epsilon, bool keeps) {
  const auto [n, c] = rows_of(x);
  if (gamma) check_shape(*gamma, "gamma", {c});
  if (beta) check_shape(*beta, "beta", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    Result<T> statistics = place.out<T>({keeps ? n : 0, 2});
    place.call<T>(
        &Kernels<T>::layer_norm_forward,
        LayerNormForward<T>{n, c, portable::layer_norm_epsilon<T>(epsilon), place.in<T>(x, "x"),
                            place.in<T>(gamma, "gamma"), place.in<T>(beta, "beta"), y.data,
                            keeps ? statistics.data : nullptr});
    if (!keeps) return std::move(y.array);
    return py::make_tuple(y.array, statistics.array);
  });
}

py::tuple layer_normalization_backward(const Array& dy, const Array& x, const Optional& gamma,
                                       double epsilon, const Optional& kept) {
  const auto [n, c] = rows_of(x);
  check_like(dy, "dy", x, "x");
  if (gamma) check_shape(*gamma, "gamma", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::tuple {
    CallSide place(x);
    const T* const given = place.in<T>(x, "x");
    const T* const statistics =
        statistics_of<T>(place, kept, 2 * n, n * c, [&, n = n, c = c](T* y, T* made) {
          place.call<T>(&Kernels<T>::layer_norm_forward,
                        LayerNormForward<T>{n, c, portable::layer_norm_epsilon<T>(epsilon), given,
                                            nullptr, nullptr, y, made});
        });
    Result<T> dx = place.out_like<T>(x);
    Result<T> dgamma = place.out<T>({c});
    Result<T> dbeta = place.out<T>({c});
    place.call<T>(
        &Kernels<T>::layer_norm_backward,
        LayerNormBackward<T>{n, c, place.in<T>(dy, "dy"), given, place.in<T>(gamma, "gamma"),
                             statistics, dx.data, dgamma.data, dbeta.data, false});
    return py::make_tuple(dx.array, dgamma.array, dbeta.array);
  });
}

// -- rows over their length -------------------------------------------------

RowLength length_named(const std::string& name) {
  if (name == "norm") return RowLength::norm;
  check(name == "root_mean_square", "length: expected 'norm' or 'root_mean_square', got '", name,
        "'");
  return RowLength::root_mean_square;
}

py::object scale_rows(const Array& x, const Optional& gamma, const std::string& length,
                      double epsilon, bool keeps) {
  const auto [n, c] = rows_of(x);
  if (gamma) check_shape(*gamma, "gamma", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    Result<T> inverses = place.out<T>({keeps ? n : 0});
    place.call<T>(
        &Kernels<T>::scale_rows_forward,
        ScaleRowsForward<T>{n, c, length_named(length), portable::layer_norm_epsilon<T>(epsilon),
                            place.in<T>(x, "x"), place.in<T>(gamma, "gamma"), y.data,
                            keeps ? inverses.data : nullptr});
    if (!keeps) return std::move(y.array);
    return py::make_tuple(y.array, inverses.array);
  });
}

// dx, and dgamma.
py::tuple scale_rows_backward(const Array& dy, const Array& x, const Optional& gamma,
                              const std::string& length, double epsilon, const Optional& kept) {
  const auto [n, c] = rows_of(x);
  check_like(dy, "dy", x, "x");
  if (gamma) check_shape(*gamma, "gamma", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::tuple {
    CallSide place(x);
    const RowLength kind = length_named(length);
    const T tiny = portable::layer_norm_epsilon<T>(epsilon);
    const T* const given = place.in<T>(x, "x");
    const T* const inverses =
        statistics_of<T>(place, kept, n, n * c, [&, n = n, c = c](T* y, T* made) {
          place.call<T>(&Kernels<T>::scale_rows_forward,
                        ScaleRowsForward<T>{n, c, kind, tiny, given, nullptr, y, made});
        });
    Result<T> dx = place.out_like<T>(x);
    Result<T> dgamma = place.out<T>({c});
    place.call<T>(
        &Kernels<T>::scale_rows_backward,
        ScaleRowsBackward<T>{n, c, kind, tiny, place.in<T>(dy, "dy"), given,
                             place.in<T>(gamma, "gamma"), inverses, dx.data, dgamma.data, false});
    return py::make_tuple(dx.array, dgamma.array);
  });
}

// -- noise ------------------------------------------------------------------

// x with the noise of a kind; `backward`: dy times its slope, with dy as x. Dropout is its own
// slope. `first_row`: the number of the first row, which random numbers count.
py::object disturbed(const Array& x, const std::string& kind, double amount, std::uint64_t key,
                     bool backward, Index first_row) {
  const auto [n, c] = rows_of(x);
  check(first_row >= 0, "first_row: expected at least 0, got ", first_row);
  return with_type(x, [&, n = n, c = c]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    const T* const given = place.in<T>(x, "x");
    if (kind == "dropout") {
      place.call<T>(&Kernels<T>::dropout,
                    Dropout<T>{key, 0, first_row, n, c, amount, given, y.data});
    } else {
      place.call<T>(&Kernels<T>::noise,
                    Noise<T>{find_name<NoiseKind>("kind", noise_names, kind), backward, key, 0,
                             first_row, n, c, amount, given, y.data});
    }
    return std::move(y.array);
  });
}

// -- columns normalized ---------------------------------------------------

Rows2d columns_of(const Array& x) {
  check_axes(x, "x", 2);
  check(x.shape(1) >= 1, "x: expected at least 1 column, got shape ", shape_of(x));
  return {x.shape(0), x.shape(1)};
}

// y, and the mean and variance of each column over the rows; with `keeps` also what the backward
// pass needs.
py::tuple batch_normalization(const Array& x, const Optional& gamma, const Optional& beta,
                              double epsilon, bool keeps) {
  const auto [n, c] = columns_of(x);
  check(n >= 1, "x: expected at least 1 row, got shape ", shape_of(x));
  if (gamma) check_shape(*gamma, "gamma", {c});
  if (beta) check_shape(*beta, "beta", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::tuple {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    Result<T> mean = place.out<T>({c});
    Result<T> variance = place.out<T>({c});
    Result<T> statistics = place.out<T>({keeps ? 3 : 0, c});
    // With a momentum of 0 the moving statistics become those of the batch.
    const std::vector<T> zeros(static_cast<std::size_t>(c));
    const T* const none = place.in(zeros.data(), c);
    place.call<T>(&Kernels<T>::affine, Affine<T>{c, T(1), T(0), none, mean.data});
    place.call<T>(&Kernels<T>::affine, Affine<T>{c, T(1), T(0), none, variance.data});
    place.call<T>(&Kernels<T>::batch_norm_forward,
                  BatchNormForward<T>{n, c, portable::layer_norm_epsilon<T>(epsilon), T(0),
                                      place.in<T>(x, "x"), place.in<T>(gamma, "gamma"),
                                      place.in<T>(beta, "beta"), y.data,
                                      keeps ? statistics.data : nullptr, mean.data, variance.data});
    if (!keeps) return py::make_tuple(y.array, mean.array, variance.array);
    return py::make_tuple(y.array, mean.array, variance.array, statistics.array);
  });
}

py::tuple batch_normalization_backward(const Array& dy, const Array& x, const Optional& gamma,
                                       double epsilon, const Optional& kept) {
  const auto [n, c] = columns_of(x);
  check(n >= 1, "x: expected at least 1 row, got shape ", shape_of(x));
  check_like(dy, "dy", x, "x");
  if (gamma) check_shape(*gamma, "gamma", {c});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::tuple {
    CallSide place(x);
    const T* const given = place.in<T>(x, "x");
    const T* const statistics =
        statistics_of<T>(place, kept, 3 * c, n * c, [&, n = n, c = c](T* y, T* made) {
          place.call<T>(&Kernels<T>::batch_norm_forward,
                        BatchNormForward<T>{n, c, portable::layer_norm_epsilon<T>(epsilon), T(0),
                                            given, nullptr, nullptr, y, made, nullptr, nullptr});
        });
    Result<T> dx = place.out_like<T>(x);
    Result<T> dgamma = place.out<T>({c});
    Result<T> dbeta = place.out<T>({c});
    place.call<T>(
        &Kernels<T>::batch_norm_backward,
        BatchNormBackward<T>{n, c, place.in<T>(dy, "dy"), given, place.in<T>(gamma, "gamma"),
                             statistics, dx.data, dgamma.data, dbeta.data, false});
    return py::make_tuple(dx.array, dgamma.array, dbeta.array);
  });
}

// -- groups of columns ------------------------------------------------------

// Rows whose parts are normalized and scaled in turn while the second-level cache holds them. The
// sums of gradients are added block by block, so threads do not decide how long one is.
Index block_of(const CallSide& place, Index n, Index c) {
  constexpr Index elements = 1 << 16;
  return place.is_away() ? std::max<Index>(n, 1) : std::max<Index>(elements / c, 1);
}

Rows2d check_groups(const Array& x, Index groups, const Optional& gamma, const Optional& beta) {
  const auto [n, c] = columns_of(x);
  check(groups >= 1 && c % groups == 0, "groups: expected a divisor of ", c, " columns, got ",
        groups);
  if (gamma) check_shape(*gamma, "gamma", {c});
  if (beta) check_shape(*beta, "beta", {c});
  return {n, c};
}

// The parts of rows, each normalized for itself, without gamma and beta.
template <class T>
LayerNormForward<T> parts_of(Index rows, Index c, Index groups, double epsilon, const T* x, T* y,
                             T* statistics) {
  return {
      rows * groups, c / groups, portable::layer_norm_epsilon<T>(epsilon), x, nullptr, nullptr, y,
      statistics};
}

// y; with `keeps` y and what the backward pass needs.
py::object group_normalization(const Array& x, Index groups, const Optional& gamma,
                               const Optional& beta, double epsilon, bool keeps) {
  const auto [n, c] = check_groups(x, groups, gamma, beta);
  return with_type(x, [&, n = n, c = c]<class T>() -> py::object {
    CallSide place(x);
    Result<T> y = place.out_like<T>(x);
    Result<T> statistics = place.out<T>({keeps ? n * groups : 0, 2});
    const T* const given = place.in<T>(x, "x");
    const T* const scale = place.in<T>(gamma, "gamma");
    const T* const shift = place.in<T>(beta, "beta");
    const Index block = block_of(place, n, c);
    place.run([&](const Machine& machine) {
      const Kernels<T>& table = kernels<T>(*machine.table);
      for (Index r = 0; r < n; r += block) {
        const Index rows = std::min(block, n - r);
        T* const to = y.data + r * c;
        T* const kept = keeps ? statistics.data + 2 * r * groups : nullptr;
        machine.call(table.layer_norm_forward,
                     parts_of<T>(rows, c, groups, epsilon, given + r * c, to, kept));
        if (scale == nullptr && shift == nullptr) continue;
        machine.call(table.normalize_columns_forward,
                     NormalizeColumnsForward<T>{rows, c, ColumnScaling::with_epsilon, T(0), to,
                                                nullptr, nullptr, scale, shift, to});
      }
    });
    if (!keeps) return std::move(y.array);
    return py::make_tuple(y.array, statistics.array);
  });
}

// dx, dgamma and dbeta. The normalized parts that dgamma needs are made again, block by block.
py::tuple group_normalization_backward(const Array& dy, const Array& x, Index groups,
                                       const Optional& gamma, double epsilon, const Array& kept) {
  const auto [n, c] = check_groups(x, groups, gamma, std::nullopt);
  check_like(dy, "dy", x, "x");
  check_shape(kept, "kept", {n * groups, 2});
  return with_type(x, [&, n = n, c = c]<class T>() -> py::tuple {
    CallSide place(x);
    const Index block = block_of(place, n, c);
    const T* const given = place.in<T>(x, "x");
    const T* const slope = place.in<T>(dy, "dy");
    const T* const scale = place.in<T>(gamma, "gamma");
    const T* const statistics = place.in<T>(kept, "kept");
    Result<T> dx = place.out_like<T>(x);
    Result<T> dgamma = place.out<T>({c});
    Result<T> dbeta = place.out<T>({c});
    T* const xhat = place.room<T>(block * c);
    place.run([&](const Machine& machine) {
      const Kernels<T>& table = kernels<T>(*machine.table);
      Index r = 0;
      do {  // without rows the sums are zeros
        const Index rows = std::min(block, n - r);
        const T* const from = given + r * c;
        T* const to = dx.data + r * c;
        machine.call(table.layer_norm_forward,
                     parts_of<T>(rows, c, groups, epsilon, from, xhat, nullptr));
        machine.call(table.normalize_columns_backward,
                     NormalizeColumnsBackward<T>{rows, c, ColumnScaling::with_epsilon, T(0),
                                                 slope + r * c, xhat, nullptr, nullptr, scale, to,
                                                 dgamma.data, dbeta.data, r > 0});
        machine.call(
            table.layer_norm_backward,
            LayerNormBackward<T>{rows * groups, c / groups, to, from, nullptr,
                                 statistics + 2 * r * groups, to, nullptr, nullptr, false});
        r += rows;
      } while (r < n);
    });
    return py::make_tuple(dx.array, dgamma.array, dbeta.array);
  });
}

// -- rows of a table --------------------------------------------------------

// x (n, k) or (n,): the numbers of rows, on the host, wherever the table lies.
Rows2d numbers_of(const py::array& x) {
  check(x.ndim() == 1 || x.ndim() == 2, "x: expected shape (n, k) or (n,), got ", shape_of(x));
  const Index k = x.ndim() == 2 ? x.shape(1) : 1;
  check(k >= 1, "x: expected at least 1 number in a row, got shape ", shape_of(x));
  return {x.shape(0), k};
}

std::string text_of(double x) {
  constexpr double exact = 0x1p53;
  if (x >= -exact && x <= exact && static_cast<double>(static_cast<Index>(x)) == x) {
    return std::to_string(static_cast<Index>(x));
  }
  return message(x);
}

// The numbers of rows, checked before they are converted. In float32 some whole numbers from 2^24
// on would name others.
template <class T>
std::vector<T> rows_named(const py::array& x, Index vocabulary) {
  constexpr Index most = Index{1} << 24;
  check(sizeof(T) == 8 || vocabulary <= most, "vocabulary: expected at most ", most,
        " rows in float32, got ", vocabulary);
  const double* const given = data_of<double>(x, "x");
  const Index count = x.size();
  const Index k = x.ndim() == 2 ? x.shape(1) : 1;
  const Unlocked unlocked;
  std::vector<T> rows(static_cast<std::size_t>(count) + 1);  // not null where there are none
  for (Index i = 0; i < count; ++i) {
    if (portable::named_row(given[i], vocabulary) < 0) {
      const std::string column = x.ndim() == 2 ? ", column " + std::to_string(i % k) : "";
      invalid("x: expected whole numbers in [0, ", vocabulary, "), got ", text_of(given[i]),
              " at row ", i / k, column);
    }
    rows[static_cast<std::size_t>(i)] = static_cast<T>(given[i]);
  }
  return rows;
}

py::object embedding(const py::array& x, const Array& table) {
  const auto [n, k] = numbers_of(x);
  check_axes(table, "table", 2);
  const Index vocabulary = table.shape(0);
  const Index d = table.shape(1);
  check(vocabulary >= 1 && d >= 1, "table: expected at least 1 row and 1 column, got shape ",
        shape_of(table));
  return with_type(table, [&, n = n, k = k]<class T>() -> py::object {
    CallSide place(table);
    const std::vector<T> rows = rows_named<T>(x, vocabulary);
    Result<T> y = place.out<T>({n, k * d});
    place.call<T>(&Kernels<T>::embedding_forward,
                  EmbeddingForward<T>{n, k, vocabulary, d, place.in(rows.data(), n * k),
                                      place.in<T>(table, "table"), y.data});
    return std::move(y.array);
  });
}

py::object embedding_backward(const Array& dy, const py::array& x, Index vocabulary) {
  const auto [n, k] = numbers_of(x);
  check_axes(dy, "dy", 2);
  const Index d = dy.shape(1) / k;
  check(dy.shape(0) == n && d >= 1 && d * k == dy.shape(1), "dy: expected shape (", n, ", ", k,
        " * d) to match x ", shape_of(x), ", got ", shape_of(dy));
  check(vocabulary >= 1, "vocabulary: expected at least 1 row, got ", vocabulary);
  return with_type(dy, [&, n = n, k = k]<class T>() -> py::object {
    CallSide place(dy);
    const std::vector<T> rows = rows_named<T>(x, vocabulary);
    Result<T> dtable = place.out<T>({vocabulary, d});
    place.call<T>(&Kernels<T>::embedding_backward,
                  EmbeddingBackward<T>{n, k, vocabulary, d, place.in<T>(dy, "dy"),
                                       place.in(rows.data(), n * k), dtable.data, false});
    return std::move(dtable.array);
  });
}

}  // namespace

void register_layer_ops(py::module_& module) {
  using namespace py::literals;
  module.def("layer_normalization", layer_normalization, "x"_a, "gamma"_a, "beta"_a, "epsilon"_a,
             "keeps"_a = false);
  module.def("layer_normalization_backward", layer_normalization_backward, "dy"_a, "x"_a, "gamma"_a,
             "epsilon"_a, "kept"_a = py::none());
  module.def("disturbed", disturbed, "x"_a, "kind"_a, "amount"_a, "key"_a, "backward"_a,
             "first_row"_a = 0);
  module.def("scale_rows", scale_rows, "x"_a, "gamma"_a, "length"_a, "epsilon"_a,
             "keeps"_a = false);
  module.def("scale_rows_backward", scale_rows_backward, "dy"_a, "x"_a, "gamma"_a, "length"_a,
             "epsilon"_a, "kept"_a = py::none());
  module.def("batch_normalization", batch_normalization, "x"_a, "gamma"_a, "beta"_a, "epsilon"_a,
             "keeps"_a = false);
  module.def("batch_normalization_backward", batch_normalization_backward, "dy"_a, "x"_a, "gamma"_a,
             "epsilon"_a, "kept"_a = py::none());
  module.def("group_normalization", group_normalization, "x"_a, "groups"_a, "gamma"_a, "beta"_a,
             "epsilon"_a, "keeps"_a = false);
  module.def("group_normalization_backward", group_normalization_backward, "dy"_a, "x"_a,
             "groups"_a, "gamma"_a, "epsilon"_a, "kept"_a);
  module.def("embedding", embedding, "x"_a, "table"_a);
  module.def("embedding_backward", embedding_backward, "dy"_a, "x"_a, "vocabulary"_a);
}

}  // namespace fastnn::bindings
