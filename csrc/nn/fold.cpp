// Batch normalizations that become a part of the dense node before them: see nn/fold.h.
#include "nn/fold.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// How many nodes read a tensor, with one more where the plan itself does.
int readers(const Plan& plan, int tensor) {
  int count = tensor == plan.output || tensor == plan.logits ? 1 : 0;
  for (const Node& node : plan.nodes) {
    count += static_cast<int>(std::count(node.inputs.begin(), node.inputs.end(), tensor));
  }
  return count;
}

int uses(const Plan& plan, int parameter) {
  int count = 0;
  for (const Node& node : plan.nodes) {
    count +=
        static_cast<int>(std::count(node.parameters.begin(), node.parameters.end(), parameter));
  }
  return count;
}

// The dense node that made a tensor for one reader, without an activation; null: there is none.
Node* dense_before(Plan& plan, int tensor) {
  if (readers(plan, tensor) != 1) return nullptr;
  for (Node& node : plan.nodes) {
    if (node.output != tensor) continue;
    const bool plain = node.kind == NodeKind::dense && node.bias() != none &&
                       node.activation.is(ActivationKind::linear);
    return plain && uses(plan, node.kernel()) == 1 && uses(plan, node.bias()) == 1 ? &node
                                                                                   : nullptr;
  }
  return nullptr;
}

template <class T>
void scale(const Plan& plan, const Node& norm, const Node& dense, ParameterBuffer& parameters) {
  const auto values = [&](int p) {
    return p == none ? nullptr : static_cast<T*>(parameters.at(plan.parameters[at(p)].offset));
  };
  const T* const gamma = values(norm.parameters[0]);
  const T* const beta = values(norm.parameters[1]);
  const T* const mean = values(norm.parameters[2]);
  const T* const variance = values(norm.parameters[3]);
  T* const kernel = values(dense.kernel());
  T* const bias = values(dense.bias());
  const Parameter& shape = plan.parameters[at(dense.kernel())];
  for (Index j = 0; j < shape.columns; ++j) {
    const double own = gamma != nullptr ? static_cast<double>(gamma[j]) : 1.0;
    const double factor = own / std::sqrt(static_cast<double>(variance[j]) + norm.epsilon);
    const double offset = beta != nullptr ? static_cast<double>(beta[j]) : 0.0;
    const double centered = static_cast<double>(bias[j]) - static_cast<double>(mean[j]);
    bias[j] = static_cast<T>(centered * factor + offset);
    for (Index i = 0; i < shape.rows; ++i) {
      T& weight = kernel[i * shape.columns + j];
      weight = static_cast<T>(static_cast<double>(weight) * factor);
    }
  }
}

// Makes the activation that alone reads a dense node's output its own.
void take_activation(Plan& plan, int output) {
  if (readers(plan, output) != 1) return;
  Node* dense = nullptr;
  for (Node& node : plan.nodes) {
    if (node.output == output) dense = &node;
  }
  const auto reader = std::find_if(plan.nodes.begin(), plan.nodes.end(), [&](const Node& node) {
    return node.kind == NodeKind::activation && node.input() == output;
  });
  if (dense == nullptr || reader == plan.nodes.end()) return;
  dense->activation = reader->activation;
  dense->output = reader->output;
  plan.nodes.erase(reader);
}

}  // namespace

void fold_batch_normalization(Plan& plan, ParameterBuffer& parameters) {
  for (std::size_t i = 0; i < plan.nodes.size();) {
    const Node norm = plan.nodes[i];
    Node* const dense =
        norm.kind == NodeKind::batch_norm ? dense_before(plan, norm.input()) : nullptr;
    if (dense == nullptr) {
      ++i;
      continue;
    }
    if (plan.element == Element::f64) {
      scale<double>(plan, norm, *dense, parameters);
    } else {
      scale<float>(plan, norm, *dense, parameters);
    }
    dense->output = norm.output;
    plan.nodes.erase(plan.nodes.begin() + static_cast<std::ptrdiff_t>(i));
    take_activation(plan, norm.output);
  }
}

}  // namespace fastnn
