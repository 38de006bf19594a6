// A pass over the nodes of a plan, forward and back, for some rows at a time.
//
// It owns the values and gradients of those rows, and runs the rules of the nodes. It knows no
// data set, no epoch and no optimizer: sessions do. One thread at a time uses it.
#pragma once

#include <vector>

#include "core/batch.h"
#include "core/frame.h"

namespace fastnn {

// Tensors whose gradient a backward pass makes: those that a trainable parameter lies
// before, the loss's input and, if asked for, the input.
std::vector<bool> wanted_gradients(const Plan& plan, bool of_input = false);

template <class T>
class Walk {
 public:
  // For at most `rows` rows; what it refers to must outlive it.
  Walk(const Machine& machine, Memory& memory, const Plan& plan, T* parameters, Index rows);

  // What the backward pass needs; until then only forward passes are made. `of_input`: the input
  // has a gradient, too.
  void allocate_gradients(bool of_input = false);
  bool has_gradients() const { return ready_; }

  // Null: the kernel table's products.
  void use(DenseProducts<T>* products)
  {
    frame_.products = products;
  }

  // Takes the input of `n` rows of a batch from `first` on: sparse rows as they lie, where dense
  // nodes alone read them.
  void gather(const Batch<T>& batch, const Dataset& data, Index first, Index n);
  T* input() const { return frame_.home.front(); }
  const T* output() const { return value(plan_.output); }
  // Where the gradient at the output stands before `backward`, where no loss writes it, and that of
  // the input after it (null: nothing that has a gradient reads it).
  T* output_gradient() const { return frame_.gradient[static_cast<std::size_t>(plan_.output)]; }
  const T* input_gradient() const {
    return frame_.has_gradient.front() ? frame_.gradient.front() : nullptr;
  }
  // Whether the backward pass made a gradient of this parameter.
  bool has_parameter_gradient(std::size_t index) const { return frame_.met[index]; }
  // Whether a training step reads the output beyond the loss's input.
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
  // Brings the logits of n rows to the host, as rows first..first+n of `to`; null: it does nothing.
  void collect(Index first, Index n, void* to) const;
  void backward(const Pass& pass, Index n, const ParameterGradients<T>& gradients);

 private:
  void find_fusions();
  void allocate_sparse_gradient();
  void find_encodings();
  void start_loss(const Loss& loss, const T* column_weights, int tensor, const T* weights,
                  const BatchPart<T>& part, bool by_element, T scale, double* sums, T* gradient);
  T* value(int tensor) const { return frame_.value[static_cast<std::size_t>(tensor)]; }

  const Machine& machine_;
  const Plan& plan_;
  Memory& memory_;
  Index rows_;
  bool ready_ = false;
  bool dense_alone_read_input_;
  Frame<T> frame_;
  T* column_weights_ = nullptr;
  std::vector<double*> thresholds_;  // of each metric, or null
  double* sums_ = nullptr;
};

}  // namespace fastnn
