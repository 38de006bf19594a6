#include "core/walk.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>

#include "core/nodes/rule.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Sums of a row group that the loss or any metric leaves.
Index widest_sums(const Plan& plan) {
  Index widest = 2;
  for (const Metric& metric : plan.metrics) widest = std::max(widest, metric.width);
  return widest;
}

// The kernel of a loss.
template <class T>
Kernel<LossRows<T>> loss_kernel(const Kernels<T>& k, LossKind kind) {
  if (kind == LossKind::softmax_cross_entropy) return k.softmax_cross_entropy;
  return portable::is_of_rows(kind) ? k.row_loss : k.element_loss;
}

}  // namespace

std::vector<bool> wanted_gradients(const Plan& plan, bool of_input) {
  std::vector<bool> wanted(plan.tensors.size());
  wanted.front() = of_input;
  for (const Node& node : plan.nodes) {
    bool any = false;
    for (const int input : node.inputs) any = any || wanted[at(input)];
    for (const int p : node.parameters)
      any = any || (p != none && plan.parameters[at(p)].trainable);
    wanted[at(node.output)] = any;
  }
  wanted[at(plan.loss_input())] = true;
  return wanted;
}

template <class T>
Walk<T>::Walk(const Machine& machine, Memory& memory, const Plan& plan, T* parameters, Index rows)
    : machine_(machine),
      plan_(plan),
      memory_(memory),
      rows_(rows),
      frame_{machine, kernels<T>(*machine.table), plan, parameters} {
  for (const TensorShape& tensor : plan_.tensors) {
    frame_.home.push_back(memory_.take<T>(rows * tensor.width));
  }
  frame_.value = frame_.home;
  frame_.gradient.resize(plan.tensors.size());
  frame_.has_gradient.resize(plan.tensors.size());
  frame_.kept.resize(plan.nodes.size());
  frame_.met.resize(plan.parameters.size());
  for (const Node& node : plan.nodes) {
    const auto count = static_cast<Index>(node.encodings.size());
    auto* const place = count > 0 ? memory_.take<EncodedColumn>(count) : nullptr;
    frame_.encodings.push_back(place);
    if (count == 0) continue;
    machine.write(*machine.context, place, node.encodings.data(),
                  node.encodings.size() * sizeof(EncodedColumn));
  }
  dense_alone_read_input_ =
      std::none_of(plan.nodes.begin(), plan.nodes.end(), [](const Node& node) {
        const bool reads = std::count(node.inputs.begin(), node.inputs.end(), 0) > 0;
        return reads && node.kind != NodeKind::dense;
      });
  find_encodings();
  if (!plan_.has_loss) return;
  sums_ = memory_.take<double>(widest_sums(plan_) * max_groups);
  if (!plan_.loss.column_weights.empty()) {
    column_weights_ = memory_.take<T>(plan_.output_width());
    const std::vector<T> given(plan_.loss.column_weights.begin(), plan_.loss.column_weights.end());
    machine.write(*machine.context, column_weights_, given.data(), given.size() * sizeof(T));
  }
  for (const Metric& metric : plan_.metrics) {
    const std::vector<double>& given = metric.thresholds;
    const auto count = static_cast<Index>(given.size());
    thresholds_.push_back(count > 0 ? memory_.take<double>(count) : nullptr);
    if (count == 0) continue;
    machine.write(*machine.context, thresholds_.back(), given.data(),
                  given.size() * sizeof(double));
  }
}

template <class T>
void Walk<T>::allocate_gradients(bool of_input) {
  const std::vector<bool> wanted = wanted_gradients(plan_, of_input);
  std::vector<int> readers(plan_.tensors.size());
  Index widest_shared = 0;
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    for (const int input : node.inputs) {
      if (++readers[at(input)] > 1) widest_shared = std::max(widest_shared, frame_.width(input));
    }
    const NodeRule<T>& rule = rule_of<T>(node.kind);
    const Index kept = rows_ * rule.kept(plan_, node) + rule.kept_of_all(plan_, node);
    if (kept > 0) frame_.kept[i] = memory_.take<T>(kept);
  }
  for (std::size_t t = 0; t < wanted.size(); ++t) {
    if (wanted[t]) frame_.gradient[t] = memory_.take<T>(rows_ * plan_.tensors[t].width);
  }
  if (widest_shared > 0) frame_.spare = memory_.take<T>(rows_ * widest_shared);
  find_fusions();
  ready_ = true;
}

