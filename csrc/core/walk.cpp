#include "core/walk.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

#include "core/random.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Sums of a row group that the loss or any metric leaves.
Index widest_sums(const Plan& plan) {
  Index widest = 2;
  for (const Metric& metric : plan.metrics) widest = std::max(widest, metric.width);
  return widest;
}

}  // namespace

std::vector<bool> wanted_gradients(const Plan& plan) {
  std::vector<bool> wanted(plan.tensors.size());
  for (const Node& node : plan.nodes) {
    bool any = false;
    for (const int input : {node.input, node.input_b}) {
      any = any || (input != none && wanted[at(input)]);
    }
    for (const int p : {node.kernel, node.bias}) {
      any = any || (p != none && plan.parameters[at(p)].trainable);
    }
    wanted[at(node.output)] = any;
  }
  wanted[at(plan.loss_input())] = true;
  return wanted;
}

template <class T>
Walk<T>::Walk(const Machine& machine, Memory& memory, const Plan& plan, T* parameters, Index rows)
    : machine_(machine),
      kernels_(kernels<T>(*machine.table)),
      plan_(plan),
      memory_(memory),
      parameters_(parameters),
      rows_(rows),
      gradient_(plan.tensors.size()),
      has_gradient_(plan.tensors.size()),
      preactivation_(plan.tensors.size()),
      takes_(plan.nodes.size(), none),
      taken_(plan.nodes.size()) {
  for (const TensorShape& tensor : plan_.tensors)
    home_.push_back(memory_.take<T>(rows * tensor.width));
  value_ = home_;
  if (!plan_.has_loss) return;
  sums_ = memory_.take<double>(widest_sums(plan_) * max_groups);
  if (!plan_.loss.column_weights.empty()) {
    column_weights_ = memory_.take<T>(plan_.output_width());
    const std::vector<T> given(plan_.loss.column_weights.begin(), plan_.loss.column_weights.end());
    machine.write(*machine.context, column_weights_, given.data(), given.size() * sizeof(T));
  }
}

template <class T>
void Walk<T>::allocate_gradients() {
  const std::vector<bool> wanted = wanted_gradients(plan_);
  std::vector<int> readers(home_.size());
  Index widest_shared = 0;
  for (const Node& node : plan_.nodes) {
    for (const int input : {node.input, node.input_b}) {
      if (input == none) continue;
      if (++readers[at(input)] > 1) widest_shared = std::max(widest_shared, width(input));
    }
    if (node.kind == NodeKind::dense && portable::needs_preactivation(node.activation)) {
      preactivation_[at(node.output)] = memory_.take<T>(rows_ * width(node.output));
    }
  }
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    if (wanted[t]) gradient_[t] = memory_.take<T>(rows_ * plan_.tensors[t].width);
  }
  if (widest_shared > 0) spare_ = memory_.take<T>(rows_ * widest_shared);
  find_fusions();
  ready_ = true;
}

// A dense node takes the derivative of the dense node that made its input, where
// nothing else reads that.
template <class T>
void Walk<T>::find_fusions() {
  std::vector<int> maker(home_.size(), none);
  std::vector<int> readers(home_.size());
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    ++readers[at(node.input)];
    if (node.input_b != none) ++readers[at(node.input_b)];
    if (node.kind == NodeKind::dense) maker[at(node.output)] = static_cast<int>(i);
  }
  ++readers[at(plan_.loss_input())];
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    const int before = maker[at(node.input)];
    if (node.kind != NodeKind::dense || before == none || readers[at(node.input)] != 1 ||
        gradient_[at(node.input)] == nullptr) {
      continue;
    }
    takes_[i] = before;
    taken_[at(before)] = true;
  }
}

template <class T>
bool Walk<T>::needs_output() const {
  if (!plan_.folded) return true;
  return std::any_of(plan_.metrics.begin(), plan_.metrics.end(),
                     [&](const Metric& metric) { return metric.tensor == plan_.output; });
}

template <class T>
void Walk<T>::forward(const Pass& pass, Index n, bool whole) {
  value_ = home_;
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    if (!whole && plan_.nodes[i].output == plan_.output) break;
    forward_node(i, pass, n);
  }
}

