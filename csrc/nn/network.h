// A network: layers made into a plan, and training, evaluation and prediction
// over sessions. No word of hardware.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.h"
#include "nn/parameters.h"
#include "nn/snapshot.h"

namespace fastnn {

struct Compile {
  Loss loss;
  OptimizerKind optimizer = OptimizerKind::adam;
  struct Metric {
    MetricKind kind;
    double value;
    bool weighted;
  };
  std::vector<Metric> metrics;
};

struct Train {
  Index batch_size = 32;
  Index epochs = 1;
  Index first_epoch = 0;  // for messages
  bool shuffled = true;
  // Part of one epoch, which then does not count as begun; steps < 0: all.
  Index first_step = 0, steps = -1;
  OptimizerSettings settings;
};

// Called now and then from long calls; what it throws ends them.
using Poll = std::function<void(Index epoch, Index step, std::span<const Sum>)>;

// The loss of a step was NaN or infinite; the parameters are those of a recent
// step whose loss was finite.
struct Diverged : std::runtime_error {
  Diverged(Index at_epoch, Index at_step, double bad_loss);
  Index epoch, step;
  double loss;
};

class Network {
 public:
  Network(Index width, Element element, std::uint64_t key);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network();

  // Layers: each takes tensors by number and returns the number of its output.
  int dense(int input, Index units, std::string_view activation, bool use_bias);
  int activation(int input, std::string_view name);
  int dropout(int input, double rate);
  int rescale(int input, double scale, double offset);
  int add(int a, int b);
  Index width(int tensor) const;

  Element element() const { return graph_.element; }
  const std::vector<Parameter>& parameters() const { return graph_.parameters; }
  Index parameter_size() const { return graph_.parameter_size; }
  void bind(std::shared_ptr<ParameterBuffer> buffer);
  void set_output(int tensor);
  void set_trainable(const std::vector<bool>& flags);

  void compile(const Compile& request);
  const Plan& plan();  // of the network as it is, with a loss once compiled
  const Plan& compiled_plan();

  std::size_t columns() const;  // of sums: the loss and the metrics
  Steps steps;
  std::uint64_t epochs = 0;  // begun in the life of the model
  std::vector<ParameterBuffer*> optimizer_state();
  void set_optimizer_state(const std::vector<const void*>& state);

  // Sums of each epoch, then of the validation data where there are any.
  std::vector<Sum> train(const Dataset& data, const Train& request, const Dataset* validation,
                         const Poll& poll);
  std::vector<Sum> evaluate(const Dataset& data, const Poll& poll);
  void predict(const Dataset& data, void* out, const Poll& poll);
  Sum gradients(const Dataset& data, bool training, void* gradient, const Poll& poll);

 private:
  class Reading;
  class Writing;
  struct Clock;

  int add_tensor(Index width);
  int add_parameter(Index rows, Index columns, bool vector);
  int check_tensor(int tensor) const;
  void forget_sessions();
  Buffers buffers();
  Session& training_session(Index batch_size);
  std::unique_ptr<Session> borrow_session();
  void give_back(std::unique_ptr<Session> session);
  void evaluate_into(Session& session, const Dataset& data, std::span<Sum> sums,
                     const std::function<void()>& poll);
  void train_steps(Session& session, const Dataset& data, const Train& request, const Epoch& epoch,
                   Index index, Index first, Index last, Clock& clock, std::span<Sum> sums,
                   const Poll& poll);

  Plan graph_;  // as the layers were added; plan_ is made of it
  std::optional<Plan> plan_;
  std::optional<Compile> compiled_;
  std::shared_ptr<ParameterBuffer> buffer_;
  std::vector<std::unique_ptr<ParameterBuffer>> slots_;
  Snapshots snapshots_;
  std::uint64_t trained_version_ = 0;  // of the buffer, as training left it

  std::unique_ptr<Session> training_session_;
  Index training_batch_ = 0;
  std::vector<std::unique_ptr<Session>> idle_;

  std::mutex mutex_;
  std::condition_variable readers_gone_;
  int readers_ = 0;
  bool writing_ = false;
};

}  // namespace fastnn
