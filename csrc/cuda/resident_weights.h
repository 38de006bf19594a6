// The second half of a resident step: gradients of weights, and the step they take. The
// thread that sums a gradient owns its weight.
#pragma once

#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/resident.h"

namespace fastnn::FASTNN_TARGET {

// What all weights share in a step.
struct StepRates {
  OptimizerKind kind;
  float gradient_scale;
  AnyRates<float> rates;

  // One weight's step; `state` are the slots of the row, 0 where they are not in use.
  FASTNN_DEVICE void update(float sum, float& p, float* state) const {
    const float g = sum * gradient_scale;
    with_optimizer(kind, [&](auto rule) {
      using Rule = decltype(rule);
      Rule::step(rates_from<Rule>(rates), g, p, state, RootByProducts{});
    });
  }
};

// f(layer, i, o) of all parameters; the bias of a layer that has one is row layer.i.
template <class F>
FASTNN_DEVICE void each_parameter(const Thread& t, const Resident& a, const F& f) {
  for (int k = 0; k < a.layers; ++k) {
    const Resident::Layer& l = a.layer[k];
    for (int e = t.index(); e < l.size; e += t.threads()) f(l, e / l.o, e % l.o);
  }
}

FASTNN_DEVICE Index place_of(const Resident::Layer& l, int i, int j) {
  return i < l.i ? l.kernel + static_cast<Index>(i) * l.o + j : l.bias + j;
}

FASTNN_DEVICE bool trains(const Resident::Layer& l, int i) {
  return i < l.i ? l.trains_kernel : l.has_bias && l.trains_bias;
}

// Every weight has a thread of its own, or a few lanes that share its rows; it and its state
// stay in registers.
class Owned {
 public:
  FASTNN_DEVICE Owned(const Thread& t, const Resident& a, int parts)
      : part_(t.index() % parts), parts_(parts) {
    int unit = t.index() / parts;
    for (int k = 0; k < a.layers; ++k) {
      const Resident::Layer& l = a.layer[k];
      const int size = (l.i + 1) * l.o;
      if (unit >= 0 && unit < size && trains(l, unit / l.o)) {
        const int i = unit / l.o;
        const int j = unit % l.o;
        first_ = k == 0;
        owns_ = true;
        x_ = l.x.at + i;
        x_stride_ = l.x.stride;
        dz_ = l.dz.at + j;
        dz_stride_ = l.dz.stride;
        w_ = l.w.at + i * l.w.stride + j;
        place_ = place_of(l, i, j);
        p_ = a.parameters[place_];
        FASTNN_UNROLL
        for (int s = 0; s < rule_slots; ++s) {
          if (a.state[s] != nullptr) state_[s] = a.state[s][place_];
        }
      }
      unit -= size;
    }
  }

  FASTNN_DEVICE void update(const Thread& t, const Resident&, float* shared, int batch, int n,
                            const StepRates& rates) {
    const float* const x = shared + x_ + (first_ ? batch : 0);
    const float* const dz = shared + dz_;
    float sum = 0;
    for (int r = part_; r < n && owns_; r += parts_) {
      sum = mul_add(x[r * x_stride_], dz[r * dz_stride_], sum);
    }
    // planted: sum over part of a warp
    for (int mask = 1; mask < parts_; mask *= 2) sum += t.exchange(sum, mask);
    if (!owns_) return;
    rates.update(sum, p_, state_);
    if (part_ == 0) shared[w_] = p_;
  }

  FASTNN_DEVICE void write(const Thread&, const Resident& a, const float*) const {
    if (!owns_ || part_ != 0) return;
    a.parameters[place_] = p_;
    FASTNN_UNROLL
    for (int s = 0; s < rule_slots; ++s) {
      if (a.state[s] != nullptr) a.state[s][place_] = state_[s];
    }
  }

 private:
  int part_, parts_;
  bool first_ = false, owns_ = false;
  int x_ = 0, x_stride_ = 0, dz_ = 0, dz_stride_ = 0, w_ = 0;
  Index place_ = 0;
  float p_ = 0;
  float state_[rule_slots] = {};
};

// Weights and their state lie in shared memory; a thread works on four rows of a column at a
// time, and on the next as far away as there are threads.
class Shared {
 public:
  FASTNN_DEVICE Shared(const Thread& t, const Resident& a, float* shared) {
    for (int s = 0; s < rule_slots; ++s) {
      if (a.state[s] == nullptr) continue;
      each_parameter(t, a, [&](const Resident::Layer& l, int i, int j) {
        shared[state_of(a, s, l, i, j)] = a.state[s][place_of(l, i, j)];
      });
    }
  }

  FASTNN_DEVICE void update(const Thread& t, const Resident& a, float* shared, int batch, int n,
                            const StepRates& rates) {
    for (int k = 0; k < a.layers; ++k) {
      const Resident::Layer& l = a.layer[k];
      const int units = l.x.stride / 4 * l.o;
      for (int e = t.index(); e < units; e += t.threads()) {
        const int i = e / l.o * 4;
        const int j = e % l.o;
        const float* x = shared + l.x.at + (k == 0 ? batch : 0) + i;
        const float* dz = shared + l.dz.at + j;
        float sum[4] = {};
        for (int r = 0; r < n; ++r) {
          const Four x_r = four(x);
          const float dz_r = *dz;
          FASTNN_UNROLL
          for (int q = 0; q < 4; ++q) sum[q] = mul_add(x_r.at[q], dz_r, sum[q]);
          x += l.x.stride;
          dz += l.dz.stride;
        }
        FASTNN_UNROLL
        for (int q = 0; q < 4; ++q) {
          if (i + q <= l.i && trains(l, i + q)) update(a, shared, l, i + q, j, sum[q], rates);
        }
      }
    }
  }

  FASTNN_DEVICE void write(const Thread& t, const Resident& a, const float* shared) const {
    each_parameter(t, a, [&](const Resident::Layer& l, int i, int j) {
      if (!trains(l, i)) return;
      const Index place = place_of(l, i, j);
      a.parameters[place] = shared[l.w.at + i * l.w.stride + j];
      FASTNN_UNROLL
      for (int s = 0; s < rule_slots; ++s) {
        if (a.state[s] != nullptr) a.state[s][place] = shared[state_of(a, s, l, i, j)];
      }
    });
  }

 private:
  FASTNN_DEVICE static int state_of(const Resident& a, int s, const Resident::Layer& l, int i,
                                    int j) {
    return a.state_of[s].at + l.w.at - a.weights.at + i * l.w.stride + j;
  }

  FASTNN_DEVICE static void update(const Resident& a, float* shared, const Resident::Layer& l,
                                   int i, int j, float sum, const StepRates& rates) {
    float state[rule_slots] = {};
    FASTNN_UNROLL
    for (int s = 0; s < rule_slots; ++s) {
      if (a.state[s] != nullptr) state[s] = shared[state_of(a, s, l, i, j)];
    }
    rates.update(sum, shared[l.w.at + i * l.w.stride + j], state);
    FASTNN_UNROLL
    for (int s = 0; s < rule_slots; ++s) {
      if (a.state[s] != nullptr) shared[state_of(a, s, l, i, j)] = state[s];
    }
  }
};

}  // namespace fastnn::FASTNN_TARGET
