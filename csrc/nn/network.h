// A network: a graph made into a plan, with parameters, and evaluation and prediction over
// sessions. Training is in run.h. No word of hardware.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/backend.h"
#include "nn/graph.h"
#include "nn/predictor.h"
#include "nn/recorded.h"
#include "nn/run.h"

namespace fastnn {

class Network {
 public:
  // The graph has no output yet; it grows by `graph`.
  explicit Network(Graph graph);
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;
  ~Network();

  // To add layers to. Not while another thread uses the network.
  Graph& graph() {
    idle_pass_->forget();
    return graph_;
  }

  // Graph::set_moving, for passes that are recorded from now on.
  void set_moving(const std::vector<bool>& flags) {
    if (graph_.set_moving(flags)) idle_pass_->forget();
  }

  Element element() const { return graph_.plan().element; }
  const std::vector<Parameter>& parameters() const { return graph_.plan().parameters; }
  Index parameter_size() const { return graph_.plan().parameter_size; }
  void bind(std::shared_ptr<ParameterBuffer> buffer);
  // Copies `count` elements from `from` on in another buffer to `to` in the bound one.
  struct Range {
    Index to, from, count;
  };
  // Brings values that another network trained, in layers that both have. Waits until nothing reads
  // the parameters here; what then comes to read them waits. Averages of weights and states to go
  // back to stay. Throws std::runtime_error while a network trains on either buffer.
  void take(ParameterBuffer& from, const std::vector<Range>& ranges, const Poll& poll);
  void set_output(int tensor);

  void compile(const Compile& request);
  // Brings parameters that a device trained to the host. Where they cannot be read, the network
  // goes back to the last copy of its state, and Unreadable is thrown, once.
  void bring();
  // The device and the session that training in batches of so many rows uses.
  Device device(Index batch_size) const;
  SessionKind session(Index batch_size) const;
  OptimizerKind optimizer() const;
  // What needs all gradients before a step changes any; null: nothing does.
  const char* whole_for() const;
  // The parts in bfloat16 into which that splits operands of products; 0: it does not.
  int bf16_parts(Index batch_size) const;
  Index output_width();
  // ValueErrors of checks.h, for this network.
  void check_input(const Dataset& data, const Poll& poll);
  void check_data(const Dataset& data, const Poll& poll);
  // The weight of all rows, as the loss counts them; ValueError where nothing counts.
  double check_weight_of(const char* name, const Dataset& data, const Poll& poll);
  // The plan, with what it was compiled with, by which data are checked while the network trains.
  Plan compiled_plan();
  // How many numbers the loss and each metric add up.
  std::vector<Index> sum_widths() const;
  // The activation that makes the outputs of the logits; none: they are the outputs.
  Head head() const;
  std::uint64_t key() const { return graph_.plan().key; }

  // Counts in the life of the model, and of updates since the optimizer's state was zero.
  std::uint64_t steps() const { return parts_.state.steps; }
  std::uint64_t updates() const { return parts_.state.updates; }
  std::uint64_t epochs() const { return parts_.state.epochs; }
  void set_steps(std::uint64_t steps) { parts_.state.steps = steps; }
  void set_updates(std::uint64_t updates) { parts_.state.updates = updates; }
  void set_epochs(std::uint64_t epochs) { parts_.state.epochs = epochs; }
  bool continues() const { return parts_.state.continues(); }
  void set_continues(bool continues) { parts_.state.set_continues(continues); }
  // Calls `each` with every buffer of it, which stays what and where it is until that returns.
  void optimizer_state(const std::function<void(const ParameterBuffer&)>& each);
  void set_optimizer_state(const std::vector<const void*>& state);

  // For runs (run.h).
  TrainingParts& parts() { return parts_; }

  // The sums of all rows, added to those `so_far`: none, or one number for each. Unless it is null,
  // `logits` gets (rows, output width) of the element type.
  std::vector<double> evaluate(const Dataset& data, const Poll& poll, void* logits = nullptr,
                               std::span<const double> so_far = {});
  void predict(const Dataset& data, void* out, const Poll& poll);
  // The mean loss, and its gradient in `gradient`: NaN and zeros where nothing counts.
  double gradients(const Dataset& data, bool training, void* gradient, const Poll& poll);
  // The network as it is now, which later training does not touch. `ends`: of a network whose last
  // node joins several outputs, the activation after each that is joined as logits; none: these
  // are the outputs.
  std::unique_ptr<Predictor> predictor(const std::vector<Head>& ends);

  // A forward pass that is kept until its gradient is asked for. One in training counts as a step,
  // so that the next one drops other numbers.
  std::unique_ptr<Recorded> record(const Dataset& data, const Recording& how, const Poll& poll);

 private:
  void make_plan();
  void bring_or_go_back();
  void check_compiled() const;
  void check_output() const;
  void forget_sessions();

  TrainingParts parts_;
  Graph graph_;  // as the layers were added
  std::shared_ptr<IdlePass> idle_pass_ = std::make_shared<IdlePass>();
};

}  // namespace fastnn
