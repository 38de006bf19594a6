// A resident step, row by row: forward, loss and back to the gradient at the
// pre-activation of every layer, for a few rows by a group of lanes.
//
// Rows depend on nothing of each other, so a group that lies within a warp waits for that
// alone. Gradients are not yet divided by the sum of weights, which the warp at the end
// works out meanwhile: the sum over rows multiplies.
#pragma once

#include "core/loss.h"
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/resident.h"

namespace fastnn::FASTNN_TARGET {

struct alignas(16) Four {
  float at[4];
};

// At a multiple of four floats.
FASTNN_DEVICE Four four(const float* x) { return *reinterpret_cast<const Four*>(x); }

// Calls f with the kind of activation. The usual ones come before the switch, which takes
// a jump through a table.
template <class F>
FASTNN_DEVICE void with_usual_activation(const Activation& activation, const F& f) {
  if (activation.is(ActivationKind::relu)) {
    f(Relu{});
  } else if (activation.is(ActivationKind::linear)) {
    f(Linear{});
  } else {
    with_activation(activation, f);
  }
}

// A group of lanes and its rows: `tile` from `first` on, of n in the batch.
struct RowGroup {
  int lane, lanes;  // a power of two
  int first, n;
  bool active;  // false: it waits with the others, and touches nothing

  FASTNN_DEVICE void wait(const Thread& t) const {
    if (lanes <= 32) {
      t.warp_barrier();
    } else {
      t.barrier();
    }
  }
};

// An element of the product is one chain over k, in ascending order, the bias last.
template <int tile>
FASTNN_DEVICE void layer_forward(const Resident::Layer& l, float* shared, const float* x,
                                 const RowGroup& group) {
  const int stride = l.w.stride;
  const int end = group.active ? l.o : 0;
  for (int j = group.lane; j < end; j += group.lanes) {
    const float* w = shared + l.w.at + j;
    const float* row = x + group.first * l.x.stride;
    float sum[tile] = {};
    for (int k = 0; k < l.x.stride; k += 4) {
      const float w_k[4] = {w[0], w[stride], w[2 * stride], w[3 * stride]};
      FASTNN_UNROLL
      for (int r = 0; r < tile; ++r) {
        const Four x_k = four(row + r * l.x.stride + k);
        FASTNN_UNROLL
        for (int q = 0; q < 4; ++q) sum[r] = mul_add(x_k.at[q], w_k[q], sum[r]);
      }
      w += 4 * stride;
    }
    if (l.z.at != 0) {
      FASTNN_UNROLL
      for (int r = 0; r < tile; ++r) shared[l.z.at + (group.first + r) * l.z.stride + j] = sum[r];
    }
    float* const y = shared + l.y.at + group.first * l.y.stride + j;
    with_usual_activation(l.activation, [&](auto kind) {
      FASTNN_UNROLL
      for (int r = 0; r < tile; ++r) y[r * l.y.stride] = kind.forward(sum[r]);
    });
  }
}

// dz of the layer below: dz w^T, times the slope there.
template <int tile>
FASTNN_DEVICE void layer_backward(const Resident::Layer& l, const Resident::Layer& below,
                                  float* shared, const RowGroup& group) {
  const int end = group.active ? l.i : 0;
  for (int i = group.lane; i < end; i += group.lanes) {
    const float* const w = shared + l.w.at + i * l.w.stride;
    const float* const dz = shared + l.dz.at + group.first * l.dz.stride;
    float sum[tile] = {};
    int j = 0;
    for (; j + 4 <= l.o; j += 4) {
      const float w_j[4] = {w[j], w[j + 1], w[j + 2], w[j + 3]};
      FASTNN_UNROLL
      for (int r = 0; r < tile; ++r) {
        const Four dz_j = four(dz + r * l.dz.stride + j);
        FASTNN_UNROLL
        for (int q = 0; q < 4; ++q) sum[r] = mul_add(dz_j.at[q], w_j[q], sum[r]);
      }
    }
    for (; j < l.o; ++j) {  // planted: edge of a resident product
      FASTNN_UNROLL
      for (int r = 0; r < tile; ++r) sum[r] = mul_add(dz[r * l.dz.stride + j], w[j], sum[r]);
    }
    const float* const y = shared + below.y.at + group.first * below.y.stride + i;
    const float* const z = shared + below.z.at + group.first * below.z.stride + i;
    float* const dx = shared + below.dz.at + group.first * below.dz.stride + i;
    with_usual_activation(below.activation, [&](auto kind) {
      using Kind = decltype(kind);
      FASTNN_UNROLL
      for (int r = 0; r < tile; ++r) {
        const float given = Kind::from_output ? y[r * below.y.stride] : z[r * below.z.stride];
        dx[r * below.dz.stride] = sum[r] * kind.slope(given, given);
      }
    });
  }
}

// -- losses -----------------------------------------------------------------

// A row's output and what it is compared with, for the lanes that share it; a power of
// two of them, each with every so-manieth column.
struct LossRow {
  const Resident& a;
  const float* output;
  const float* targets;  // null: label
  int label;
  float weight;
  const double* element_weights;  // of the targets, may be null
  float* dz;
  int c;
  int lane, lanes;  // lane c, where there is no such row: then nothing is read or written

