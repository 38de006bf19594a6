// Rows, gathered and searched: see cuda_twins.h.
#include <algorithm>

#include "cuda_twins.h"

namespace twins {
namespace {

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

}  // namespace

void check_rows() {
  check_gathers();
  check_all_labels();
  check_scans();
}

}  // namespace twins
