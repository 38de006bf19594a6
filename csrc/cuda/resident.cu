// A run of training steps in one launch of one block, for nets so small that launches, and
// what lies between them, would cost more than the steps.
//
// A step has two halves with a barrier behind each: rows pass through all layers and back
// (resident_rows.h), then weights take their step, each by the thread that sums its
// gradient. Weights change in the second half alone, so that every dx was made with the
// weights that its y was made with.
//
// What bounds a step of iris (4-10-3, 32 rows), by reckoning: nothing but latency, of about
// 1000 cycles in all. With 8 lanes a row: two short products (60 each), the loss (four
// exchanges, an exponential, a logarithm, a quotient: 250), a product back (60), a sum
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
#include "cuda/resident_sums.h"
#include "cuda/resident_weights.h"
#include "cuda/table.h"

namespace fastnn::FASTNN_TARGET {
namespace {

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
    for (int j = t.index(); j < c && a.column_weights != nullptr; j += threads) {
      shared[a.column_weight.at + j] = a.column_weights[j];
    }
  }

  // For the steps from this one on: Adam's power of beta is a chain as long as a step.
  FASTNN_DEVICE void work_out_rates(const Thread& t, float* shared, Index step) const {
    const Index end = least(Resident::rate_steps, a.steps - step);
    for (Index s = t.index(); s < end; s += threads) {
      OptimizerSettings settings = a.settings;
      if (a.learning_rates != nullptr) settings.learning_rate = a.learning_rates[step + s];
      const auto number = a.updates + static_cast<uint64_t>(step + s) + 1;
      const AnyRates<float> rates = rates_of<float>(a.optimizer, settings, number);
      FASTNN_UNROLL
      for (int k = 0; k < most_rates; ++k) {
        shared[a.rates.at + s * most_rates + k] = rates.value[k];
      }
    }
    t.barrier();
  }

  FASTNN_DEVICE void take_rates(const float* shared, Index step, StepRates& rates) const {
    const Index s = step % Resident::rate_steps;
    rates.gradient_scale = shared[a.scale.at];
    FASTNN_UNROLL
    for (int k = 0; k < most_rates; ++k) {
      rates.rates.value[k] = shared[a.rates.at + s * most_rates + k];
    }
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
    StepRates rates{a.optimizer, 0.0F, {}};
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
      t.barrier();  // planted: halves of a resident step
      if (*reinterpret_cast<const int*>(shared + a.stop.at) != 0) {
        sums.stop(step, n);
        break;
      }
      take_rates(shared, step, rates);
      owner.update(t, a, shared, batch, n, rates);
      sums.add(batch, n, step);
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
  // Depends on the shape alone, since the order of a sum depends on it.
  if (weights <= 256) return run<256, 1, true>(context, a, weights);
  if (weights <= 512) return run<512, 1, true>(context, a, weights);
  return run<512, 4, false>(context, a, weights);
}

}  // namespace fastnn::FASTNN_TARGET
