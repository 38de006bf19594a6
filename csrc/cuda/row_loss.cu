// Losses of whole rows with their gradients, by the formulas of core/losses_of_rows.h. A warp has a
// row, which it reads again in each pass.
#include "core/losses_of_rows.h"

#include "core/loss.h"
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/row_sums.h"
#include "cuda/team.h"

namespace fastnn::FASTNN_TARGET {
namespace {

template <class Row, class T>
struct RowLosses {
  static constexpr int threads = 256;
  // With room made for more, doubles spill.
  static constexpr int resident_blocks = sizeof(T) == 4 ? 0 : 2;
  static constexpr int step = threads / 32;
  static constexpr int sums = Row::sums;
  static constexpr int seconds = Row::seconds < 1 ? 1 : Row::seconds;
  LossRows<T> a;
  Parts parts;
  GroupSums group_sums;
  struct Shared {
    double room[threads / 32];
  };

  FASTNN_DEVICE void operator()(const Thread& t) const {
    double* const room = t.shared<Shared>().room;
    const Team<32> team(t, room);
    const Range range = parts.range(t.block());
    Counted counted;
    for (Index base = range.begin; base < range.end; base += step) {
      const Index r = base + team.number();
      add(team, r, r < range.end, counted);
    }
    group_sums.add(t, team.lane() == 0 ? counted : Counted{}, room);
  }

 private:
  // Every lane of the warp comes here, also where there is no such row: then no column is read.
  FASTNN_DEVICE void add(const Team<32>& team, Index r, bool there, Counted& counted) const {
    const typename Row::template Common<T> common(a.options, static_cast<T>(a.c));
    const Index first = r * a.c;
    const Index c = there ? a.c : 0;
    const Index label = there && a.labels != nullptr ? a.labels[r] : -1;
    const auto target = [&](Index j) {
      const T of_label = j == label ? T(1) : T(0);
      return a.labels == nullptr ? a.targets[first + j] : of_label;
    };
    const auto column = [&](Index j) {
      return a.column_weights != nullptr ? a.column_weights[j] : T(1);
    };
    T top = -static_cast<T>(__builtin_inff());
    for (Index j = team.lane(); j < c; j += 32) {
      const T key = Row::key(common, a.outputs[first + j], target(j));
      top = key > top ? key : top;
    }
    top = team.largest(top);
    T found[sums] = {};
    for (Index j = team.lane(); j < c; j += 32) {
      T terms[sums];
      Row::terms(common, top, a.outputs[first + j], target(j), column(j), terms);
      FASTNN_UNROLL
      for (int i = 0; i < sums; ++i) found[i] += terms[i];
    }
    FASTNN_UNROLL
    for (int i = 0; i < sums; ++i) found[i] = team.sum(found[i]);
    const typename Row::template Numbers<T> numbers(common, top, found);
    T found_then[seconds] = {};
    if constexpr (Row::seconds > 0) {
      for (Index j = team.lane(); j < c; j += 32) {
        T terms[seconds];
        Row::second_terms(common, numbers, a.outputs[first + j], target(j), column(j), terms);
        FASTNN_UNROLL
        for (int i = 0; i < seconds; ++i) found_then[i] += terms[i];
      }
      FASTNN_UNROLL
      for (int i = 0; i < seconds; ++i) found_then[i] = team.sum(found_then[i]);
    }
    if (!there) return;
    const T weight = a.weights != nullptr ? a.weights[r] : T(1);
    const T loss = Row::loss(common, numbers, found_then);
    counted.value += static_cast<double>(weigh(weight, loss));
    counted.weight += static_cast<double>(weight);
    if (a.gradient == nullptr) return;
    const T factor = a.scale * weight;
    for (Index j = team.lane(); j < c; j += 32) {
      const T gradient =
          Row::gradient(common, numbers, found_then, a.outputs[first + j], target(j), column(j));
      a.gradient[first + j] = weigh(factor, gradient);
    }
  }
};

}  // namespace

template <class T>
Status row_loss(Context& context, const LossRows<T>& a) {
  return with_reduced_loss(a.kind, [&](auto row) {
    using Kernel = RowLosses<decltype(row), T>;
    GroupSums group_sums{};
    const Parts parts = parts_of_rows(a.n, Kernel::step);
    const Status status = prepare(context, parts, a.sums, 2, group_sums);
    if (status != Status::ok) return status;
    return launch(context, parts.blocks(), Kernel{a, parts, group_sums});
  });
}

FASTNN_INSTANTIATE(row_loss, LossRows)

}  // namespace fastnn::FASTNN_TARGET
