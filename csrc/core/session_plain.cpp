#include "core/session_plain.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>
#include <vector>

#include "core/batch.h"
#include "core/random.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// What a pass over the nodes is for.
struct Pass {
  bool random = false;  // dropout acts
  std::uint64_t life = 0;
  Index first_row = 0;  // in the batch
};

template <class T>
class PlainSession final : public Session {
 public:
  PlainSession(Machine machine, const SessionRequest& request);

  Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
          const OptimizerSettings& settings, std::span<Sum> sums) override;
  void evaluate(const Dataset& data, Index first, Index count, std::span<Sum> sums) override;
  void predict(const Dataset& data, Index first, Index count, void* out) override;
  void add_gradients(const Dataset& data, Index first, Index count, double total, bool training,
                     std::uint64_t life, void* gradient, std::span<Sum> sums) override;
  double weight(const Dataset& data, Index first, Index count) override;
  Index capacity() const override { return capacity_; }

 private:
  template <class Arguments>
  void call(Kernel<Arguments> kernel, const Arguments& arguments) {
    machine_.call(kernel, arguments);
  }

  void allocate_values();
  void allocate_gradients();
  void forward(const Pass& pass, Index n, bool whole);
  void forward_node(const Node& node, const Pass& pass, Index n);
  double loss(Index n, double total, T* gradient);
  void measure(Index n, double loss, double total, std::span<Sum> sums);
  void backward(const Pass& pass, Index n);
  void backward_node(const Node& node, const Pass& pass, Index n);
  void pass_gradient(int tensor, Index n, const Node& node, const Pass& pass);
  void update(std::uint64_t updates, const OptimizerSettings& settings);
  bool needs_output() const;

  Index width(int tensor) const { return plan_.tensors[at(tensor)].width; }
  T* parameter(int index) {
    return index == none ? nullptr : parameters_ + plan_.parameters[at(index)].offset;
  }
  T* parameter_gradient(int index) {
    return index == none || !plan_.parameters[at(index)].trainable
               ? nullptr
               : gradients_ + plan_.parameters[at(index)].offset;
  }

  Machine machine_;
  const Kernels<T>& kernels_;
  const Plan& plan_;
  Memory memory_;
  Index capacity_;
  Batch<T> batch_;

  T* parameters_;
  std::array<T*, 2> slots_;
  T* gradients_ = nullptr;  // laid out as the parameters

  // By tensor.
  std::vector<T*> home_;            // where its values are kept
  std::vector<T*> value_;           // where they are in this pass: dropout at rest moves nothing
  std::vector<T*> gradient_;        // null where none is wanted
  std::vector<bool> has_gradient_;  // in this pass
  std::vector<T*> preactivation_;   // of dense nodes whose derivative needs it
  T* spare_ = nullptr;              // a second gradient of a tensor that several nodes read

  T* pos_weight_ = nullptr;
  double* sums_ = nullptr;
};

Index chunk_rows(const Plan& plan) {
  // Enough rows for the products to run at speed, no more than fit in some
  // tens of megabytes; of shape alone.
  Index per_row = 1;
  for (const TensorShape& tensor : plan.tensors) per_row += tensor.width;
  constexpr Index elements = Index{1} << 23;
  return std::clamp<Index>(elements / per_row, 16, 4096);
}

template <class T>
PlainSession<T>::PlainSession(Machine machine, const SessionRequest& request)
    : machine_(std::move(machine)),
      kernels_(kernels<T>(*machine_.table)),
      plan_(*request.plan),
      memory_(machine_),
      capacity_(request.batch_size > 0 ? request.batch_size : chunk_rows(plan_)),
      batch_(machine_, memory_, plan_, capacity_),
      parameters_(static_cast<T*>(request.buffers.parameters)),
      slots_{static_cast<T*>(request.buffers.slots[0]), static_cast<T*>(request.buffers.slots[1])} {
  home_.resize(plan_.tensors.size());
  gradient_.resize(home_.size());
  has_gradient_.resize(home_.size());
  preactivation_.resize(home_.size());
  allocate_values();
  if (plan_.has_loss && request.batch_size > 0) allocate_gradients();
}

