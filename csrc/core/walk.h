// A pass over the nodes of a plan, forward and back, for some rows at a time.
//
// It owns the values and gradients of those rows and knows no data set, no epoch
// and no optimizer: sessions do. One thread at a time uses it.
#pragma once

#include <vector>

#include "core/batch.h"
#include "core/machine.h"

namespace fastnn {

// What a pass over the nodes is for.
struct Pass {
  bool random = false;  // dropout acts
  std::uint64_t life = 0;
  Index first_row = 0;  // in the batch
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

// Tensors whose gradient a backward pass makes: those that a trainable parameter lies
// before, and the loss's input.
std::vector<bool> wanted_gradients(const Plan& plan);

// What makes the products of dense nodes in place of the kernel table, for a walk.
template <class T>
class DenseProducts {
 public:
  DenseProducts() = default;
  DenseProducts(const DenseProducts&) = delete;
  DenseProducts& operator=(const DenseProducts&) = delete;
  virtual ~DenseProducts() = default;

  // The weights were changed by others: what was made of them is out of date.
  virtual void refresh() = 0;
  // The optimizer took a step, which changes the trainable ones.
  virtual void refresh_trainable() = 0;
  virtual void forward(std::size_t node, const DenseForward<T>& arguments) = 0;
  // `before` is the dense node whose derivative this one takes, or none.
  virtual void backward(std::size_t node, int before, const DenseBackward<T>& arguments) = 0;
};

template <class T>
class Walk {
 public:
  // For at most `rows` rows; what it refers to must outlive it.
  Walk(const Machine& machine, Memory& memory, const Plan& plan, T* parameters, Index rows);

  // What the backward pass needs; until then only forward passes are made.
  void allocate_gradients();
  bool has_gradients() const { return ready_; }

  // Null: the kernel table's products.
  void use(DenseProducts<T>* products)
  {
    products_ = products;
  }

  T* input() const { return home_.front(); }
  const T* output() const { return value_[static_cast<std::size_t>(plan_.output)]; }
  // Whether a training step looks at the output beyond the loss's input.
  bool needs_output() const;

  // Runs all nodes, or without `whole` those before a folded head.
  void forward(const Pass& pass, Index n, bool whole);
  // The sum of weighted losses, and the weight of what counts. With `differentiate`, the gradient
  // of that sum over `divisor` stands ready for `backward`.
  struct Lost {
    double value, weight;
  };
  Lost loss(const BatchPart<T>& part, double divisor, bool differentiate);
  // What its kernel left, by row group, until a metric is measured.
  const double* loss_sums() const { return sums_; }
  // Adds up the metrics, in the places behind the loss's.
  void measure(const BatchPart<T>& part, Sums sums);
  // The kernels of these two without waiting for them: they leave sums by row group on the machine.
  const double* start_loss(const BatchPart<T>& part, double divisor, bool differentiate);
  void start_metric(std::size_t index, const BatchPart<T>& part, double* sums);
  void backward(const Pass& pass, Index n, const ParameterGradients<T>& gradients);

 private:
  template <class Arguments>
  void call(Kernel<Arguments> kernel, const Arguments& arguments) {
    machine_.call(kernel, arguments);
  }
  void find_fusions();
  void forward_node(std::size_t index, const Pass& pass, Index n);
  void dense_backward_node(std::size_t index, Index n, const ParameterGradients<T>& gradients);
  void pass_gradient(int tensor, Index n, const Node& node, const Pass& pass);

  Index width(int tensor) const { return plan_.tensors[static_cast<std::size_t>(tensor)].width; }
  T* parameter(int index) {
    return index == none ? nullptr
                         : parameters_ + plan_.parameters[static_cast<std::size_t>(index)].offset;
  }

  const Machine& machine_;
  const Kernels<T>& kernels_;
  const Plan& plan_;
  Memory& memory_;
  T* parameters_;
  Index rows_;
  bool ready_ = false;
  DenseProducts<T>* products_ = nullptr;

  // By tensor.
  std::vector<T*> home_;            // where its values are kept
  std::vector<T*> value_;           // where they are in this pass: dropout at rest moves nothing
  std::vector<T*> gradient_;        // null where none is wanted
  std::vector<bool> has_gradient_;  // in this pass
  std::vector<T*> preactivation_;   // of dense nodes whose derivative needs it
  T* spare_ = nullptr;              // a second gradient of a tensor that several nodes read

  // By node: the dense node before it whose derivative it takes, or none; and
  // whether its own is taken by the node behind.
  std::vector<int> takes_;
  std::vector<bool> taken_;

  void start_loss(const Loss& loss, const T* column_weights, int tensor, const T* weights,
                  const BatchPart<T>& part, bool by_element, T scale, double* sums, T* gradient);

  T* column_weights_ = nullptr;
  double* sums_ = nullptr;
};

}  // namespace fastnn
