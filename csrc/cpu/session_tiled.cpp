#include "cpu/session_tiled.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/session_plain.h"
#include "core/updates.h"
#include "core/walk.h"
#include "cpu/context.h"

namespace fastnn {
namespace {

// Rows are shared out by row group. Each group has a gradient of its own, to which
// its tiles add theirs in order; the optimizer adds up the groups, in order too.
template <class T>
class TiledSession final : public Session {
 public:
  TiledSession(const SessionRequest& request, Machine (*machine)(bool alone),
               const MakeProducts& products);

  Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
          const Rates& rates, Sums sums) override;
  void evaluate(const Dataset& data, Index first, Index count, Sums sums, void* logits) override {
    whole_->evaluate(data, first, count, sums, logits);
  }
  void predict(const Dataset& data, Index first, Index count, void* out) override {
    whole_->predict(data, first, count, out);
  }
  void add_gradients(const Dataset& data, Index first, Index count, double total, bool training,
                     std::uint64_t life, void* gradient, Sums sums) override {
    whole_->add_gradients(data, first, count, total, training, life, gradient, sums);
  }
  double penalty() override { return whole_->penalty(); }
  void parameters_at(std::uint64_t version) override {
    stale_ = stale_ || version != version_;
    version_ = version;
  }
  void trained_to(std::uint64_t version) override { version_ = version; }
  bool finite_parameters() override { return whole_->finite_parameters(); }
  Index capacity() const override { return whole_->capacity(); }

 private:
  // What one worker needs.
  struct Lane {
    Lane(Machine m, const Plan& plan, T* parameters, const MakeProducts& make)
        : machine(std::move(m)),
          memory(machine),
          walk(machine, memory, plan, parameters, tile_rows) {
      walk.allocate_gradients();
      gradients.place.resize(plan.parameters.size());
      if constexpr (std::is_same_v<T, float>) {
        if (make) products = make(machine, memory, tile_rows);
      }
      walk.use(products.get());
    }
    Machine machine;
    Memory memory;
    std::unique_ptr<DenseProducts<T>> products;
    Walk<T> walk;
    ParameterGradients<T> gradients;
  };

  // One training step on its way.
  struct Step {
    const Dataset& data;
    Index n;
    double divisor;
    std::uint64_t life;
    Index first;   // row of the epoch
    void* logits;  // of the epoch
  };

  // The cost of a step, in the units of cpu/loops.h: three products with each weight.
  Index work_of(Index n) const { return n * (plan_.parameter_size / 8 + 1); }
  void run_group(const Step& step, Index group, int worker);