template <class T>
void Walk<T>::forward_node(std::size_t index, const Pass& pass, Index n) {
  const Node& node = plan_.nodes[index];
  const T* x = value_[at(node.input)];
  const Index elements = n * width(node.input);
  if (node.kind == NodeKind::dropout && !pass.random) {
    value_[at(node.output)] = value_[at(node.input)];
    return;
  }
  if (node.kind == NodeKind::dropout) value_[at(node.output)] = home_[at(node.output)];
  T* y = value_[at(node.output)];
  switch (node.kind) {
    case NodeKind::dense: {
      const DenseForward<T> arguments{n,
                                      width(node.input),
                                      width(node.output),
                                      x,
                                      parameter(node.kernel),
                                      parameter(node.bias),
                                      node.activation,
                                      preactivation_[at(node.output)],
                                      y};
      if (products_ != nullptr) {
        products_->forward(index, arguments);
      } else {
        call<DenseForward<T>>(kernels_.dense_forward, arguments);
      }
      break;
    }
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

template <class T>
auto Walk<T>::loss(const BatchPart<T>& part, double divisor, bool differentiate) -> Lost {
  const double* const sums = start_loss(part, divisor, differentiate);
  std::array<double, 2> total{};
  machine_.add_groups(sums, part.n, total);
  return {total[0], total[1]};
}

template <class T>
const double* Walk<T>::start_loss(const BatchPart<T>& part, double divisor, bool differentiate) {
  T* const gradient = differentiate ? gradient_[at(plan_.loss_input())] : nullptr;
  const T scale = divisor > 0 ? static_cast<T>(1 / divisor) : T(0);
  start_loss(plan_.loss, column_weights_, plan_.loss_input(), part.weights, part,
             portable::counts_elements(plan_.loss.kind), scale, sums_, gradient);
  return sums_;
}

template <class T>
void Walk<T>::start_loss(const Loss& loss, const T* column_weights, int tensor, const T* weights,
                         const BatchPart<T>& part, bool by_element, T scale, double* sums,
                         T* gradient) {
  LossRows<T> rows{.kind = loss.kind,
                   .by_element = by_element,
                   .n = part.n,
                   .c = width(tensor),
                   .outputs = value_[at(tensor)],
                   .labels = part.labels,
                   .targets = part.targets,
                   .weights = weights,
                   .column_weights = column_weights,
                   .scale = scale,
                   .options = {},
                   .sums = sums,
                   .gradient = gradient};
  std::copy(std::begin(loss.options), std::end(loss.options), rows.options);
  call<LossRows<T>>(portable::looks_at_rows(loss.kind) ? kernels_.row_loss : kernels_.element_loss,
                    rows);
}

template <class T>
void Walk<T>::measure(const BatchPart<T>& part, Sums sums) {
  std::size_t place = 2;
  for (std::size_t i = 0; i < plan_.metrics.size(); ++i) {
    const auto metric_sums = static_cast<std::size_t>(plan_.metrics[i].width);
    start_metric(i, part, sums_);
    machine_.add_groups(sums_, part.n, sums.subspan(place, metric_sums));
    place += metric_sums;
  }
}

template <class T>
void Walk<T>::start_metric(std::size_t index, const BatchPart<T>& part, double* sums) {
  const Metric& metric = plan_.metrics[index];
  const T* const weights = metric.weighted && part.weights != nullptr ? part.weights : part.present;
  if (metric.kind == MetricKind::mean_of) {
    // As a metric a missing target never counts.
    const bool by_element = !portable::looks_at_rows(metric.loss.kind);
    start_loss(metric.loss, nullptr, metric.tensor, weights, part, by_element, T(0), sums, nullptr);
    return;
  }
  call<MetricRows<T>>(
      kernels_.metric_rows,
      {metric.kind, metric.value, part.n, width(metric.tensor), value_[at(metric.tensor)],
       part.labels, part.targets, weights, metric.largest, sums});
}

// From the gradient at the loss's input to that of every parameter that is wanted.
template <class T>
void Walk<T>::backward(const Pass& pass, Index n, const ParameterGradients<T>& gradients) {
  std::fill(has_gradient_.begin(), has_gradient_.end(), false);
  has_gradient_[at(plan_.loss_input())] = true;
  for (std::size_t i = plan_.nodes.size(); i-- > 0;) {
    const Node& node = plan_.nodes[i];
    if (!has_gradient_[at(node.output)] || gradient_[at(node.output)] == nullptr) continue;
    if (node.kind == NodeKind::dense) {
      dense_backward_node(i, n, gradients);
      continue;
    }
    for (const int input : {node.input, node.input_b}) {
      if (input != none) pass_gradient(input, n, node, pass);
    }
  }
}

template <class T>
void Walk<T>::dense_backward_node(std::size_t index, Index n,
                                  const ParameterGradients<T>& gradients) {
  const Node& node = plan_.nodes[index];
  const auto place = [&](int p) { return p == none ? nullptr : gradients.place[at(p)]; };
  const int input = node.input;
  T* const dx = gradient_[at(input)];
  const bool second = dx != nullptr && has_gradient_[at(input)];
  const bool done = taken_[index];  // its derivative and its bias's gradient
  T* const dy = gradient_[at(node.output)];
  DenseBackward<T> arguments{
      .n = n,
      .i = width(input),
      .o = width(node.output),
      .dy = dy,
      .x = value_[at(input)],
      .w = parameter(node.kernel),
      .y = value_[at(node.output)],
      .z = preactivation_[at(node.output)],
      .activation = done ? Activation{} : node.activation,
      .dz = dy,
      .dx = second ? spare_ : dx,
      .dw = place(node.kernel),
      .db = done ? nullptr : place(node.bias),
  };
  arguments.accumulates = gradients.accumulates;
  if (takes_[index] != none) {
    const Node& before = plan_.nodes[at(takes_[index])];
    arguments.x_activation = before.activation;
    arguments.x_z = preactivation_[at(before.output)];
    arguments.dx_sum = place(before.bias);
  }
  const bool streams =
      !gradients.steps.empty() && gradients.steps[at(node.kernel)].param != nullptr;
  if (streams && arguments.dw != nullptr) {
    arguments.dw = nullptr;
    arguments.update = &gradients.steps[at(node.kernel)];
  }
  if (products_ != nullptr) {
    products_->backward(index, takes_[index], arguments);
  } else {
    call<DenseBackward<T>>(kernels_.dense_backward, arguments);
  }
  if (second) call<Add<T>>(kernels_.add, {n * width(input), dx, spare_, dx});
  if (dx != nullptr) has_gradient_[at(input)] = true;
}

// The gradient of a node without parameters, to one of its inputs.
template <class T>
void Walk<T>::pass_gradient(int tensor, Index n, const Node& node, const Pass& pass) {
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

template class Walk<float>;
template class Walk<double>;

}  // namespace fastnn