namespace {

// Whether a dense layer is faster if it encodes the columns itself; `width` is that of the
// encoding.
bool pays(const Node& encoding, Index width, Index outputs) {
  Index numbers = 0;
  Index added = 0;  // rows of w that are added for one row of x
  for (const EncodedColumn& column : encoding.encodings) {
    if (column.kind == ColumnKind::number) ++numbers;
    added += column.kind != ColumnKind::number ? 1 : column.bins > 0 ? 2 : 0;
  }
  // Measured: a row that is added costs as much as four columns of a product, and what finds it as
  // much as 64 elements of it.
  return width > numbers && (width - numbers) * outputs >= 4 * added * (outputs + 64);
}

}  // namespace

// A dense node encodes the columns of its input itself, where nothing else reads their encoding.
template <class T>
void Walk<T>::find_encodings() {
  DenseFusions& fusions = frame_.fusions;
  fusions.encodes.assign(plan_.nodes.size(), none);
  fusions.encoded_by.assign(plan_.nodes.size(), none);
  if (machine_.encoded_dense == nullptr) return;
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& encoding = plan_.nodes[i];
    if (encoding.kind != NodeKind::encode_columns) continue;
    int readers = encoding.output == plan_.output || encoding.output == plan_.logits ? 1 : 0;
    int dense = none;
    for (std::size_t k = i + 1; k < plan_.nodes.size(); ++k) {
      const Node& node = plan_.nodes[k];
      const auto reads = std::count(node.inputs.begin(), node.inputs.end(), encoding.output);
      readers += static_cast<int>(reads);
      if (reads > 0 && node.kind == NodeKind::dense) dense = static_cast<int>(k);
    }
    if (readers != 1 || dense == none) continue;
    const Index outputs = frame_.width(plan_.nodes[at(dense)].output);
    if (!pays(encoding, frame_.width(encoding.output), outputs)) continue;
    fusions.encodes[at(dense)] = static_cast<int>(i);
    fusions.encoded_by[i] = dense;
  }
}

// A dense node takes the derivative of the dense node that made its input, where nothing else
// reads that, and neither has a parameter of another node.
template <class T>
void Walk<T>::find_fusions() {
  DenseFusions& fusions = frame_.fusions;
  fusions.takes.assign(plan_.nodes.size(), none);
  fusions.taken.assign(plan_.nodes.size(), false);
  std::vector<int> maker(plan_.tensors.size(), none);
  std::vector<int> readers(plan_.tensors.size());
  std::vector<int> uses(plan_.parameters.size());
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    for (const int input : node.inputs) ++readers[at(input)];
    for (const int p : node.parameters) {
      if (p != none) ++uses[at(p)];
    }
    if (node.kind == NodeKind::dense) maker[at(node.output)] = static_cast<int>(i);
  }
  ++readers[at(plan_.loss_input())];
  const auto shares = [&](const Node& node) {
    return std::any_of(node.parameters.begin(), node.parameters.end(),
                       [&](int p) { return p != none && uses[at(p)] > 1; });
  };
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    const Node& node = plan_.nodes[i];
    if (node.kind != NodeKind::dense || shares(node)) continue;
    const int before = maker[at(node.input())];
    if (before == none || readers[at(node.input())] != 1 ||
        frame_.gradient[at(node.input())] == nullptr || shares(plan_.nodes[at(before)])) {
      continue;
    }
    fusions.takes[i] = before;
    fusions.taken[at(before)] = true;
  }
}

template <class T>
void Walk<T>::gather(const Batch<T>& batch, const Dataset& data, Index first, Index n) {
  const bool reads_sparse_rows =
      dense_alone_read_input_ && frame_.gradient.front() == nullptr && frame_.products == nullptr;
  frame_.sparse = reads_sparse_rows ? batch.sparse_input(data, first, n) : std::nullopt;
  if (!frame_.sparse) batch.gather_input(machine_, data, first, n, input());
}

// Where dense nodes that read sparse rows put the gradients of kernels that they step.
template <class T>
void Walk<T>::allocate_sparse_gradient() {
  Index most = 0;
  for (const Node& node : plan_.nodes) {
    if (node.kind == NodeKind::dense && node.input() == 0) {
      most = std::max(most, plan_.parameters[at(node.kernel())].size());
    }
  }
  frame_.sparse_gradient = memory_.take<T>(most);
}