  const Plan& plan_;
  Machine (*make_machine_)(bool alone);
  MakeProducts make_products_;
  Machine machine_;
  Memory memory_;
  Batch<T> batch_;
  T* parameters_;
  Updates<T> updates_;
  T* gradients_;                                // (groups, parameters)
  std::vector<double> sums_;                    // (groups, plan.sums())
  std::vector<std::unique_ptr<Lane>> lanes_;    // by worker, made by it
  std::unique_ptr<DenseProducts<T>> products_;  // keeps what those of the lanes share
  bool stale_ = true;
  std::uint64_t version_ = 0;       // of the parameters
  std::unique_ptr<Session> whole_;  // does what is not training
};

template <class T>
TiledSession<T>::TiledSession(const SessionRequest& request, Machine (*machine)(bool alone),
                              const MakeProducts& products)
    : plan_(*request.plan),
      make_machine_(machine),
      make_products_(products),
      machine_(machine(false)),
      memory_(machine_),
      batch_(machine_, memory_, plan_, request.batch_size),
      parameters_(static_cast<T*>(request.buffers.parameters)),
      updates_(machine_, memory_, plan_, request.buffers),
      gradients_(memory_.take<T>(row_groups(request.batch_size).count * plan_.parameter_size)),
      sums_(static_cast<std::size_t>(row_groups(request.batch_size).count) *
            static_cast<std::size_t>(plan_.sums())),
      lanes_(max_threads),
      whole_(prepare_plain(machine(false), {request.plan, request.buffers, 0})) {
  if constexpr (std::is_same_v<T, float>) {
    if (make_products_) products_ = make_products_(machine_, memory_, tile_rows);
  }
}

template <class T>
void TiledSession<T>::run_group(const Step& step, Index group, int worker) {
  std::unique_ptr<Lane>& lane = lanes_[static_cast<std::size_t>(worker)];
  if (!lane) lane = std::make_unique<Lane>(make_machine_(true), plan_, parameters_, make_products_);
  Walk<T>& walk = lane->walk;
  T* const gradient = gradients_ + group * plan_.parameter_size;
  for (std::size_t i = 0; i < plan_.parameters.size(); ++i) {
    const Parameter& parameter = plan_.parameters[i];
    lane->gradients.place[i] = parameter.trainable ? gradient + parameter.offset : nullptr;
  }
  const auto width = static_cast<std::size_t>(plan_.sums());
  const Sums sums(sums_.data() + static_cast<std::size_t>(group) * width, width);
  std::fill(sums.begin(), sums.end(), 0.0);
  const bool whole = walk.needs_output();
  const Index rows = row_groups(step.n).rows;
  const Index end = std::min((group + 1) * rows, step.n);
  for (Index row = group * rows; row < end; row += tile_rows) {
    const Index n = std::min(tile_rows, end - row);
    const Pass pass{true, step.life, row};
    walk.gather(batch_, step.data, row, n);
    walk.forward(pass, n, whole);
    const BatchPart<T> part = batch_.part(row, n);
    const auto [value, weight] = walk.loss(part, step.divisor, true);
    sums[0] += value;
    sums[1] += weight;
    walk.measure(part, sums);
    walk.collect(step.first + row, n, step.logits);
    lane->gradients.accumulates = row != group * rows;
    walk.backward(pass, n, lane->gradients);
  }
}

template <class T>
Ran TiledSession<T>::run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                         const Steps& done, const Rates& rates, Sums sums) {
  if (products_ && stale_) products_->refresh();
  stale_ = false;
  for (Index index = 0; index < count; ++index) {
    const Index start = (first + index) * epoch.batch_size;
    const Index n = std::min(epoch.batch_size, data.count - start);
    const auto steps = static_cast<std::uint64_t>(index);
    batch_.choose(data, &epoch, start, n);
    batch_.gather_targets(data);
    const Step step{
        data, n, static_cast<double>(n) * epoch.row_weight, done.life + steps, start, epoch.logits};
    const Index groups = row_groups(n).count;
    struct Job {
      TiledSession& session;
      const Step& step;
      std::exception_ptr error;
      std::atomic<bool> failed;
    } job{*this, step, nullptr, false};
    machine_.context->run(
        groups, machine_.context->threads(work_of(n)),
        [](const void* arguments, Index group, int worker) {
          auto& own = *static_cast<Job*>(const_cast<void*>(arguments));
          try {
            own.session.run_group(own.step, group, worker);
          } catch (...) {
            if (!own.failed.exchange(true)) own.error = std::current_exception();
          }
        },
        &job);
    if (job.failed) std::rethrow_exception(job.error);
    const std::size_t width = sums.size();
    std::vector<double> step_sums(width);
    for (std::size_t g = 0; g < static_cast<std::size_t>(groups); ++g) {
      for (std::size_t k = 0; k < width; ++k) step_sums[k] += sums_[g * width + k];
    }
    const OptimizerSettings settings = rates.at(index);
    if (updates_.penalizes()) {
      step_sums[0] += updates_.penalty(settings.penalties) *
                      updates_.penalty_weight(settings, step_sums[1], step.divisor);
    }
    if (!std::isfinite(step_sums[0])) return {index, step_sums[0] / step_sums[1]};
    if (updates_.batch_factor() != nullptr) {
      *updates_.batch_factor() = step_sums[1] > 0 ? step.divisor / step_sums[1] : 0;
    }
    if (updates_.averages_batches(settings) && step_sums[1] > 0) {
      const double share = static_cast<double>(n) / step_sums[1];
      step_sums[0] *= share;
      step_sums[1] *= share;
    }
    for (std::size_t k = 0; k < width; ++k) sums[k] += step_sums[k];
    updates_.all(done.updates + steps, settings, gradients_, groups, plan_.parameter_size);
    if (products_) products_->refresh_trainable();
  }
  return {count, std::nullopt};
}

}  // namespace

std::unique_ptr<Session> prepare_tiled(const SessionRequest& request,
                                       Machine (*machine)(bool alone),
                                       const MakeProducts& products) {
  if (request.plan->element == Element::f64) {
    return std::make_unique<TiledSession<double>>(request, machine, products);
  }
  return std::make_unique<TiledSession<float>>(request, machine, products);
}

}  // namespace fastnn
