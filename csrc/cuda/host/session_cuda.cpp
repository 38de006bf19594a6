// A session on the device: it sees to parameters and data there, and leaves the steps to
// the plain session or to a runner that is faster.
#include "cuda/host/session_cuda.h"

#include <algorithm>
#include <new>
#include <utility>

#include "core/check.h"
#include "core/session_plain.h"
#include "cuda/host/data.h"
#include "cuda/host/library.h"
#include "cuda/host/runner.h"
#include "cuda/host/session_generic.h"
#include "cuda/host/session_resident.h"
#include "cuda/host/session_wide.h"
#include "cuda/host/state.h"

namespace fastnn {
namespace {

class CudaSession final : public Session {
 public:
  explicit CudaSession(const SessionRequest& request)
      : machine_(cuda_machine()),
        plain_machine_(cuda_machine()),
        takes_sparse_(request.kind != SessionKind::resident),
        data_(machine_),
        state_(DeviceState::of(*request.plan, request.buffers)) {
    set_precision(*machine_.context, request);
    SessionRequest here = request;
    here.buffers = state_->device();
    set_precision(*plain_machine_.context, request);
    plain_ = prepare_plain(plain_machine_, here);
    if (request.kind == SessionKind::generic) {
      runner_ = make_generic(machine_, *request.plan, here.buffers, request.batch_size);
    } else if (request.kind == SessionKind::resident) {
      memory_ = std::make_unique<Memory>(machine_);
      runner_ = make_resident(machine_, *memory_, *request.plan, here.buffers, request.batch_size);
    } else if (request.kind == SessionKind::wide) {
      runner_ = make_wide(machine_, here);
    }
  }

  Ran run(const Dataset& data, const Epoch& epoch, Index first, Index count, const Steps& done,
          const Rates& rates, Sums sums) override {
    state_->refresh();
    const Dataset& here = held(data);
    torn_ = true;
    const Ran ran = walked(here, epoch, first, count, done, rates, sums);
    torn_ = false;
    state_->trained();
    return ran;
  }

  void evaluate(const Dataset& data, Index first, Index count, Sums sums, void* logits) override {
    state_->refresh();
    hold_if_there_is_room(data);
    plain_->evaluate(part(data, first, count), 0, count, sums, logits);
  }

  void predict(const Dataset& data, Index first, Index count, void* out) override {
    state_->refresh();
    plain_->predict(part(data, first, count), 0, count, out);
  }

  void add_gradients(const Dataset& data, Index first, Index count, double total, bool training,
                     std::uint64_t life, void* gradient, Sums sums) override {
    state_->refresh();
    hold_if_there_is_room(data);
    plain_->add_gradients(part(data, first, count), 0, count, total, training, life, gradient,
                          sums);
  }

  double penalty() override {
    state_->refresh();
    return plain_->penalty();
  }
  void parameters_at(std::uint64_t version) override {
    torn_ = false;
    state_->host_at(version);
  }
  void trained_to(std::uint64_t version) override {
    if (torn_) refuse("CUDA failed in the midst of a step: its weights are no use");
    state_->keep(version);
  }
  std::shared_ptr<DeviceCopy> device_copy() override { return state_; }
  bool finite_parameters() override {
    state_->refresh();
    return plain_->finite_parameters();
  }
  void forget_data() override {
    crowded_ = 0;
    data_.forget();
  }
  Index capacity() const override { return plain_->capacity(); }

 private:
  static void set_precision(Context& context, const SessionRequest& request) {
    cuda_library().set_precision(&context, static_cast<int>(request.precision));
  }

  Ran walked(const Dataset& here, const Epoch& epoch, Index first, Index count, const Steps& done,
             const Rates& rates, Sums sums) {
    const bool runs = runner_ != nullptr && (here.sparse.starts == nullptr || takes_sparse_);
    try {
      if (runs) return runner_->run(here, epoch, first, count, done, rates, sums);
      const Ran ran = plain_->run(here, epoch, first, count, done, rates, sums);
      cuda_wait(*plain_machine_.context);  // for the last update: others read the parameters
      return ran;
    } catch (...) {
      // What was started before still writes them.
      const CudaLibrary& library = cuda_library();
      for (const Machine* used : {&machine_, &plain_machine_}) {
        static_cast<void>(library.wait(used->context.get()));
      }
      if (runner_ != nullptr) runner_->settle();
      throw;
    }
  }

