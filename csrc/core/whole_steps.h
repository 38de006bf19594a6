// Steps that look at all of a parameter: those of Lamb, which scales a direction to the norm of the
// weights, and of Muon, which makes the direction of a matrix orthogonal. The row of the table
// makes the direction (optimizer_whole.h), and a plain step goes along it.
#pragma once

#include "core/machine.h"
#include "core/optimizer.h"

namespace fastnn {

// A parameter's shape, and whether its step is Muon's.
struct WholeShape {
  Index rows, columns;
  bool orthogonal;

  Index size() const { return rows * columns; }
};

template <class T>
class WholeSteps {
 public:
  // For parameters that are no larger than these. What it refers to must outlive it.
  WholeSteps(const Machine& machine, Memory& memory, std::span<const WholeShape> shapes);

  // A step as any other row would make it, from its whole gradient.
  void step(OptimizerStep<T> one, const WholeShape& shape);

 private:
  void adam(OptimizerStep<T> one);
  const double* trust(const OptimizerStep<T>& one);
  void orthogonalize(const OptimizerSettings& settings, const WholeShape& shape);
  void sum_of_squares(Index n, const T* x, double* sums);
  void add(Index n, T keep, T scale, const T* x, T* y);

  const Machine& machine_;
  const Kernels<T>& kernels_;
  T* direction_ = nullptr;
  T* product_ = nullptr;  // as large, for Muon
  T* gram_ = nullptr;     // of the shorter side of a matrix, twice
  T* square_ = nullptr;
  double* squares_ = nullptr;  // (2, max_groups)
  double* factor_ = nullptr;
};

}  // namespace fastnn