template <class T>
void PlainSession<T>::allocate_values() {
  for (std::size_t t = 0; t < home_.size(); ++t) {
    home_[t] = memory_.take<T>(capacity_ * plan_.tensors[t].width);
  }
  value_ = home_;
  if (!plan_.has_loss) return;
  sums_ = memory_.take<double>(2 * max_groups);
  if (!plan_.loss.pos_weight.empty()) {
    pos_weight_ = memory_.take<T>(plan_.output_width());
    // A few numbers, gathered as any row of the caller's is.
    const ArrayView view{plan_.loss.pos_weight.data(),
                         Element::f64,
                         1,
                         plan_.output_width(),
                         0,
                         sizeof(double),
                         nullptr};
    call<Gather<T>>(kernels_.gather, {view, {nullptr, 0, 1}, T(1), T(0), pos_weight_});
  }
}

// A tensor's gradient is wanted where a trainable parameter lies before it.
template <class T>
void PlainSession<T>::allocate_gradients() {
  std::vector<bool> wanted(home_.size());
  std::vector<int> readers(home_.size());
  Index widest_shared = 0;
  for (const Node& node : plan_.nodes) {
    bool any = false;
    for (const int input : {node.input, node.input_b}) {
      if (input == none) continue;
      any = any || wanted[at(input)];
      if (++readers[at(input)] > 1) widest_shared = std::max(widest_shared, width(input));
    }
    for (const int p : {node.kernel, node.bias}) {
      any = any || (p != none && plan_.parameters[at(p)].trainable);
    }
    wanted[at(node.output)] = any;
    if (node.kind == NodeKind::dense && portable::needs_preactivation(node.activation)) {
      preactivation_[at(node.output)] = memory_.take<T>(capacity_ * width(node.output));
    }
  }
  wanted[at(plan_.loss_input())] = true;
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    if (wanted[t]) gradient_[t] = memory_.take<T>(capacity_ * plan_.tensors[t].width);
  }
  if (widest_shared > 0) spare_ = memory_.take<T>(capacity_ * widest_shared);
  gradients_ = memory_.take<T>(plan_.parameter_size);
}

// -- forward ----------------------------------------------------------------

template <class T>
bool PlainSession<T>::needs_output() const {
  if (!plan_.folded) return true;
  return std::any_of(plan_.metrics.begin(), plan_.metrics.end(),
                     [&](const Metric& metric) { return metric.tensor == plan_.output; });
}

// Runs all nodes, or without `whole` those before a folded head.
template <class T>
void PlainSession<T>::forward(const Pass& pass, Index n, bool whole) {
  for (const Node& node : plan_.nodes) {
    if (!whole && node.output == plan_.output) break;
    forward_node(node, pass, n);
  }
}

template <class T>
void PlainSession<T>::forward_node(const Node& node, const Pass& pass, Index n) {
  const T* x = value_[at(node.input)];
  const Index elements = n * width(node.input);
  if (node.kind == NodeKind::dropout && !pass.random) {
    value_[at(node.output)] = value_[at(node.input)];
    return;
  }
  if (node.kind == NodeKind::dropout) value_[at(node.output)] = home_[at(node.output)];
  T* y = value_[at(node.output)];
  switch (node.kind) {
    case NodeKind::dense:
      call<DenseForward<T>>(
          kernels_.dense_forward,
          {n, width(node.input), width(node.output), x, parameter(node.kernel),
           parameter(node.bias), node.activation, preactivation_[at(node.output)], y});
      break;
    case NodeKind::activation:
      call<ActivationForward<T>>(kernels_.activation_forward, {node.activation, elements, x, y});
      break;
    case NodeKind::softmax:
      call<SoftmaxForward<T>>(kernels_.softmax_forward, {n, width(node.input), x, y});
      break;
    case NodeKind::dropout:
      call<Dropout<T>>(kernels_.dropout, {portable::stream_key(plan_.key, node.stream), pass.life,
                                          pass.first_row, n, width(node.input), node.rate, x, y});
      break;
    case NodeKind::affine:
      call<Affine<T>>(kernels_.affine,
                      {elements, static_cast<T>(node.scale), static_cast<T>(node.offset), x, y});
      break;
    case NodeKind::add:
      call<Add<T>>(kernels_.add, {elements, x, value_[at(node.input_b)], y});
      break;
  }
}

