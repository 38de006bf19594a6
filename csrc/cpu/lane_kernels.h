// Kernels over networks that train side by side, one in each lane. An array "(n, c)" here has
// net_lanes numbers for each of its n c elements, those of the networks; strides count elements.
//
// In its lane each network gets the additions, in their order, that the kernels of kernels.h make
// for it alone: chains of products as in gemm.h, losses and their sums as in softmax.cpp, loss.cpp
// and metric.cpp. A kernel has at most one row group, and uses the calling thread alone.
#pragma once

#include "core/kernels.h"

namespace fastnn {

inline constexpr Index net_lanes = 16;

template <class T>
struct LaneProduct {  // C (m, n) = A (m, k) B (k, n) + start, an element one chain
  Index m, n, k;
  const T* a;
  Index a_row, a_column;
  const T* b;
  Index b_row, b_column;
  const T* start;  // (n), null: zeros
  T* c;
};

template <class T>
struct LaneRowSum {  // out (c) = the sum of n rows
  Index n, c;
  const T* x;
  T* out;
  bool adds;  // to what is there
};

template <class T>
struct LaneSpread {  // out (count): element e of lane k is from[k][e]
  Index count;
  const T* from[net_lanes];
  T* out;
};

// Rows of each lane's own table brought into lanes. A record has the numbers of x, those of y, the
// weight, and zeros up to `width`, a multiple of lane_record.
inline constexpr Index lane_record = 16;

template <class T>
struct LaneRecords {
  Index n, columns, targets;
  Index width;
  const T* records[net_lanes];
  const Index* order[net_lanes];  // which of them
  T* x;                           // (n, columns)
  T* y;                           // (n, targets)
  T* weights;                     // (n), may be null
};

template <class T>
struct LaneLoss {
  LossKind kind;
  bool by_element;
  Index n, c;
  const T* outputs;         // (n, c)
  const T* labels;          // (n), whole numbers; null: targets
  const T* targets;         // (n, c)
  const T* weights;         // (n); null: all one
  const T* column_weights;  // c numbers for all lanes; null: all one
  const T* scale;           // of gradients, by lane
  double options[max_loss_options];
  double* sums;  // the loss of each lane, then the weight of each
  T* gradient;   // (n, c), may be null
};

template <class T>
struct LaneMetric {
  MetricKind kind;  // matches or sides
  double value;     // see MetricRows
  Index n, c;
  const T* outputs;
  const T* labels;  // as in LaneLoss
  const T* targets;
  const T* weights;
  double* sums;
};

template <class T>
struct LaneUpdate {
  OptimizerKind kind;
  unsigned kept;  // slots, as bits
  Index n;        // elements of each lane
  T* param;
  const T* grad;
  T* slots[rule_slots];
  const OptimizerSettings* settings;  // by lane
  const uint64_t* steps;              // from 1
  const bool* active;                 // whether a lane takes the step
};

template <class T>
struct LaneKernels {
  void (*product)(const LaneProduct<T>&);
  void (*row_sum)(const LaneRowSum<T>&);
  void (*spread)(const LaneSpread<T>&);
  void (*records)(const LaneRecords<T>&);
  void (*softmax_cross_entropy)(const LaneLoss<T>&);
  void (*element_loss)(const LaneLoss<T>&);
  void (*metric)(const LaneMetric<T>&);
  void (*update)(const LaneUpdate<T>&);
};

struct LaneTable {
  LaneKernels<float> f32;
  LaneKernels<double> f64;
};

template <class T>
const LaneKernels<T>& lane_kernels_of(const LaneTable& table);
template <>
inline const LaneKernels<float>& lane_kernels_of<float>(const LaneTable& table) {
  return table.f32;
}
template <>
inline const LaneKernels<double>& lane_kernels_of<double>(const LaneTable& table) {
  return table.f64;
}

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

template <class T>
void lane_product(const LaneProduct<T>&);
template <class T>
void lane_softmax_cross_entropy(const LaneLoss<T>&);

}  // namespace fastnn::FASTNN_TARGET
