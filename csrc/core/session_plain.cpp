#include "core/session_plain.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/batch.h"
#include "core/updates.h"
#include "core/walk.h"

namespace fastnn {
namespace {

// For the length of a run.
template <class T>
class UseProducts {
 public:
  UseProducts(Walk<T>& walk, DenseProducts<T>* products) : walk_(walk) { walk_.use(products); }
  UseProducts(const UseProducts&) = delete;
  UseProducts& operator=(const UseProducts&) = delete;
  ~UseProducts() { walk_.use(nullptr); }

 private:
  Walk<T>& walk_;
};

template <class T>
class PlainSession final : public Session {
 public:
  PlainSession(Machine machine, const SessionRequest& request, bool streams,
               const MakeProducts& products);

  Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
          const Rates& rates, Sums sums) override;
  void evaluate(const Dataset& data, Index first, Index count, Sums sums, void* logits) override;
  void predict(const Dataset& data, Index first, Index count, void* out) override;
  void add_gradients(const Dataset& data, Index first, Index count, double total, bool training,
                     std::uint64_t life, void* gradient, Sums sums) override;
  double penalty() override { return updates_.penalty(); }
  void parameters_at(std::uint64_t version) override {
    stale_ = stale_ || version != version_;
    version_ = version;
  }
  void trained_to(std::uint64_t version) override { version_ = version; }
  bool finite_parameters() override;
  Index capacity() const override { return capacity_; }

 private:
  Ran run_part(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
               const Rates& rates, Sums sums);
  Ran run_apart(const Dataset& data, const Epoch& epoch, Index first, Index count,
                const Steps& done, const Rates& rates, Sums sums);
  double gradients_of_part(const Dataset& data, const Epoch& epoch, Index step, std::uint64_t life,
                           std::vector<double>& numbers);
  Index first_bad(Index offset, Index count);
  ParameterGradients<T> make_gradients();
  void update(std::uint64_t updates, const OptimizerSettings& settings);
  void set_steps(std::uint64_t updates, const OptimizerSettings& settings);