// The sum of weighted losses; the gradient of the mean where `gradient` is given.
template <class T>
double PlainSession<T>::loss(Index n, double total, T* gradient) {
  const T* output = value_[at(plan_.loss_input())];
  const T scale = total > 0 ? static_cast<T>(1 / total) : T(0);
  const T smoothing = static_cast<T>(plan_.loss.label_smoothing);
  const Index c = plan_.output_width();
  switch (plan_.loss.kind) {
    case LossKind::softmax_cross_entropy:
      call<SoftmaxCrossEntropy<T>>(kernels_.softmax_cross_entropy,
                                   {n, c, output, batch_.labels(), batch_.targets(),
                                    batch_.weights(), scale, smoothing, sums_, gradient});
      break;
    case LossKind::sigmoid_cross_entropy:
      call<SigmoidCrossEntropy<T>>(kernels_.sigmoid_cross_entropy,
                                   {n, c, output, batch_.targets(), batch_.weights(), pos_weight_,
                                    scale, smoothing, sums_, gradient});
      break;
    case LossKind::mean_squared_error:
      call<MeanSquaredError<T>>(
          kernels_.mean_squared_error,
          {n, c, output, batch_.targets(), batch_.weights(), scale, sums_, gradient});
      break;
  }
  return machine_.total(sums_, n);
}

template <class T>
void PlainSession<T>::measure(Index n, double loss, double total, std::span<Sum> sums) {
  sums[0].value += loss;
  sums[0].weight += total;
  for (std::size_t i = 0; i < plan_.metrics.size(); ++i) {
    const Metric& metric = plan_.metrics[i];
    const bool weighted = metric.weighted && batch_.weights() != nullptr;
    call<MetricRows<T>>(
        kernels_.metric_rows,
        {metric.kind, metric.value, n, width(metric.tensor), value_[at(metric.tensor)],
         batch_.labels(), batch_.targets(), weighted ? batch_.weights() : batch_.present(), sums_});
    sums[i + 1].value += machine_.total(sums_, n, 2, 0);
    sums[i + 1].weight += machine_.total(sums_, n, 2, 1);
  }
}

// -- backward ---------------------------------------------------------------

// From the gradient at the loss's input to that of every trainable parameter.
template <class T>
void PlainSession<T>::backward(const Pass& pass, Index n) {
  std::fill(has_gradient_.begin(), has_gradient_.end(), false);
  has_gradient_[at(plan_.loss_input())] = true;
  for (auto node = plan_.nodes.rbegin(); node != plan_.nodes.rend(); ++node) {
    if (has_gradient_[at(node->output)] && gradient_[at(node->output)] != nullptr) {
      backward_node(*node, pass, n);
    }
  }
}

template <class T>
void PlainSession<T>::backward_node(const Node& node, const Pass& pass, Index n) {
  if (node.kind != NodeKind::dense) {
    for (const int input : {node.input, node.input_b}) {
      if (input != none) pass_gradient(input, n, node, pass);
    }
    return;
  }
  const int input = node.input;
  T* dx = gradient_[at(input)];
  const bool second = dx != nullptr && has_gradient_[at(input)];
  T* dy = gradient_[at(node.output)];
  call<DenseBackward<T>>(
      kernels_.dense_backward,
      {n, width(input), width(node.output), dy, value_[at(input)], parameter(node.kernel),
       value_[at(node.output)], preactivation_[at(node.output)], node.activation, dy,
       second ? spare_ : dx, parameter_gradient(node.kernel), parameter_gradient(node.bias)});
  if (second) call<Add<T>>(kernels_.add, {n * width(input), dx, spare_, dx});
  if (dx != nullptr) has_gradient_[at(input)] = true;
}

// The gradient of a node without parameters, to one of its inputs.
template <class T>
void PlainSession<T>::pass_gradient(int tensor, Index n, const Node& node, const Pass& pass) {
  T* const home = gradient_[at(tensor)];
  if (home == nullptr) return;
  const bool second = has_gradient_[at(tensor)];
  T* const dx = second ? spare_ : home;
  const T* dy = gradient_[at(node.output)];
  const Index elements = n * width(tensor);
  switch (node.kind) {
    case NodeKind::activation:
      call<ActivationBackward<T>>(
          kernels_.activation_backward,
          {node.activation, elements, dy, value_[at(node.input)], value_[at(node.output)], dx});
      break;
    case NodeKind::softmax:
      call<SoftmaxBackward<T>>(kernels_.softmax_backward,
                               {n, width(tensor), dy, value_[at(node.output)], dx});
      break;
    case NodeKind::dropout:
      if (pass.random) {
        call<Dropout<T>>(kernels_.dropout, {portable::stream_key(plan_.key, node.stream), pass.life,
                                            pass.first_row, n, width(tensor), node.rate, dy, dx});
        break;
      }
      call<Affine<T>>(kernels_.affine, {elements, T(1), T(0), dy, dx});
      break;
    case NodeKind::affine:
      call<Affine<T>>(kernels_.affine, {elements, static_cast<T>(node.scale), T(0), dy, dx});
      break;
    case NodeKind::add:
      call<Affine<T>>(kernels_.affine, {elements, T(1), T(0), dy, dx});
      break;
    case NodeKind::dense:
      break;
  }
  if (second) call<Add<T>>(kernels_.add, {elements, home, spare_, home});
  has_gradient_[at(tensor)] = true;
}

