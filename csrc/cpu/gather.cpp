// Gathers rows of the caller's arrays (chosen, converted, scaled), and searches them for elements
// that are not finite or not in the expected range.
#include "cpu/kernels.h"
#include "cpu/loops.h"

#include "core/element.h"

namespace fastnn::FASTNN_TARGET {

template <class From>
static FASTNN_INLINE From load(const char* at) {
  From x;
  __builtin_memcpy(&x, at, sizeof x);  // rows need not be aligned
  return x;
}

template <class From, class F>
static FASTNN_INLINE void each_column(const ArrayView& source, Index row, const F& f) {
  const char* const start = static_cast<const char*>(source.data) + row * source.row_stride;
  if (source.offsets != nullptr) {
    for (Index j = 0; j < source.columns; ++j) f(j, load<From>(start + source.offsets[j]));
  } else if (source.column_stride == sizeof(From)) {
    for (Index j = 0; j < source.columns; ++j) {
      f(j, load<From>(start + j * static_cast<Index>(sizeof(From))));
    }
  } else {
    for (Index j = 0; j < source.columns; ++j) {
      f(j, load<From>(start + j * source.column_stride));
    }
  }
}

// Rows may lie anywhere: no hardware prefetcher can know where the next one begins.
static FASTNN_INLINE void fetch_row(const ArrayView& source, Index row, Index bytes) {
  constexpr Index line = 64;
  const char* const start = static_cast<const char*>(source.data) + row * source.row_stride;
  if (source.offsets != nullptr || source.column_stride != bytes) return;
  for (Index i = 0; i < source.columns * bytes; i += line) __builtin_prefetch(start + i);
}

template <class T>
Status gather(Context& context, const Gather<T>& a) {
  const Index columns = a.source.columns;
  const bool plain = a.scale == T(1) && a.offset == T(0);
  with_element(a.source.element, [&](auto* type) {
    using From = Pointee<decltype(type)>;
    for_ranges(context, a.rows.n, most(columns, 1), [&](Index begin, Index end) {
      for (Index r = begin; r < end; ++r) {
        T* const out = a.out + r * columns;
        const Index row = row_at(a.rows, r);
        if (r + 1 < end) fetch_row(a.source, row_at(a.rows, r + 1), sizeof(From));
        if (plain) {
          each_column<From>(a.source, row, [&](Index j, From x) { out[j] = convert<T>(x); });
        } else {
          each_column<From>(a.source, row, [&](Index j, From x) {
            out[j] = mul_add(a.scale, convert<T>(x), a.offset);
          });
        }
      }
    });
  });
  return Status::ok;
}

template <class T>
Status gather_labels(Context&, const GatherLabels<T>& a) {
  for (Index r = 0; r < a.rows.n; ++r) {
    const Index row = row_at(a.rows, r);
    const bool ignored = a.ignores && a.labels[row] == a.ignore_class;
    const T weight = a.weights != nullptr ? static_cast<T>(a.weights[row]) : T(1);
    if (a.out_labels != nullptr) a.out_labels[r] = a.labels[row];
    if (a.out_weights != nullptr) a.out_weights[r] = ignored ? T(0) : weight;
    if (a.out_present != nullptr) a.out_present[r] = ignored ? T(0) : T(1);
  }
  return Status::ok;
}

// Finds the first unexpected element of each group of rows, then the first of these.
template <class From, class Unexpected>
static void scan_elements(Context& context, const Scan& a, const Unexpected& unexpected) {
  Index found[max_groups];
  const RowGroups groups = row_groups(a.rows.n);
  for_row_groups(
      context, a.rows.n, most(a.source.columns, 1), [&](Index group, Index begin, Index end, int) {
        found[group] = -1;
        for (Index r = begin; r < end && found[group] < 0; ++r) {
          uint32_t bad = 0;
          each_column<From>(a.source, row_at(a.rows, r),
                            [&](Index, From x) { bad |= static_cast<uint32_t>(unexpected(x)); });
          if (bad != 0) found[group] = r;
        }
      });
  *a.row = -1;
  for (Index group = 0; group < groups.count && *a.row < 0; ++group) {
    if (found[group] < 0) continue;
    *a.row = row_at(a.rows, found[group]);
    *a.column = -1;
    each_column<From>(a.source, *a.row, [&](Index j, From x) {
      if (*a.column < 0 && unexpected(x)) *a.column = j;
    });
  }
}

Status scan(Context& context, const Scan& a) {
  with_element(a.source.element, [&](auto* type) {
    using From = Pointee<decltype(type)>;
    with_expected(a.expected,
                  [&](const auto& unexpected) { scan_elements<From>(context, a, unexpected); });
  });
  return Status::ok;
}

FASTNN_INSTANTIATE(gather, Gather)
FASTNN_INSTANTIATE(gather_labels, GatherLabels)

}  // namespace fastnn::FASTNN_TARGET
