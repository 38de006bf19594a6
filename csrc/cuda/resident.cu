// A run of training steps in one launch of one block, for nets so small that launches, and
// what lies between them, would cost more than the steps.
//
// A step has two halves with a barrier behind each: rows pass through all layers and back
// (resident_rows.h), then weights take their step, each by the thread that sums its
// gradient. Weights change in the second half alone, so that every dx was made with the
// weights that its y was made with.
//
// What bounds a step of iris (4-10-3, 32 rows): nothing but latency, of about 1000 cycles in
// all. With 8 lanes a row: two short products (60 each), the loss (three rounds of
// exchanges, an exponential, a logarithm and two quotients: 250), a product back (60), a sum
// over 16 rows (120), Adam (a root and a quotient: 100), two barriers (30 each), and loops
// and addresses between. 8 warps give out about 400 instructions each, 800 a scheduler:
// twice the warps would run out of turns to give them out, half of them would wait longer.
// So that nothing else stands in the way, rows for the next step are fetched while this one
// runs, Adam's powers of beta are worked out for many steps at once, and what sums up the
// loss and metrics is one warp that owns few or no weights.
#include "core/math.h"
#include "cuda/kernels.h"
#include "cuda/resident_data.h"
#include "cuda/resident_rows.h"
#include "cuda/table.h"

namespace fastnn::FASTNN_TARGET {
namespace {

FASTNN_DEVICE double* doubles(float* x) { return reinterpret_cast<double*>(x); }

// What all weights share in a step.
struct StepRates {
  OptimizerKind kind;
  bool nesterov;
  float gradient_scale;
  AdamRates<float> adam;
  SgdRates<float> sgd;

  FASTNN_DEVICE void update(float sum, float& p, float& m, float& v) const {
    const float g = sum * gradient_scale;
    if (kind == OptimizerKind::adam) {
      fastnn::FASTNN_TARGET::adam(adam, g, p, m, v);
    } else {
      fastnn::FASTNN_TARGET::sgd(sgd, nesterov, g, p, m);
    }
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

// -- who owns the weights ---------------------------------------------------

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
        if (a.state[0] != nullptr) m_ = a.state[0][place_];
        if (a.state[1] != nullptr) v_ = a.state[1][place_];
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
    for (int mask = 1; mask < parts_; mask *= 2) sum += t.exchange(sum, mask);
    if (!owns_) return;
    rates.update(sum, p_, m_, v_);
    if (part_ == 0) shared[w_] = p_;
  }

  FASTNN_DEVICE void write(const Thread&, const Resident& a, const float*) const {
    if (!owns_ || part_ != 0) return;
    a.parameters[place_] = p_;
    if (a.state[0] != nullptr) a.state[0][place_] = m_;
    if (a.state[1] != nullptr) a.state[1][place_] = v_;
  }

