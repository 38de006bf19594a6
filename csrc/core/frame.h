// What the rules of nodes work on: the rows of one pass, with values, gradients and parameters.
//
// A rule (core/nodes) is a pair of functions over a Frame. The Walk owns the memory and runs the
// rules; no rule knows it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/batch.h"
#include "core/machine.h"
#include "core/plan.h"

namespace fastnn {

// The purpose of a pass over the nodes.
struct Pass {
  bool random = false;  // dropout acts
  std::uint64_t life = 0;
  Index first_row = 0;  // in the batch
  bool moves = false;   // moving statistics take in those of the rows
  // By row, where they do not follow on one another: their places in the batch, which random
  // numbers count; null: from first_row on.
  const Index* places = nullptr;
  Exchange* exchange = nullptr;  // the batch has rows of other ranks, too; null: it has not
  Index batch = 0;               // rows of all ranks, where there is one
};

// Where a backward pass puts the gradients of parameters.
template <class T>
struct ParameterGradients {
  std::vector<T*> place;     // by parameter; null where none is wanted
  bool accumulates = false;  // they are added to what is there
  // By parameter, or empty: the step that a kernel takes as soon as its gradient is known, which
  // is then kept nowhere. One without param is not taken so.
  std::vector<OptimizerStep<T>> steps;
};

// The products of dense nodes in place of those of the kernel table, for a walk.
template <class T>
class DenseProducts {
 public:
  DenseProducts() = default;
  DenseProducts(const DenseProducts&) = delete;
  DenseProducts& operator=(const DenseProducts&) = delete;
  virtual ~DenseProducts() = default;

  // The weights were changed elsewhere: copies made from them are out of date.
  virtual void refresh() = 0;
  // The optimizer took a step, which changes the trainable ones.
  virtual void refresh_trainable() = 0;
  virtual void forward(std::size_t node, const DenseForward<T>& arguments) = 0;
  // `before` is the dense node whose derivative this one takes, or none.
  virtual void backward(std::size_t node, int before, const DenseBackward<T>& arguments) = 0;
};

// How dense nodes share work: by node, the dense node before it whose derivative it takes, or
// none; and whether the node behind takes its own.
struct DenseFusions {
  std::vector<int> takes;
  std::vector<bool> taken;
  // By node, or none: the encoding of columns that a dense node may do itself, and the dense node
  // that may do this encoding.
  std::vector<int> encodes;
  std::vector<int> encoded_by;
};

template <class T>
struct Frame {
  const Machine& machine;
  const Kernels<T>& kernels;
  const Plan& plan;
  T* parameters;

  Pass pass = {};
  Index n = 0;  // rows of this pass
  DenseProducts<T>* products = nullptr;
  DenseFusions fusions = {};
  // The input, where the dense nodes that read it take it as sparse rows; else it is in `value`.
  std::optional<SparseRows<T>> sparse = {};
  // Where such a node puts the gradient of a kernel that it steps itself; made when wanted.
  T* sparse_gradient = nullptr;

  // By tensor: the memory of its values, where they are in this pass (dropout at rest moves
  // nothing), and its gradient (null where none is wanted).
  std::vector<T*> home = {}, value = {}, gradient = {};
  std::vector<bool> has_gradient = {};  // in this pass
  T* spare = nullptr;                   // a second gradient of a tensor that several nodes read
  // By node: what its columns become, on the machine; null where it encodes none.
  std::vector<const EncodedColumn*> encodings = {};
  // By node: what its rule keeps from the forward pass for the backward pass.
  std::vector<T*> kept = {};

  const ParameterGradients<T>* gradients = nullptr;  // of a backward pass
  std::vector<bool> met = {};  // by parameter: it has a gradient of this pass already

  static std::size_t at(int index) { return static_cast<std::size_t>(index); }
  const Node& node(std::size_t index) const { return plan.nodes[index]; }
  Index width(int tensor) const { return plan.tensors[at(tensor)].width; }
  T* parameter(int index) const {
    return index == none ? nullptr : parameters + plan.parameters[at(index)].offset;
  }
  // Where the gradient of a parameter goes; null where none is wanted.
  T* place(int index) const { return index == none ? nullptr : gradients->place[at(index)]; }
  // Whether the gradients of these parameters are added to what is there: to those of other rows,
  // or of another node of this pass that has the same ones.
  bool accumulates(const std::vector<int>& indices) {
    bool adds = gradients->accumulates;
    for (const int p : indices) {
      if (p == none) continue;
      adds = adds || met[at(p)];
      met[at(p)] = true;
    }
    return adds;
  }

  // Whether a dense node, or none, encodes the columns of its input itself in this pass. Products
  // of others' take the encoding as it is.
  bool encodes_itself(int dense) const {
    return dense != none && fusions.encodes[at(dense)] != none && products == nullptr;
  }

  template <class Arguments>
  void call(Kernel<Arguments> kernel, const Arguments& arguments) const {
    machine.call(kernel, arguments);
  }

  // Where a rule writes the gradient of one of its inputs; null where none is wanted. After it
  // comes end_gradient, which adds it to the gradient that other readers gave.
  T* begin_gradient(int tensor) const {
    T* const own = gradient[at(tensor)];
    return own != nullptr && has_gradient[at(tensor)] ? spare : own;
  }
  void end_gradient(int tensor) {
    T* const own = gradient[at(tensor)];
    if (own == nullptr) return;
    if (has_gradient[at(tensor)]) {
      call<Add<T>>(kernels.add, {n * width(tensor), own, spare, own});
    }
    has_gradient[at(tensor)] = true;
  }
};

}  // namespace fastnn