  Machine machine_;
  const Kernels<T>& kernels_;
  const Plan& plan_;
  Memory memory_;
  Index capacity_;
  bool streams_;
  std::vector<bool> streamed_;  // by parameter: its dense node's kernel steps it
  Batch<T> batch_;
  T* parameters_;
  Updates<T> updates_;
  Walk<T> walk_;
  ParameterGradients<T> training_;  // of the steps of `run`
  ParameterGradients<T> whole_;     // of all parameters, laid out as these; made when wanted
  T* gradients_ = nullptr;          // the memory of whole_
  // Sums of steps that ranks made apart, and have not added up yet.
  std::vector<double> pending_;
  std::unique_ptr<DenseProducts<T>> products_;  // of training steps; null: the kernel table's
  bool stale_ = true;                           // what they made of the weights
  std::uint64_t version_ = 0;                   // of the parameters
};

template <class T>
PlainSession<T>::PlainSession(Machine machine, const SessionRequest& request, bool streams,
                              const MakeProducts& products)
    : machine_(std::move(machine)),
      kernels_(kernels<T>(*machine_.table)),
      plan_(*request.plan),
      memory_(machine_),
      capacity_(request.batch_size > 0 ? request.batch_size : inference_rows(plan_)),
      streams_(streams),
      batch_(machine_, memory_, plan_, capacity_),
      parameters_(static_cast<T*>(request.buffers.parameters)),
      updates_(machine_, memory_, plan_, request.buffers),
      walk_(machine_, memory_, plan_, parameters_, capacity_) {
  if (!plan_.has_loss || request.batch_size == 0) return;
  walk_.allocate_gradients();
  training_ = make_gradients();
  if constexpr (std::is_same_v<T, float>) {
    if (products) products_ = products(machine_, memory_, capacity_);
  }
}

// The first of `count` parameters from `offset` on that is NaN or infinite; none: -1.
template <class T>
Index PlainSession<T>::first_bad(Index offset, Index count) {
  constexpr auto bytes = static_cast<Index>(sizeof(T));
  const ArrayView view{parameters_ + offset, plan_.element, 1, count, 0, bytes, nullptr};
  Index row = -1;
  Index column = 0;
  machine_.call(machine_.table->scan, Scan{view, {nullptr, 0, 1}, Expected::finite, &row, &column});
  return row < 0 ? -1 : offset + column;
}

// One scan of the whole memory as a rule; what lies between parameters is none of them.
template <class T>
bool PlainSession<T>::finite_parameters() {
  if (first_bad(0, plan_.parameter_size) < 0) return true;
  return std::all_of(plan_.parameters.begin(), plan_.parameters.end(),
                     [&](const Parameter& p) { return first_bad(p.offset, p.size()) < 0; });
}

// In a streaming session the kernels of dense nodes have no gradient; a place that is not null
// says that one is wanted.
template <class T>
ParameterGradients<T> PlainSession<T>::make_gradients() {
  ParameterGradients<T> gradients;
  if (!streams_) {
    gradients_ = memory_.take<T>(plan_.parameter_size);
  } else {
    gradients.steps.resize(plan_.parameters.size());
    streamed_ = parameters_of_one_dense_node(plan_);
    for (std::size_t i = 0; i < streamed_.size(); ++i) {
      streamed_[i] = streamed_[i] && plan_.parameters[i].role == Role::matrix;
    }
  }
  for (std::size_t i = 0; i < plan_.parameters.size(); ++i) {
    const Parameter& parameter = plan_.parameters[i];
    T* place = nullptr;
    if (parameter.trainable) {
      if (!streams_) {
        place = gradients_ + parameter.offset;
      } else {
        place = streamed_[i] ? parameters_ : memory_.take<T>(parameter.size());
      }
    }
    gradients.place.push_back(place);
  }
  if (!streams_) whole_ = gradients;
  return gradients;
}

// -- the optimizer ----------------------------------------------------------

// The steps that kernels take during the backward pass.
template <class T>
void PlainSession<T>::set_steps(std::uint64_t updates, const OptimizerSettings& settings) {
  for (std::size_t i = 0; i < plan_.parameters.size(); ++i) {
    if (!streamed_[i]) continue;
    training_.steps[i] = updates_.step(plan_.parameters[i], updates, settings, nullptr);
  }
}

// Steps over what no kernel stepped: in a streaming session all but the kernels of dense nodes.
template <class T>
void PlainSession<T>::update(std::uint64_t updates, const OptimizerSettings& settings) {
  if (!streams_) {
    updates_.all(updates, settings, gradients_);
    return;
  }
  for (std::size_t i = 0; i < plan_.parameters.size(); ++i) {
    if (training_.place[i] == nullptr || streamed_[i]) continue;
    machine_.call<OptimizerStep<T>>(
        kernels_.optimizer_step,
        updates_.step(plan_.parameters[i], updates, settings, training_.place[i]));
  }
}

// -- what a session offers --------------------------------------------------

// The gradient of this rank's part of a batch, and in `numbers` the sums of its loss and metrics.
// Returns what the loss was divided by; 0: the rank has no rows of the batch.
template <class T>
double PlainSession<T>::gradients_of_part(const Dataset& data, const Epoch& epoch, Index step,
                                          std::uint64_t life, std::vector<double>& numbers) {
  const Ranks& ranks = *epoch.ranks;
  const Index start = step * epoch.batch_size;
  const Index batch = ranks.rows(step, epoch.batch_size);
  const auto part = batch_.choose_part(data, epoch, step);
  const bool apart = ranks.average_every > 0;
  const Pass pass{true, life, part.first_row, true, part.places, apart ? nullptr : ranks.exchange,
                  batch};
  const double divisor = static_cast<double>(apart ? part.n : batch) * epoch.row_weight;
  std::fill(numbers.begin(), numbers.end(), 0.0);
  // Kernels may leave the gradient of no rows as it was.
  if (part.n == 0) std::fill(gradients_, gradients_ + plan_.parameter_size, T(0));
  if (apart && part.n == 0) return 0;
  walk_.gather(batch_, data, 0, part.n);
  batch_.gather_targets(data);
  walk_.forward(pass, part.n, walk_.needs_output());
  const BatchPart<T> rows = batch_.part(0, part.n);
  const auto [value, weight] = walk_.loss(rows, divisor, true);
  numbers[0] = value;
  numbers[1] = weight;
  walk_.measure(rows, numbers);
  walk_.collect(start + (ranks.brings() ? 0 : part.first_row), part.n, epoch.logits);
  walk_.backward(pass, part.n, training_);
  return divisor;
}

// Steps over ranks: each has its part of every batch, all take the same step.
template <class T>
Ran PlainSession<T>::run_part(const Dataset& data, const Epoch& epoch, Index first, Index count,
                              const Steps& done, const Rates& rates, Sums sums) {
  std::vector<double> numbers(sums.size());
  Exchange& exchange = *epoch.ranks->exchange;
  for (Index step = 0; step < count; ++step) {
    const auto steps = static_cast<std::uint64_t>(step);
    const double divisor = gradients_of_part(data, epoch, first + step, done.life + steps, numbers);
    exchange.sum(numbers, gradients_, plan_.parameter_size);
    const double weight = numbers[1];
    const OptimizerSettings settings = rates.at(step);
    if (updates_.penalizes()) {
      numbers[0] +=
          updates_.penalty(settings.penalties) * updates_.penalty_weight(settings, weight, divisor);
    }
    if (!std::isfinite(numbers[0])) return {step, numbers[0] / weight};
    updates_.weigh_batch(numbers.data(), 1, divisor);
    if (updates_.averages_batches(settings) && weight > 0) {
      const auto rows = static_cast<double>(epoch.ranks->rows(first + step, epoch.batch_size));
      numbers[0] *= rows / weight;
      numbers[1] = rows;
    }
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += numbers[i];
    update(done.updates + steps, settings);
    if (products_) products_->refresh_trainable();
    if (exchange.ends()) return {step + 1, std::nullopt};
  }
  return {count, std::nullopt};
}

// Steps that each rank makes on its part of the batch alone. Weights are averaged after so many of
// an epoch, and after its last; statistics of batch normalization are among them. The optimizer's
// state is averaged where the epoch ends (nn/run.cpp).
template <class T>
Ran PlainSession<T>::run_apart(const Dataset& data, const Epoch& epoch, Index first, Index count,
                               const Steps& done, const Rates& rates, Sums sums) {
  std::vector<double> numbers(sums.size());
  const Ranks& ranks = *epoch.ranks;
  const Index size = ranks.exchange->size();
  // What a call that an error has ended left behind is of no use.
  if (first % ranks.average_every == 0) pending_.clear();
  pending_.resize(sums.size());
  for (Index step = 0; step < count; ++step) {
    const auto steps = static_cast<std::uint64_t>(step);
    const double divisor = gradients_of_part(data, epoch, first + step, done.life + steps, numbers);
    const OptimizerSettings settings = rates.at(step);
    if (updates_.penalizes()) numbers[0] += updates_.penalty(settings.penalties) * numbers[1];
    updates_.weigh_batch(numbers.data(), 1, divisor);
    // A step without rows is none, but for gradients of several batches: it is one of these.
    if (divisor > 0 || plan_.update.accumulate > 1) update(done.updates + steps, settings);
    for (std::size_t i = 0; i < sums.size(); ++i) pending_[i] += numbers[i];
    const Index made = first + step + 1;
    const bool last = made * epoch.batch_size >= ranks.total;
    if (last || made % ranks.average_every == 0) {
      // Not in place: where a rank has left or is interrupted, weights stay weights.
      std::copy_n(parameters_, plan_.parameter_size, gradients_);
      ranks.exchange->sum(pending_, gradients_, plan_.parameter_size);
      for (Index i = 0; i < plan_.parameter_size; ++i) {
        parameters_[i] = gradients_[i] / static_cast<T>(size);
      }
      const std::vector<double> total = std::exchange(pending_, std::vector<double>(sums.size()));
      if (!std::isfinite(total[0])) return {step, total[0] / total[1]};
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += total[i];
    }
    if (products_) products_->refresh_trainable();
    if (ranks.exchange->ends()) return {step + 1, std::nullopt};
  }
  return {count, std::nullopt};
}

template <class T>
Ran PlainSession<T>::run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                         const Steps& done, const Rates& rates, Sums sums) {
  const bool whole = walk_.needs_output();
  const UseProducts<T> use(walk_, products_.get());
  if (products_ && stale_) products_->refresh();
  stale_ = false;
  if (epoch.ranks != nullptr) {
    return epoch.ranks->average_every > 0 ? run_apart(data, epoch, first, count, done, rates, sums)
                                          : run_part(data, epoch, first, count, done, rates, sums);
  }
  for (Index step = 0; step < count; ++step) {
    const Index start = (first + step) * epoch.batch_size;
    const Index n = std::min(epoch.batch_size, data.count - start);
    const auto steps = static_cast<std::uint64_t>(step);
    const Pass pass{true, done.life + steps, 0, true};
    batch_.choose(data, &epoch, start, n);
    walk_.gather(batch_, data, 0, n);
    batch_.gather_targets(data);
    walk_.forward(pass, n, whole);
    const double divisor = static_cast<double>(n) * epoch.row_weight;
    auto [value, weight] = walk_.loss(batch_.part(0, n), divisor, true);
    const OptimizerSettings settings = rates.at(step);
    if (updates_.penalizes()) {
      value +=
          updates_.penalty(settings.penalties) * updates_.penalty_weight(settings, weight, divisor);
    }
    if (!std::isfinite(value)) return {step, value / weight};
    updates_.weigh_batch(walk_.loss_sums(), n, divisor);
    const bool averages = updates_.averages_batches(settings) && weight > 0;
    const double share = averages ? static_cast<double>(n) / weight : 1;
    sums[0] += share * value;
    sums[1] += share * weight;
    walk_.measure(batch_.part(0, n), sums);
    walk_.collect(start, n, epoch.logits);
    if (streams_) set_steps(done.updates + steps, settings);
    walk_.backward(pass, n, training_);
    update(done.updates + steps, settings);
    if (products_ && !streams_) products_->refresh_trainable();
  }
  return {count, std::nullopt};
}

