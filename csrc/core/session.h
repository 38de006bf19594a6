// A plan made ready to run on one backend.
//
// A session owns what its hardware needs: activations, gradients, packed
// copies, device memory. It borrows the parameters and the optimizer's state.
// It is used by one thread at a time.
#pragma once

#include <memory>
#include <optional>
#include <span>

#include "core/exchange.h"
#include "core/plan.h"

namespace fastnn {

// Rows to work on. Nothing here is owned.
struct Dataset {
  ArrayView x;
  SparseView sparse;  // in place of x, of which rows and columns alone count then
  ArrayView targets;  // data null: labels
  const std::int32_t* labels = nullptr;
  const double* weights = nullptr;  // of rows; null: all one
  ArrayView element_weights;        // (n, targets), in place of those of rows; data null: none
  const Index* rows = nullptr;      // the rows that count; null: all
  Index count = 0;                  // of rows that count
  std::uint64_t id = 0;             // differs between datasets, never 0
  Index before = 0;                 // rows of a larger one before these, which random numbers count
};

// Parameters and optimizer state on the host, of the session's element type.
struct Buffers {
  void* parameters = nullptr;
  // The slots of the optimizer, then the average of weights, then the sum of gradients over
  // several batches.
  void* slots[buffer_slots] = {};
};

// The numbers that a pass over rows adds up, as Plan::sums lays them out: the weighted losses and
// their weight, then those of each metric.
using Sums = std::span<double>;

// Steps done: in the life of the model, which random numbers count, and since the
// optimizer's state was zero, which Adam counts.
struct Steps {
  std::uint64_t life = 0;
  std::uint64_t updates = 0;
};

// What the updates of a run are told. `rates` has a learning rate for each of them; null: all take
// that of the settings.
struct Rates {
  OptimizerSettings settings;
  const double* rates = nullptr;

  OptimizerSettings at(Index update) const {
    OptimizerSettings now = settings;
    if (rates != nullptr) now.learning_rate = rates[update];
    return now;
  }
  // Those from an update on.
  Rates from(Index update) const { return {settings, rates != nullptr ? rates + update : nullptr}; }
};

struct Epoch {
  std::uint64_t number;  // in the life of the model
  Index batch_size;
  bool shuffled;
  // What a row weighs on average in the data set, as the loss counts weights. The gradient of a
  // batch is divided by its rows times this.
  double row_weight = 1;
  // Where the logits (Plan::logits) of the rows of all its steps go, in the order of the steps:
  // (rows, output width) of the session's element type, on the host. Null: they are not wanted;
  // else the plan is one that collects.
  void* logits = nullptr;
  // How the rows are shared out among ranks; null: they are not. `batch_size` is that of all ranks.
  const Ranks* ranks = nullptr;
};

// How far a run came: `steps` had finite losses and were made. Where there is a
// bad_loss, that of the next was NaN or infinite, and its update was not made.
struct Ran {
  Index steps;
  std::optional<double> bad_loss;
};

// How a step is walked: node by node; on a CPU with each kernel updated as its gradient is
// made (streaming), or a tile of rows through all nodes before the next (tiled); on a GPU as
// a graph that was recorded once (generic), with the optimizer beside the products (wide), or
// many steps in one kernel that keeps all state (resident).
enum class SessionKind : unsigned char {
  automatic,
  plain,
  streaming,
  tiled,
  generic,
  resident,
  wide
};
inline constexpr const char* session_names[] = {"auto",    "plain",    "streaming", "tiled",
                                                "generic", "resident", "wide"};

// How exact the products of float32 training must be: as float32's own multiply-adds;
// of operands of 16 bits; of operands of 8, rounded to bfloat16.
enum class Precision : unsigned char { highest, high, medium };
inline constexpr const char* precision_names[] = {"highest", "high", "medium"};

// Where the parameters and the optimizer's state are while the host's may be older: a device
// with memory of its own. Any thread may ask.
class DeviceCopy {
 public:
  DeviceCopy() = default;
  DeviceCopy(const DeviceCopy&) = delete;
  DeviceCopy& operator=(const DeviceCopy&) = delete;
  virtual ~DeviceCopy() = default;

  // Bring what is newer there to the host.
  virtual void bring_parameters() = 0;
  virtual void bring_optimizer_state() = 0;
  // The host's is the one that counts.
  virtual void optimizer_state_changed() = 0;
};

class Session {
 public:
  Session() = default;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  virtual ~Session() = default;

  // Trains steps first..first+count of an epoch, adding up the loss and the
  // metrics in sums. `done` counts the steps before the
  // first; rates begin with that of the first.
  virtual Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count,
                  const Steps& done, const Rates& rates, Sums sums) = 0;

  // Adds up loss and metrics of rows first..first+count, nothing random. Unless it is null,
  // `logits` gets those of these rows, (count, output width).
  virtual void evaluate(const Dataset& data, Index first, Index count, Sums sums, void* logits) = 0;

  // Writes the output of rows first..first+count to out (count, output width).
  virtual void predict(const Dataset& data, Index first, Index count, void* out) = 0;

  // The gradient of rows first..first+count of the loss whose weights add up to
  // `total`, added to `gradient` (laid out as the parameters).
  virtual void add_gradients(const Dataset& data, Index first, Index count, double total,
                             bool training, std::uint64_t life, void* gradient, Sums sums) = 0;

  // What penalties of the weights, as they are now, add to a mean loss.
  virtual double penalty() = 0;

  // The parameters on the host are of this version: what was made or copied of another is out
  // of date.
  virtual void parameters_at(std::uint64_t version) = 0;
  // What training made of them is of this version. Throws where that is no whole step.
  virtual void trained_to(std::uint64_t version) = 0;
  // Where it is; null: on the host.
  virtual std::shared_ptr<DeviceCopy> device_copy() { return nullptr; }
  // Whether all parameters are numbers, as this session has them.
  virtual bool finite_parameters() = 0;
  // The data sets that were given so far may change or go: no copy of them is of use.
  virtual void forget_data() {}

  // Rows that one call of evaluate, predict or add_gradients takes at most.
  virtual Index capacity() const = 0;
};

}  // namespace fastnn