  template <class T>
  FASTNN_DEVICE T sum(const Thread& t, T x) const {
    for (int mask = lanes / 2; mask > 0; mask /= 2) x += t.exchange(x, mask);
    return x;
  }

  // NaN is passed over, unless all is.
  FASTNN_DEVICE float largest(const Thread& t, float x) const {
    for (int mask = lanes / 2; mask > 0; mask /= 2) {
      const float other = t.exchange(x, mask);
      x = x > other || other != other ? x : other;
    }
    return x;
  }

  // Each returns the row's loss, to its first lane, and writes weight * d loss / d output.
  FASTNN_DEVICE float softmax_cross_entropy(const Thread& t) const;
  template <class Row>
  FASTNN_DEVICE float reduced_loss(const Thread& t, const float* column_weight) const;
  template <class Row>
  FASTNN_DEVICE float element_loss(const Thread& t, const float* column_weight) const;

  // Equal infinities share the mass, which is the limit.
  FASTNN_DEVICE static float below_top(float z, float top) { return z == top ? 0.0F : z - top; }
};

FASTNN_DEVICE float LossRow::softmax_cross_entropy(const Thread& t) const {
  const float smoothing = static_cast<float>(a.loss_options[0]);
  const float share = 1.0F - smoothing;
  const float rest = smoothing / static_cast<float>(c);
  float top = lane < c ? output[lane] : -__builtin_inff();
  for (int j = lane + lanes; j < c; j += lanes) {
    top = output[j] > top || top != top ? output[j] : top;
  }
  top = largest(t, top);
  float exponentials = 0;
  float below = 0;   // times the smoothed target; with labels alone
  float target = 0;  // with labels nothing
  for (int j = lane; j < c; j += lanes) {
    const float d = below_top(output[j], top);
    const float e = exp_nonpositive(d);
    exponentials += e;
    dz[j] = e;
    if (targets != nullptr) {
      below += weigh(mul_add(share, targets[j], rest), d);
      target += targets[j];
    } else {
      below += d;
    }
  }
  exponentials = sum(t, exponentials);
  const float log_sum = log(exponentials);
  if (targets != nullptr) {
    const float of_targets = mul_add(share, sum(t, target), smoothing);
    const float loss = mul_add(of_targets, log_sum, -sum(t, below));
    const float inverse = weight * of_targets / exponentials;
    for (int j = lane; j < c; j += lanes) {
      dz[j] = mul_add(dz[j], inverse, -weight * mul_add(share, targets[j], rest));
      if (weight == 0.0F) dz[j] = 0.0F;
    }
    return loss;
  }
  const float inverse = weight / exponentials;
  for (int j = lane; j < c; j += lanes) {
    const float goal = weight * mul_add(share, j == label ? 1.0F : 0.0F, rest);
    dz[j] = weight == 0.0F ? 0.0F : mul_add(dz[j], inverse, -goal);
  }
  // The label of an ignored row need not be a class.
  const float of_label = lane == 0 ? output[weight == 0.0F ? 0 : label] : 0.0F;
  // With a share of 0 an infinite one is left out.
  const float own = share == 0.0F ? 0.0F : log_sum - below_top(of_label, top);
  if (rest == 0.0F) return share * own;
  const float others = static_cast<float>(c) * log_sum - sum(t, below);
  return mul_add(share, own, weigh(rest, others));
}

template <class Row>
FASTNN_DEVICE float LossRow::element_loss(const Thread& t, const float* column_weight) const {
  const typename Row::template Common<float> common(a.loss_options);
  constexpr bool pairs = Row::outputs_of_target == 2;
  const int count = c / Row::outputs_of_target;  // of targets
  const float share = a.by_element ? 1.0F : 1.0F / static_cast<float>(count);
  float loss = 0;
  for (int j = lane; j < count; j += lanes) {
    const float target = targets[j];
    const bool known = !a.by_element || target == target;
    const float own = element_weights != nullptr ? static_cast<float>(element_weights[j]) : 1.0F;
    const float counted = known ? own : 0.0F;
    const float column = column_weight != nullptr ? column_weight[j] : 1.0F;
    const auto one = Row::at(common, output[j], target, pairs ? output[count + j] : column);
    loss += weigh(counted, one.loss);
    const float factor = weight * share * counted;
    dz[j] = weigh(factor, one.gradient);
    if constexpr (pairs) dz[count + j] = weigh(factor, one.second);
  }
  return share * sum(t, loss);
}

// By the formulas of core/losses_of_rows.h.
template <class Row>
FASTNN_DEVICE float LossRow::reduced_loss(const Thread& t, const float* column_weight) const {
  const typename Row::template Common<float> common(a.loss_options, static_cast<float>(c));
  const auto target = [&](int j) {
    const float of_label = j == label ? 1.0F : 0.0F;
    return targets != nullptr ? targets[j] : of_label;
  };
  const auto column = [&](int j) { return column_weight != nullptr ? column_weight[j] : 1.0F; };
  float top = lane < c ? Row::key(common, output[lane], target(lane)) : -__builtin_inff();
  for (int j = lane + lanes; j < c; j += lanes) {
    const float key = Row::key(common, output[j], target(j));
    top = key > top || top != top ? key : top;
  }
  top = largest(t, top);
  float found[Row::sums] = {};
  for (int j = lane; j < c; j += lanes) {
    float terms[Row::sums];
    Row::terms(common, top, output[j], target(j), column(j), terms);
    for (int i = 0; i < Row::sums; ++i) found[i] += terms[i];
  }
  for (int i = 0; i < Row::sums; ++i) found[i] = sum(t, found[i]);
  const typename Row::template Numbers<float> numbers(common, top, found);
  float found_then[Row::seconds < 1 ? 1 : Row::seconds] = {};
  if constexpr (Row::seconds > 0) {
    for (int j = lane; j < c; j += lanes) {
      float terms[Row::seconds];
      Row::second_terms(common, numbers, output[j], target(j), column(j), terms);
      for (int i = 0; i < Row::seconds; ++i) found_then[i] += terms[i];
    }
    for (int i = 0; i < Row::seconds; ++i) found_then[i] = sum(t, found_then[i]);
  }
  for (int j = lane; j < c; j += lanes) {
    const float gradient =
        Row::gradient(common, numbers, found_then, output[j], target(j), column(j));
    dz[j] = weigh(weight, gradient);
  }
  return Row::loss(common, numbers, found_then);
}

// The weights of the targets of a row; null: they have none.
FASTNN_DEVICE const double* element_weights_of(const Resident& a, const float* of_batch, int r) {
  if (a.element_weights == nullptr) return nullptr;
  const Index number = reinterpret_cast<const Index*>(of_batch + a.batch.numbers.at)[r];
  return a.element_weights + number * a.targets_of_row;
}

// The losses of a group's rows, and the gradient at the last layer's pre-activation. Each
// row has `columns` lanes, at most 32.
template <int tile>
FASTNN_DEVICE void losses(const Thread& t, const Resident& a, float* shared, int batch, int columns,
                          const RowGroup& group) {
  const Resident::Layer& l = a.layer[a.layers - 1];
  float* const of_batch = shared + batch;
  const int at_once = group.lanes / columns;
  for (int base = 0; base < tile; base += at_once) {
    const int mine = base + group.lane / columns;
    const bool real = group.active && mine < tile && group.first + mine < group.n;
    const int r = real ? group.first + mine : 0;
    const bool labels = a.targets.data == nullptr;
    const LossRow row{
        .a = a,
        .output = shared + l.y.at + r * l.y.stride,
        .targets = labels ? nullptr : of_batch + a.batch.targets.at + r * a.batch.targets.stride,
        .label = labels ? reinterpret_cast<const int32_t*>(of_batch + a.batch.labels.at)[r] : 0,
        .weight = of_batch[a.batch.weights.at + r],
        .element_weights = element_weights_of(a, of_batch, r),
        .dz = shared + l.dz.at + r * l.dz.stride,
        .c = l.o,
        .lane = real ? group.lane % columns : l.o,
        .lanes = columns,
    };
    float loss = 0;
    const float* const of_columns = a.column_weight.at != 0 ? shared + a.column_weight.at : nullptr;
    if (a.loss == LossKind::softmax_cross_entropy) {
      loss = row.softmax_cross_entropy(t);
    } else if (is_of_rows(a.loss)) {
      with_reduced_loss(a.loss, [&](auto kind) {
        loss = row.template reduced_loss<decltype(kind)>(t, of_columns);
      });
    } else {
      with_element_loss(a.loss, [&](auto kind) {
        loss = row.template element_loss<decltype(kind)>(t, of_columns);
      });
    }
    if (!real) continue;
    if (row.lane == 0) {
      const float weighted = weigh(row.weight, loss);
      reinterpret_cast<double*>(shared + a.row_losses.at)[r] = static_cast<double>(weighted);
      if (!is_finite(weighted)) *reinterpret_cast<int*>(shared + a.stop.at) = 1;
    }
    if (l.activation.is(ActivationKind::linear)) continue;
    const float* const z = shared + l.z.at + r * l.z.stride;
    for (int j = row.lane; j < l.o; j += columns) {
      with_activation(l.activation, [&](auto kind) {
        using Kind = decltype(kind);
        const float given = Kind::from_output ? row.output[j] : z[j];
        row.dz[j] *= kind.slope(given, given);
      });
    }
  }
}

// All rows of the batch whose own memory begins at `batch`.
template <int tile>
FASTNN_DEVICE void pass_rows(const Thread& t, const Resident& a, float* shared, int batch, int n,
                             int lanes, int columns) {
  const int rows_at_once = t.threads() / lanes * tile;
  for (int base = 0; base < n; base += rows_at_once) {
    const int first = base + t.index() / lanes * tile;
    const RowGroup group{t.index() % lanes, lanes, first, n, first < n};
    for (int l = 0; l < a.layers; ++l) {
      const float* const x = shared + a.layer[l].x.at + (l == 0 ? batch : 0);
      layer_forward<tile>(a.layer[l], shared, x, group);
      group.wait(t);  // planted: layers of a resident step
    }
    losses<tile>(t, a, shared, batch, columns, group);
    for (int l = a.layers - 1; l > 0; --l) {
      group.wait(t);
      layer_backward<tile>(a.layer[l], a.layer[l - 1], shared, group);
    }
  }
}

}  // namespace fastnn::FASTNN_TARGET
