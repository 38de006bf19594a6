#include "core/batch.h"

#include <algorithm>

namespace fastnn {

template <class T>
Batch<T>::Batch(const Machine& machine, Memory& memory, const Plan& plan, Index capacity)
    : machine_(machine),
      kernels_(kernels<T>(*machine.table)),
      plan_(plan),
      order_(nullptr),
      order_room_(std::max<Index>(capacity, 4096 / capacity * capacity)) {
  order_ = memory.take<Index>(order_room_);
  if (!plan_.has_loss) return;
  labels_ = memory.take<std::int32_t>(capacity);
  targets_ = memory.take<T>(capacity * plan_.target_width());
  weights_ = memory.take<T>(capacity);
  if (!portable::is_of_rows(plan_.loss.kind)) {
    element_weights_ = memory.take<T>(capacity * plan_.target_width());
  }
  present_ = memory.take<T>(capacity);
}

template <class T>
void Batch<T>::choose(const Dataset& data, const Epoch* epoch, Index first, Index n) {
  if (epoch == nullptr || !epoch->shuffled) {
    rows_ = data.rows == nullptr ? Rows{nullptr, first, n} : Rows{data.rows + first, 0, n};
    return;
  }
  const std::pair wanted{epoch->number, data.id};
  if (wanted != ordered_for_ || first < ordered_first_ ||
      first + n > ordered_first_ + ordered_count_) {
    ordered_count_ = std::min(order_room_, data.count - first);
    ordered_first_ = first;
    ordered_for_ = wanted;
    machine_.call<Shuffle>(machine_.table->shuffle, {plan_.key, epoch->number, data.count, first,
                                                     ordered_count_, true, data.rows, order_});
  }
  rows_ = {order_ + (first - ordered_first_), 0, n};
}

// Every rank goes through the order of all rows and keeps its own: any number of them, so that a
// batch has the rows that it would have in one process.
template <class T>
auto Batch<T>::choose_part(const Dataset& data, const Epoch& epoch, Index step) -> Part {
  const Ranks& ranks = *epoch.ranks;
  const Index first = step * epoch.batch_size;
  if (ranks.brings()) {
    const Index count = std::clamp<Index>(data.count - first, 0, epoch.batch_size);
    choose(data, nullptr, std::min(first, data.count), count);
    return {count, ranks.part(step).before, nullptr};
  }
  const Index n = ranks.rows(step, epoch.batch_size);
  if (!ranks.shards) {
    const Index begin = ranks.exchange->begin(n);
    const Index count = ranks.exchange->end(n) - begin;
    choose(data, &epoch, first + begin, count);
    return {count, begin, nullptr};
  }
  ordered_for_ = {};
  ordered_count_ = 0;
  places_.resize(static_cast<std::size_t>(order_room_));
  machine_.call<Shuffle>(machine_.table->shuffle, {plan_.key, epoch.number, ranks.total, first, n,
                                                   epoch.shuffled, nullptr, order_});
  Index count = 0;
  for (Index i = 0; i < n; ++i) {
    const Index row = order_[i] - ranks.before;
    if (row < 0 || row >= data.count) continue;
    order_[count] = data.rows != nullptr ? data.rows[row] : row;
    places_[static_cast<std::size_t>(count++)] = i;
  }
  rows_ = {order_, 0, count};
  return {count, 0, places_.data()};
}

template <class T>
void Batch<T>::gather_input(const Machine& machine, const Dataset& data, Index first, Index n,
                            T* x) const {
  const Rows rows = part_of_rows(first, n);
  const auto scale = static_cast<T>(plan_.input_scale);
  const auto offset = static_cast<T>(plan_.input_offset);
  if (data.sparse.starts != nullptr) {
    machine.call<GatherSparse<T>>(kernels_.gather_sparse,
                                  {data.sparse, rows, data.x.columns, scale, offset, x});
  } else {
    machine.call<Gather<T>>(kernels_.gather, {data.x, rows, scale, offset, x});
  }
}

template <class T>
std::optional<SparseRows<T>> Batch<T>::sparse_input(const Dataset& data, Index first,
                                                    Index n) const {
  if (data.sparse.starts == nullptr || plan_.input_offset != 0) return std::nullopt;
  return SparseRows<T>{data.sparse, part_of_rows(first, n), static_cast<T>(plan_.input_scale)};
}

template <class T>
BatchPart<T> Batch<T>::part(Index first, Index n) const {
  const bool ignores = has_labels_ && plan_.loss.ignores;
  const T* weights = has_weights_ ? weights_ + first : nullptr;
  if (weighs_elements_) weights = element_weights_ + first * plan_.target_width();
  return {n,       has_labels_ ? labels_ + first : nullptr, targets_ + first * plan_.target_width(),
          weights, ignores ? present_ + first : nullptr,    weighs_elements_};
}

template <class T>
void Batch<T>::gather_targets(const Dataset& data) {
  has_labels_ = data.labels != nullptr;
  const bool ignores = has_labels_ && plan_.loss.ignores;
  has_weights_ = data.weights != nullptr || ignores;
  weighs_elements_ = data.element_weights.data != nullptr;
  if (!has_labels_) {
    machine_.call<Gather<T>>(kernels_.gather, {data.targets, rows_, T(1), T(0), targets_});
  }
  if (weighs_elements_) {
    machine_.call<Gather<T>>(kernels_.gather,
                             {data.element_weights, rows_, T(1), T(0), element_weights_});
  }
  if (has_labels_ || has_weights_) {
    machine_.call<GatherLabels<T>>(kernels_.gather_labels,
                                   {.labels = data.labels,
                                    .weights = data.weights,
                                    .ignore_class = plan_.loss.ignore_class,
                                    .ignores = ignores,
                                    .rows = rows_,
                                    .out_labels = has_labels_ ? labels_ : nullptr,
                                    .out_weights = has_weights_ ? weights_ : nullptr,
                                    .out_present = ignores ? present_ : nullptr});
  }
}

template class Batch<float>;
template class Batch<double>;

}  // namespace fastnn
