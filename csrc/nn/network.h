// A network: layers made into a plan, and training, evaluation and prediction
// over sessions. No word of hardware.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "nn/gate.h"
#include "nn/graph.h"
#include "nn/lower.h"
#include "nn/pace.h"
#include "nn/parameters.h"
#include "nn/predictor.h"
#include "nn/sessions.h"
#include "nn/snapshot.h"

namespace fastnn {

struct Train {
  Index batch_size = 32;
  Index epochs = 1;
  Index first_epoch = 0;  // for messages
  bool shuffled = true;
  // Part of one epoch, which then does not count as begun; steps < 0: all.
  Index first_step = 0, steps = -1;
  // The state as it is now is the one to go back to until a later one is known to be
  // good; without it that may be one from before, no more than some seconds old.
  bool fresh = false;
  // Further calls with the same data follow, unchanged: what was made of them may stay until
  // forget_data.
  bool keeps_data = false;
  // The data are a part of what is not known yet: their rows are taken to weigh 1 on average.
  bool streams_in = false;
  // For the updates of this call: settings and, where rates are given, one for each of them.
  Rates rates;
  Index rates_given = 0;
};

// Called now and then from long calls; what it throws ends them.
using Poll = std::function<void(Index epoch, Index step, std::span<const double>)>;

// Training left the numbers: a loss, or the weights after the last step, became
// NaN or infinite. The parameters are those of a recent step whose loss was finite.
struct Diverged : std::runtime_error {
  Diverged(const std::string& what, Index at_epoch, Index at_step, double bad_loss);
  Index epoch, step;
  double loss;
};

class Network {
 public:
  // The graph has no output yet; it grows by `graph`.
  explicit Network(Graph graph);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network();

  // To add layers to. Not while another thread uses the network.
  Graph& graph() { return graph_; }

  Element element() const { return graph_.plan().element; }
  const std::vector<Parameter>& parameters() const { return graph_.plan().parameters; }
  Index parameter_size() const { return graph_.plan().parameter_size; }
  void bind(std::shared_ptr<ParameterBuffer> buffer);
  void set_output(int tensor);

  void compile(const Compile& request);
  // The device and the session that training in batches of so many rows uses.
  Device device(Index batch_size) const;
  SessionKind session(Index batch_size) const;
  OptimizerKind optimizer() const;
  // The parts in bfloat16 into which that splits operands of products; 0: it does not.
  int bf16_parts(Index batch_size) const;
  Index output_width();
  // ValueErrors of checks.h, for this network.
  void check_input(const Dataset& data, const Look& look);
  void check_data(const Dataset& data, const Look& look);
  // The weight of all rows, as the loss counts them; ValueError where nothing counts.
  double check_weight_of(const char* name, const Dataset& data, const Look& look);
  // How many numbers the loss and each metric add up.
  std::vector<Index> sum_widths() const;

  // Counts in the life of the model, and of updates since the optimizer's state was zero.
  std::uint64_t steps() const { return steps_; }
  std::uint64_t updates() const { return updates_; }
  std::uint64_t epochs() const { return epochs_; }
  void set_steps(std::uint64_t steps) { steps_ = steps; }
  void set_updates(std::uint64_t updates) { updates_ = updates; }
  void set_epochs(std::uint64_t epochs) { epochs_ = epochs; }
  // Calls `each` with every buffer of it, which stays what and where it is until that returns.
  void optimizer_state(const std::function<void(const ParameterBuffer&)>& each);
  void set_optimizer_state(const std::vector<const void*>& state);

  // Sums of each epoch, then of the validation data where there are any, as Plan::sums says.
  std::vector<double> train(const Dataset& data, const Train& request, const Dataset* validation,
                            const Poll& poll);
  // By whoever trained, between its calls.
  void forget_data();
  std::vector<double> evaluate(const Dataset& data, const Look& look);
  void predict(const Dataset& data, void* out, const Look& look);
  // The mean loss, and its gradient in `gradient`.
  double gradients(const Dataset& data, bool training, void* gradient, const Look& look);
  // The network as it is now, which later training does not touch.
  std::unique_ptr<Predictor> predictor();

 private:
  struct Now {  // where training is
    Index epoch = 0, step = 0;
    Index updates = 0;  // of this call
    Sums sums;
  };

  void make_plan();
  void check_compiled() const;
  void forget_sessions();
  Buffers buffers();
  std::vector<ParameterBuffer*> state();
  std::size_t columns() const { return static_cast<std::size_t>(plan_->sums()); }
  double row_weight(const Dataset& data, const Look& look);
  Session& training_session(Index batch_size);
  std::unique_ptr<Session> borrow_session();
  void evaluate_into(const Dataset& data, Sums sums, Pace& pace);
  void train_steps(Session& session, const Dataset& data, const Train& request, const Epoch& epoch,
                   Index last, Pace& pace, Now& now);
  void fetch();
  void recover(Session& session);
  void come_home();
  void go_back();
  [[noreturn]] void diverge(const std::string& what, Index epoch, Index step, double loss);

  // Held by whoever reads or changes what follows.
  Gate gate_;
  Graph graph_;  // as the layers were added
  std::unique_ptr<const Plan> plan_;
  std::optional<Compile> compiled_;
  std::shared_ptr<ParameterBuffer> buffer_;
  std::vector<std::unique_ptr<ParameterBuffer>> slots_;
  std::atomic<std::uint64_t> steps_{0}, updates_{0}, epochs_{0};
  Snapshots snapshots_;
  std::uint64_t trained_version_ = 0;  // of the buffer, as training left it
  std::shared_ptr<Elsewhere> there_;   // where training keeps them; null: here

  std::unique_ptr<Session> training_session_;
  Index training_batch_ = 0;
  // Where that is, and the sessions that wait; nothing where they may be elsewhere.
  std::optional<Device> training_device_;

  IdleSessions idle_;
  std::pair<std::uint64_t, double> weighed_{};  // the last data set, and what its rows weigh
};

}  // namespace fastnn