 private:
  int part_, parts_;
  bool first_ = false, owns_ = false;
  int x_ = 0, x_stride_ = 0, dz_ = 0, dz_stride_ = 0, w_ = 0;
  Index place_ = 0;
  float p_ = 0, m_ = 0, v_ = 0;
};

// Weights and their state lie in shared memory; a thread works on four rows of a column at a
// time, and on the next as far away as there are threads.
class Shared {
 public:
  FASTNN_DEVICE Shared(const Thread& t, const Resident& a, float* shared) {
    for (int s = 0; s < 2; ++s) {
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
      for (int s = 0; s < 2; ++s) {
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
    float m = a.state[0] != nullptr ? shared[state_of(a, 0, l, i, j)] : 0.0F;
    float v = a.state[1] != nullptr ? shared[state_of(a, 1, l, i, j)] : 0.0F;
    rates.update(sum, shared[l.w.at + i * l.w.stride + j], m, v);
    if (a.state[0] != nullptr) shared[state_of(a, 0, l, i, j)] = m;
    if (a.state[1] != nullptr) shared[state_of(a, 1, l, i, j)] = v;
  }
};

// -- loss and metrics, summed up by the last warp ---------------------------

FASTNN_DEVICE int largest_of(const float* x, int c) {
  int best = 0;
  for (int j = 1; j < c; ++j) best = x[j] > x[best] ? j : best;
  return best;
}

struct Counted {
  double value, weight;
};

// Of a row with targets: the mean of f(output, target) over those that are known or, for
// binary accuracy, their sum and number.
FASTNN_DEVICE Counted over_targets(MetricKind kind, double threshold, const float* output,
                                   const float* targets, int c) {
  Counted sum{0, 0};
  for (int j = 0; j < c; ++j) {
    const float target = targets[j];
    if (target != target) continue;
    const auto y = static_cast<double>(output[j]);
    const double error = y - static_cast<double>(target);
    if (kind == MetricKind::binary_accuracy) {
      sum.value += (y > threshold) == (target > 0.5F) ? 1 : 0;
    } else {
      sum.value += kind == MetricKind::mean_squared_error ? error * error : abs(error);
    }
    sum.weight += 1;
  }
  if (kind == MetricKind::binary_accuracy || sum.weight == 0) return sum;
  return {sum.value / sum.weight, 1};
}

class Sums {
 public:
  FASTNN_DEVICE Sums(const Thread& t, const Resident& a, float* shared)
      : t_(t),
        a_(a),
        shared_(shared),
        mine_(t.warp() == t.threads() / 32 - 1),
        plain_(a.loss != LossKind::sigmoid_cross_entropy && a.row_weights == nullptr && !a.ignores),
        full_scale_(static_cast<float>(1 / static_cast<double>(a.rows))),
        totals_(doubles(shared + a.totals.at) + static_cast<Index>(t.lane()) * 2 * a.items) {
    for (int k = 0; k < 2 * a.items && mine_; ++k) totals_[k] = 0;
  }

  // What the losses divide by, before the rows pass.
  FASTNN_DEVICE void weigh_rows(int batch, int n) {
    if (!mine_) return;
    if (plain_) {
      weight_ = static_cast<double>((n - t_.lane() + 31) / 32);
      total_ = static_cast<double>(n);
    } else {
      weight_ = 0;
      for (int r = t_.lane(); r < n; r += 32) weight_ += weight(batch, r);
      total_ = sum_of_warp(t_, weight_);
    }
    if (t_.lane() != 0) return;
    if (plain_ && n == a_.rows) {
      shared_[a_.scale.at] = full_scale_;
    } else {
      shared_[a_.scale.at] = total_ > 0 ? static_cast<float>(1 / total_) : 0.0F;
    }
  }

  FASTNN_DEVICE void add(int batch, int n) const {
    if (!mine_) return;
    totals_[0] += own_losses(n);
    totals_[1] += weight_;
    for (int k = 1; k < a_.items; ++k) {
      Counted sum{0, 0};
      for (int r = t_.lane(); r < n; r += 32) {
        const int weights = a_.metrics.weighted[k - 1] ? a_.batch.weights.at : a_.batch.present.at;
        const double weight = static_cast<double>(shared_[batch + weights + r]);
        if (weight == 0) continue;
        const Counted counted = over_row(k - 1, batch, r);
        sum.value += weight * counted.value;
        sum.weight += weight * counted.weight;
      }
      totals_[2 * k] += sum.value;
      totals_[2 * k + 1] += sum.weight;
    }
  }

  // The loss of this step was bad.
  FASTNN_DEVICE void stop(Index step, int n) const {
    if (!mine_) return;
    const double loss = sum_of_warp(t_, own_losses(n));
    if (t_.lane() == 0) *a_.progress = {step, loss / total_};
  }

  FASTNN_DEVICE void write() const {
    if (!mine_) return;
    for (int k = 0; k < 2 * a_.items; ++k) {
      const double sum = sum_of_warp(t_, totals_[k]);
      if (t_.lane() == 0) a_.sums[k] = sum;
    }
  }

 private:
  FASTNN_DEVICE const float* targets(int batch, int r) const {
    return shared_ + batch + a_.batch.targets.at + r * a_.batch.targets.stride;
  }

  FASTNN_DEVICE double weight(int batch, int r) const {
    const auto weight = static_cast<double>(shared_[batch + a_.batch.weights.at + r]);
    if (a_.loss != LossKind::sigmoid_cross_entropy) return weight;
    const float* const target = targets(batch, r);
    int known = 0;
    for (int j = 0; j < a_.layer[a_.layers - 1].o; ++j) known += target[j] == target[j] ? 1 : 0;
    return weight * known;
  }

  FASTNN_DEVICE double own_losses(int n) const {
    double sum = 0;
    for (int r = t_.lane(); r < n; r += 32) sum += doubles(shared_ + a_.row_losses.at)[r];
    return sum;
  }

  FASTNN_DEVICE Counted over_row(int metric, int batch, int r) const {
    const int c = a_.layer[a_.layers - 1].o;
    const MetricKind kind = a_.metrics.kind[metric];
    const Resident::Place& place = a_.metrics.output[metric];
    const float* const output = shared_ + place.at + r * place.stride;
    if (kind == MetricKind::sparse_categorical_accuracy ||
        kind == MetricKind::categorical_accuracy) {
      const int label = a_.targets.data == nullptr
                            ? reinterpret_cast<int32_t*>(shared_ + batch + a_.batch.labels.at)[r]
                            : largest_of(targets(batch, r), c);
      return {largest_of(output, c) == label ? 1.0 : 0.0, 1};
    }
    return over_targets(kind, a_.metrics.value[metric], output, targets(batch, r), c);
  }

  const Thread& t_;
  const Resident& a_;
  float* shared_;
  bool mine_;
  bool plain_;  // the weights of all rows are 1
  float full_scale_;
  double* totals_;
  double weight_ = 0, total_ = 0;  // of this step: the lane's rows, all rows
};

// -- the kernel -------------------------------------------------------------

template <int threads_of_block, int tile, bool owned>
struct TrainResident {
  static constexpr int threads = threads_of_block;
  static constexpr int resident_blocks = 1;
  Resident a;
  int lanes;    // of a group of rows
  int columns;  // lanes that share a row's loss
  int parts;    // lanes that share a weight
  int rows;     // that there is room for

  size_t shared_bytes() const { return static_cast<size_t>(a.floats) * sizeof(float); }

  FASTNN_DEVICE auto make_owner(const Thread& t, float* shared) const {
    if constexpr (owned) {
      return Owned(t, a, parts);
    } else {
      return Shared(t, a, shared);
    }
  }

  // Weights, ones in the column that meets the bias, zeros wherever loops run over the edge.
  FASTNN_DEVICE void fill(const Thread& t, float* shared) const {
    for (int e = t.index(); e < a.floats; e += threads) shared[e] = 0.0F;
    t.barrier();
    for (int k = 0; k < a.layers; ++k) {
      const Resident::Layer& l = a.layer[k];
      for (int r = t.index(); r < rows; r += threads) {
        shared[l.x.at + r * l.x.stride + l.i] = 1.0F;
        if (k == 0) shared[a.batch.stride + l.x.at + r * l.x.stride + l.i] = 1.0F;
      }
    }
    each_parameter(t, a, [&](const Resident::Layer& l, int i, int j) {
      shared[l.w.at + i * l.w.stride + j] = a.parameters[place_of(l, i, j)];
    });
    const int c = a.layer[a.layers - 1].o;
    for (int j = t.index(); j < c && a.pos_weights != nullptr; j += threads) {
      shared[a.pos_weight.at + j] = a.pos_weights[j];
    }
  }

  // Adam's for the steps from this one on: its power of beta is a chain as long as a step.
  FASTNN_DEVICE void work_out_rates(const Thread& t, float* shared, Index step) const {
    if (a.optimizer != OptimizerKind::adam) return;
    const Index end = least(Resident::rate_steps, a.steps - step);
    for (Index s = t.index(); s < end; s += threads) {
      const auto number = a.updates + static_cast<uint64_t>(step + s) + 1;
      const AdamRates<float> rates = adam_rates<float>(a.settings, number);
      shared[a.rates.at + 2 * s] = rates.scale;
      shared[a.rates.at + 2 * s + 1] = rates.epsilon;
    }
    t.barrier();
  }

  FASTNN_DEVICE void take_rates(const float* shared, Index step, StepRates& rates) const {
    const Index s = step % Resident::rate_steps;
    rates.gradient_scale = shared[a.scale.at];
    rates.adam.scale = shared[a.rates.at + 2 * s];
    rates.adam.epsilon = shared[a.rates.at + 2 * s + 1];
  }

  FASTNN_DEVICE void operator()(const Thread& t) const {
    float* const shared = &t.template shared<float>();
    fill(t, shared);
    auto owner = make_owner(t, shared);
    Sums sums(t, a, shared);
    Data data(t, a, shared);
    for (Index step = 0; step < 2; ++step) {
      data.load_numbers(step);
      data.store_numbers(step);
    }
    t.barrier();
    data.load(0);
    data.store(0);
    StepRates rates{a.optimizer, a.settings.nesterov && a.state[0] != nullptr, 0.0F,
                    adam_rates<float>(a.settings, 1), sgd_rates<float>(a.settings)};
    t.barrier();
    if (t.index() == 0) *a.progress = {-1, 0};
    for (Index step = 0; step < a.steps; ++step) {
      if (step % Resident::rate_steps == 0) work_out_rates(t, shared, step);
      const int n = data.rows(step);
      const int batch = data.place(step);
      data.load_numbers(step + 2);
      data.load(step + 1);
      sums.weigh_rows(batch, n);
      pass_rows<tile>(t, a, shared, batch, n, lanes, columns);
      t.barrier();
      if (*reinterpret_cast<const int*>(shared + a.stop.at) != 0) {
        sums.stop(step, n);
        break;
      }
      take_rates(shared, step, rates);
      owner.update(t, a, shared, batch, n, rates);
      sums.add(batch, n);
      data.store(step + 1);
      data.store_numbers(step + 2);
      t.barrier();
    }
    owner.write(t, a, shared);
    sums.write();
  }
};

constexpr int at_least(int x) {
  int power = 1;
  while (power < x) power *= 2;
  return power;
}

constexpr int at_most(int x) { return x < at_least(x) ? at_least(x) / 2 : x; }

template <int threads, int tile, bool owned>
Status run(Context& context, const Resident& a, int weights) {
  const int rows =
      static_cast<int>(ceil_div(a.rows, Resident::row_multiple)) * Resident::row_multiple;
  const int tiles = at_least(static_cast<int>(ceil_div(a.rows, tile)));
  int widest = 0;
  for (int k = 0; k < a.layers; ++k) {
    widest = static_cast<int>(most(widest, most(a.layer[k].o, k > 0 ? a.layer[k].i : 0)));
  }
  const int lanes =
      static_cast<int>(least(most(threads / tiles, 4), most(at_least(widest), tile == 1 ? 4 : 32)));
  const int c = a.layer[a.layers - 1].o;
  const int columns = static_cast<int>(least(at_least(c), least(lanes, 32)));
  const int parts = owned ? static_cast<int>(least(at_most(threads / weights), 4)) : 1;
  return launch(context, 1, TrainResident<threads, tile, owned>{a, lanes, columns, parts, rows});
}

}  // namespace

Status resident(Context& context, const Resident& a) {
  if (a.steps <= 0) return Status::ok;
  int weights = 0;
  for (int k = 0; k < a.layers; ++k) weights += (a.layer[k].i + 1) * a.layer[k].o;
  // Of shape alone: in which order a sum goes depends on it.
  if (weights <= 256) return run<256, 1, true>(context, a, weights);
  if (weights <= 512) return run<512, 1, true>(context, a, weights);
  return run<512, 4, false>(context, a, weights);
}

}  // namespace fastnn::FASTNN_TARGET