  // Copies are made on this session's stream, and read on others'.
  const Dataset& held(const Dataset& data) {
    const Dataset& here = data_.hold(data);
    cuda_wait(*machine_.context);
    return here;
  }

  Dataset part(const Dataset& data, Index first, Index count) {
    Dataset here = data_.part(data, first, count);
    cuda_wait(*machine_.context);
    return here;
  }

  // What is read once an epoch is copied there once; rows pass by where it is too large.
  void hold_if_there_is_room(const Dataset& data) {
    if (crowded_ == data.id) return;
    try {
      data_.hold(data);
    } catch (const std::bad_alloc&) {
      crowded_ = data.id;
    }
  }

  Machine machine_;
  Machine plain_machine_;           // of the plain session, another stream
  std::unique_ptr<Memory> memory_;  // of runners that have none of their own
  bool takes_sparse_;               // the runner; else the plain session trains on sparse rows
  DeviceData data_;
  std::uint64_t crowded_ = 0;  // the data set for which there was no room
  std::shared_ptr<DeviceState> state_;
  std::unique_ptr<Session> plain_;
  std::unique_ptr<Runner> runner_;  // null: the plain session trains
  bool torn_ = false;               // the parameters are of no whole step
};

bool resident_fits(const Plan& plan, Index batch_size) {
  return resident_bytes(plan, batch_size) <= cuda_state().device.shared_memory;
}

}  // namespace

SessionKind choose_cuda_session(const Plan& plan, Index batch_size) {
  if (batch_size == 0 || plan.collects || !generic_serves(plan)) return SessionKind::plain;
  // A lesser GPU may not have what a block would share.
  const bool resident = resident_serves(plan, batch_size) && resident_fits(plan, batch_size);
  if (resident) return SessionKind::resident;
  return wide_pays(plan, batch_size) && !plan.update.needs_whole() ? SessionKind::wide
                                                                   : SessionKind::generic;
}

int cuda_bf16_parts(const SessionRequest& request) {
  if (request.plan->element != Element::f32 || request.kind == SessionKind::resident) return 0;
  int bf16_parts = 0;
  request.plan->each_product([&](const Parameter& kernel) {
    const int here = cuda_library().bf16_parts(static_cast<int>(request.precision),
                                               request.batch_size, kernel.columns, kernel.rows);
    bf16_parts = std::max(bf16_parts, here);
  });
  return bf16_parts;
}

std::unique_ptr<Session> prepare_cuda(const SessionRequest& given) {
  SessionRequest request = given;
  if (request.kind == SessionKind::automatic || request.batch_size == 0) {
    request.kind = choose_cuda_session(*request.plan, request.batch_size);
  }
  const bool here = request.kind != SessionKind::streaming && request.kind != SessionKind::tiled;
  check(here, "session: a GPU has no session '",
        session_names[static_cast<std::size_t>(request.kind)],
        "'; expected 'auto', 'plain', 'generic', 'resident' or 'wide'");
  const Plan& plan = *request.plan;
  const bool resident = request.kind == SessionKind::resident;
  // Only the plain session brings logits to the host.
  const bool serves =
      request.kind == SessionKind::plain || (plan.collects ? false
                                             : resident ? resident_serves(plan, request.batch_size)
                                                        : generic_serves(plan));
  const bool steps_early = request.kind == SessionKind::wide && plan.update.needs_whole();
  check(serves && !steps_early, "session: '", session_names[static_cast<std::size_t>(request.kind)],
        "' cannot train this model; expected 'auto' or 'plain'");
  check(!resident || resident_fits(plan, request.batch_size), "session: 'resident' needs ",
        resident_bytes(plan, request.batch_size), " bytes of a block's shared memory for this ",
        "model, and this GPU has ", cuda_state().device.shared_memory,
        "; expected 'auto', 'generic' or 'plain'");
  return std::make_unique<CudaSession>(request);
}

const Machine& cuda_here() {
  static_cast<void>(cuda_library());  // which a fork may have lost
  thread_local const Machine machine = cuda_machine();
  return machine;
}

}  // namespace fastnn