// One optimizer step over each run of neighbouring trainable parameters.
template <class T>
void PlainSession<T>::update(std::uint64_t updates, const OptimizerSettings& settings) {
  const auto& parameters = plan_.parameters;
  const bool still = plan_.optimizer == OptimizerKind::sgd && settings.momentum == 0;
  for (std::size_t i = 0; i < parameters.size();) {
    std::size_t end = i;
    while (end < parameters.size() && parameters[end].trainable == parameters[i].trainable) ++end;
    if (parameters[i].trainable) {
      const Index begin = parameters[i].offset;
      const Index stop = end < parameters.size() ? parameters[end].offset : plan_.parameter_size;
      call<OptimizerStep<T>>(kernels_.optimizer_step,
                             {plan_.optimizer,
                              stop - begin,
                              parameters_ + begin,
                              gradients_ + begin,
                              {still || slots_[0] == nullptr ? nullptr : slots_[0] + begin,
                               slots_[1] == nullptr ? nullptr : slots_[1] + begin},
                              settings,
                              updates + 1});
    }
    i = end;
  }
}

// -- what a session offers --------------------------------------------------

template <class T>
Ran PlainSession<T>::run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                         const Steps& done, const OptimizerSettings& settings,
                         std::span<Sum> sums) {
  value_ = home_;
  const bool whole = needs_output();
  for (Index step = 0; step < count; ++step) {
    const Index start = (first + step) * epoch.batch_size;
    const Index n = std::min(epoch.batch_size, data.count - start);
    const auto steps = static_cast<std::uint64_t>(step);
    const Pass pass{true, done.life + steps, 0};
    batch_.choose(data, &epoch, start, n);
    batch_.gather_input(data, value_[0]);
    const double total = batch_.gather_targets(data);
    forward(pass, n, whole);
    const double value = loss(n, total, gradient_[at(plan_.loss_input())]);
    if (!std::isfinite(value)) return {step, value / total};
    measure(n, value, total, sums);
    backward(pass, n);
    update(done.updates + steps, settings);
  }
  return {count, std::nullopt};
}

template <class T>
void PlainSession<T>::evaluate(const Dataset& data, Index first, Index count, std::span<Sum> sums) {
  value_ = home_;
  batch_.choose(data, nullptr, first, count);
  batch_.gather_input(data, value_[0]);
  const double total = batch_.gather_targets(data);
  forward({}, count, needs_output());
  measure(count, loss(count, total, nullptr), total, sums);
}

template <class T>
void PlainSession<T>::predict(const Dataset& data, Index first, Index count, void* out) {
  value_ = home_;
  batch_.choose(data, nullptr, first, count);
  batch_.gather_input(data, value_[0]);
  forward({}, count, true);
  machine_.read(*machine_.context, out, value_[at(plan_.output)],
                static_cast<std::size_t>(count * plan_.output_width()) * sizeof(T));
}

template <class T>
double PlainSession<T>::weight(const Dataset& data, Index first, Index count) {
  batch_.choose(data, nullptr, first, count);
  return batch_.gather_targets(data);
}

template <class T>
void PlainSession<T>::add_gradients(const Dataset& data, Index first, Index count, double total,
                                    bool training, std::uint64_t life, void* gradient,
                                    std::span<Sum> sums) {
  if (gradients_ == nullptr) allocate_gradients();
  value_ = home_;
  const Pass pass{training, life, first};
  batch_.choose(data, nullptr, first, count);
  batch_.gather_input(data, value_[0]);
  const double part = batch_.gather_targets(data);
  forward(pass, count, needs_output());
  measure(count, loss(count, total, gradient_[at(plan_.loss_input())]), part, sums);
  backward(pass, count);
  auto* const out = static_cast<T*>(gradient);
  std::vector<T> mine(static_cast<std::size_t>(plan_.parameter_size));
  machine_.read(*machine_.context, mine.data(), gradients_, mine.size() * sizeof(T));
  for (std::size_t i = 0; i < mine.size(); ++i) out[i] += mine[i];
}

}  // namespace

std::unique_ptr<Session> prepare_plain(Machine machine, const SessionRequest& request) {
  if (request.plan->element == Element::f64) {
    return std::make_unique<PlainSession<double>>(std::move(machine), request);
  }
  return std::make_unique<PlainSession<float>>(std::move(machine), request);
}

}  // namespace fastnn