template <class T>
bool Walk<T>::needs_output() const {
  if (!plan_.folded) return true;
  return std::any_of(plan_.metrics.begin(), plan_.metrics.end(),
                     [&](const Metric& metric) { return metric.tensor == plan_.output; });
}

template <class T>
void Walk<T>::forward(const Pass& pass, Index n, bool whole) {
  frame_.pass = pass;
  frame_.n = n;
  for (std::size_t i = 0; i < plan_.nodes.size(); ++i) {
    if (!whole && plan_.nodes[i].output == plan_.output) break;
    rule_of<T>(plan_.nodes[i].kind).forward(frame_, i);
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
  T* const gradient = differentiate ? frame_.gradient[at(plan_.loss_input())] : nullptr;
  const T scale = divisor > 0 ? static_cast<T>(1 / divisor) : T(0);
  start_loss(plan_.loss, column_weights_, plan_.loss_input(), part.weights, part,
             plan_.loss.by_element || part.weighs_elements, scale, sums_, gradient);
  return sums_;
}

template <class T>
void Walk<T>::start_loss(const Loss& loss, const T* column_weights, int tensor, const T* weights,
                         const BatchPart<T>& part, bool by_element, T scale,
                         double* sums,  // NOLINT(readability-non-const-parameter)
                         T* gradient) {
  LossRows<T> rows{.kind = loss.kind,
                   .by_element = by_element,
                   .weighs_elements = part.weighs_elements && weights == part.weights,
                   .n = part.n,
                   .c = frame_.width(tensor) / loss.outputs_of_target,
                   .outputs = value(tensor),
                   .labels = part.labels,
                   .targets = part.targets,
                   .weights = weights,
                   .column_weights = column_weights,
                   .scale = scale,
                   .options = {},
                   .sums = sums,
                   .gradient = gradient};
  std::copy(std::begin(loss.options), std::end(loss.options), rows.options);
  frame_.template call<LossRows<T>>(loss_kernel(frame_.kernels, loss.kind), rows);
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
    const bool by_element = !portable::is_of_rows(metric.loss.kind);
    start_loss(metric.loss, nullptr, metric.tensor, weights, part, by_element, T(0), sums, nullptr);
    return;
  }
  const Index outputs = frame_.width(metric.tensor);
  const bool by_element = part.weighs_elements && weights == part.weights;
  frame_.template call<MetricRows<T>>(frame_.kernels.metric_rows, {.kind = metric.kind,
                                                                   .value = metric.value,
                                                                   .n = part.n,
                                                                   .c = outputs,
                                                                   .output = value(metric.tensor),
                                                                   .labels = part.labels,
                                                                   .targets = part.targets,
                                                                   .weights = weights,
                                                                   .weighs_elements = by_element,
                                                                   .classes = metric.classes,
                                                                   .top = metric.top,
                                                                   .sets = metric.sets(outputs),
                                                                   .thresholds = thresholds_[index],
                                                                   .sums = sums});
}

template <class T>
void Walk<T>::collect(Index first, Index n, void* to) const {
  if (to == nullptr) return;
  const Index width = frame_.width(plan_.logits);
  machine_.read(*machine_.context, static_cast<T*>(to) + first * width, value(plan_.logits),
                static_cast<std::size_t>(n * width) * sizeof(T));
}

// From the gradient at the loss's input to that of every parameter that is wanted.
template <class T>
void Walk<T>::backward(const Pass& pass, Index n, const ParameterGradients<T>& gradients) {
  frame_.pass = pass;
  frame_.n = n;
  frame_.gradients = &gradients;
  if (frame_.sparse && !gradients.steps.empty() && frame_.sparse_gradient == nullptr) {
    allocate_sparse_gradient();
  }
  std::fill(frame_.has_gradient.begin(), frame_.has_gradient.end(), false);
  std::fill(frame_.met.begin(), frame_.met.end(), false);
  frame_.has_gradient[at(plan_.loss_input())] = true;
  for (std::size_t i = plan_.nodes.size(); i-- > 0;) {
    const Node& node = plan_.nodes[i];
    const std::size_t output = at(node.output);
    if (!frame_.has_gradient[output] || frame_.gradient[output] == nullptr) continue;
    rule_of<T>(node.kind).backward(frame_, i);
  }
}

template class Walk<float>;
template class Walk<double>;

}  // namespace fastnn