template <class T>
void PlainSession<T>::evaluate(const Dataset& data, Index first, Index count, Sums sums,
                               void* logits) {
  batch_.choose(data, nullptr, first, count);
  walk_.gather(batch_, data, 0, count);
  batch_.gather_targets(data);
  walk_.forward({}, count, walk_.needs_output());
  const auto [value, weight] = walk_.loss(batch_.part(0, count), 0, false);
  sums[0] += value;
  sums[1] += weight;
  walk_.measure(batch_.part(0, count), sums);
  walk_.collect(0, count, logits);
}

template <class T>
void PlainSession<T>::predict(const Dataset& data, Index first, Index count, void* out) {
  batch_.choose(data, nullptr, first, count);
  walk_.gather(batch_, data, 0, count);
  walk_.forward({}, count, true);
  machine_.read(*machine_.context, out, walk_.output(),
                static_cast<std::size_t>(count * plan_.output_width()) * sizeof(T));
}

template <class T>
void PlainSession<T>::add_gradients(const Dataset& data, Index first, Index count, double total,
                                    bool training, std::uint64_t life, void* gradient, Sums sums) {
  if (!walk_.has_gradients()) walk_.allocate_gradients();
  if (gradients_ == nullptr) {
    gradients_ = memory_.take<T>(plan_.parameter_size);
    for (const Parameter& parameter : plan_.parameters) {
      whole_.place.push_back(parameter.trainable ? gradients_ + parameter.offset : nullptr);
    }
  }
  const Pass pass{training, life, data.before + first};
  batch_.choose(data, nullptr, first, count);
  walk_.gather(batch_, data, 0, count);
  batch_.gather_targets(data);
  walk_.forward(pass, count, walk_.needs_output());
  const auto [value, weight] = walk_.loss(batch_.part(0, count), total, true);
  sums[0] += value;
  sums[1] += weight;
  walk_.measure(batch_.part(0, count), sums);
  walk_.backward(pass, count, whole_);
  auto* const out = static_cast<T*>(gradient);
  std::vector<T> mine(static_cast<std::size_t>(plan_.parameter_size));
  machine_.read(*machine_.context, mine.data(), gradients_, mine.size() * sizeof(T));
  for (std::size_t i = 0; i < mine.size(); ++i) out[i] += mine[i];
}

}  // namespace

Index inference_rows(const Plan& plan) {
  // Enough rows for the products to run at speed, no more than fit in some
  // tens of megabytes; of shape alone.
  Index per_row = 1;
  for (const TensorShape& tensor : plan.tensors) per_row += tensor.width;
  constexpr Index elements = Index{1} << 23;
  return std::clamp<Index>(elements / per_row, 16, 4096);
}

std::unique_ptr<Session> prepare_plain(Machine machine, const SessionRequest& request, bool streams,
                                       const MakeProducts& products) {
  if (request.plan->element == Element::f64) {
    return std::make_unique<PlainSession<double>>(std::move(machine), request, streams, products);
  }
  return std::make_unique<PlainSession<float>>(std::move(machine), request, streams, products);
}

}  // namespace fastnn
