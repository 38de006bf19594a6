// The emulated device's streams: the order of work, in graphs and outside of them.
//
// Work of a stream is put off until the host waits for it. It then runs in one of the orders that
// the streams allow, a different one each time. Other streams run as much of their work as chance
// decides, often none: work that does not wait for its inputs then fails.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/kernels.h"
#include "cuda/emulated/device.h"

namespace fastnn {

// Work items, each with the items that must come before it.
struct CudaGraph {
  struct Work {
    virtual ~Work() = default;
    virtual Status run() = 0;
  };
  struct Step {
    std::unique_ptr<Work> work;
    std::vector<std::size_t> after;
    bool done = false;
  };
  std::vector<Step> steps;
};

// A stream.
struct Recording {
  CudaGraph* graph = nullptr;        // that is being recorded, or null
  bool began = false;                // recording began on this stream, not by waiting for another
  std::vector<std::size_t> last;     // steps that the next one comes after
  std::vector<std::size_t> outside;  // the same for work that is not recorded, during a recording
};

namespace emulated {

// The last error of the calling thread, for last_error.
void say(std::string text);
Status fail(std::string text);
std::string last_said();

// Differs from call to call; equal in two processes that make the same calls.
std::uint64_t next_seed();

void add_stream(Stream stream);
void remove_stream(Stream stream);

void give(Stream stream, std::unique_ptr<CudaGraph::Work> work);

template <class F>
struct WorkOf final : CudaGraph::Work {
  explicit WorkOf(F f) : function(std::move(f)) {}
  Status run() override { return function(); }
  F function;
};

template <class F>
Status in_order(Stream stream, F f) {
  give(stream, std::make_unique<WorkOf<F>>(std::move(f)));
  return Status::ok;
}

// Runs the work of this stream that was put off, with all work that comes before it.
Status finish(Stream stream);
// Runs all work of every stream, for callers that cannot report an error. The next caller that
// waits reports it.
void finish_all_unheard();

// Work given to `after` from now on comes after all work given to `before` so far. Streams of other
// libraries run their work at once: if `after` is one, the work of `before` is done here.
Status one_after_another(void* before, void* after);

Status begin_graph(Stream stream);
CudaGraph* end_graph(Stream stream);  // null: failed
// Gives the graph to the stream. The graph must live until that work is done.
Status launch(Stream stream, CudaGraph& graph);

}  // namespace emulated
}  // namespace fastnn
