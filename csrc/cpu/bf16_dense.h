// Dense nodes whose products are computed in bfloat16.
//
// Every matrix is converted once: weights after the optimizer's step, activations after the layer
// that computes them, gradients likewise, each to the forms that the products of this step read.
// Nodes that are too small to gain from conversion use the products of the kernel table.
#pragma once

#include <memory>
#include <vector>

#include "core/machine.h"
#include "core/walk.h"
#include "cpu/bf16.h"
#include "cpu/isa.h"

namespace fastnn {

// Whether any node of a walk over `rows` rows has its products computed here.
bool bf16_serves(const Plan& plan, Index rows);

// The forms of the weights, which several walks may read at once.
class Bf16Weights {
 public:
  Bf16Weights(const CpuTable& table, const Machine& machine, const Plan& plan, int bf16_parts,
              Index rows, const float* parameters);

  // Converts the weights of a node from the parameters.
  void refresh(Context& context, std::size_t node);

  struct Forms {
    bool served = false;
    Bf16Matrix kernel{};      // B form (i, o), for the forward product
    Bf16Matrix transposed{};  // B form (o, i), for dx, if dx is needed
    bool trainable = false;
  };
  const Forms& of(std::size_t node) const { return forms_[node]; }
  int bf16_parts() const { return bf16_parts_; }

  // Updates the forms of a node from a block of its kernel.
  void convert(std::size_t node, const Block& block) const;

 private:
  const CpuTable& table_;
  const Plan& plan_;
  int bf16_parts_;
  const float* parameters_;
  Memory memory_;
  std::vector<Forms> forms_;  // by node
};

class Bf16Dense final : public DenseProducts<float> {
 public:
  Bf16Dense(const CpuTable& table, const Machine& machine, Memory& memory, const Plan& plan,
            std::shared_ptr<Bf16Weights> weights, Index rows);

  void refresh() override;
  void refresh_trainable() override;
  void forward(std::size_t node, const DenseForward<float>& arguments) override;
  void backward(std::size_t node, int before, const DenseBackward<float>& arguments) override;

 private:
  // Forms of a node's input and of its gradient; a form that no product reads has no data. All but
  // x_transposed use memory that other nodes use while this one does not need it.
  struct Forms {
    Bf16Matrix x{};             // A form (n, i)
    Bf16Matrix x_transposed{};  // A form (i, n)
    Bf16Matrix dz{};            // A form (n, o)
    Bf16Matrix dz_rows{};       // B form (n, o), rows as k
    bool x_ready = false, dz_ready = false;
    int reader = none;  // the served node that alone reads the output
  };

  void find_readers();
  void take_forms(Memory& memory, Index rows);
  Bf16Convert input_of(std::size_t node, Index n, Index i) const;
  Bf16Convert gradient_of(std::size_t node, Index n, Index o) const;
  void convert(const Bf16Convert& whole);
  void multiply(const Bf16Product& product);
  void input_gradient(std::size_t node, int before, const DenseBackward<float>& arguments);
  void weight_gradient(std::size_t node, const DenseBackward<float>& arguments);

  const CpuTable& table_;
  const Machine& machine_;
  const Plan& plan_;
  std::shared_ptr<Bf16Weights> weights_;
  std::vector<Forms> forms_;  // by node
  float* dw_ = nullptr;       // for sums over rows that are too long to stay in cache
};

}  // namespace fastnn
