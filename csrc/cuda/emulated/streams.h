// The emulated device's streams: what waits for what, in graphs and outside of them.
//
// What a stream is given is put off until somebody waits for it, and is then done in one of
// the orders that the streams leave open, another each time. Of other streams that does as
// much as it happens to, often nothing: what does not wait for what it needs is found out.
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

// Work with what comes before it.
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
  CudaGraph* graph = nullptr;        // that is being recorded; null: none is
  bool began = false;                // it, and not by waiting for who did
  std::vector<std::size_t> last;     // steps that the next one comes after
  std::vector<std::size_t> outside;  // the same, of what is not recorded, meanwhile
};

namespace emulated {

// Of the calling thread, for last_error.
void say(std::string text);
Status fail(std::string text);
std::string last_said();

// Differs from call to call; the same in two processes that do the same.
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

// Does what was put off of this stream, with all that comes before it.
Status finish(Stream stream);
// Does all of every stream, for who cannot be told of a failure; the next one who waits is.
void finish_all_unheard();

// What `after` is given from now on comes after what `before` was given so far. Streams of
// others do all at once: who of them waits finds that done.
Status one_after_another(void* before, void* after);

Status begin_graph(Stream stream);
CudaGraph* end_graph(Stream stream);  // null: failed
// Gives it to the stream; it must not go before that is done.
Status launch(Stream stream, CudaGraph& graph);

}  // namespace emulated
}  // namespace fastnn
