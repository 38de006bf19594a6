#include "cuda/emulated/streams.h"

#include <mutex>
#include <random>
#include <set>

namespace fastnn::emulated {
namespace {

struct Streams {
  std::mutex mutex;
  std::set<Stream> all;
  CudaGraph waiting;    // what was put off
  std::string unheard;  // what went wrong, of which nobody was told
};

Streams& streams() {
  static Streams the;
  return the;
}

Status run_all(CudaGraph& graph) {
  const std::size_t count = graph.steps.size();
  std::vector<std::vector<std::size_t>> behind(count);
  std::vector<std::size_t> missing(count);
  std::vector<std::size_t> ready;
  for (std::size_t i = 0; i < count; ++i) {
    for (const std::size_t before : graph.steps[i].after) behind[before].push_back(i);
    missing[i] = graph.steps[i].after.size();
    if (missing[i] == 0) ready.push_back(i);
  }
  if (count == 0) return Status::ok;
  std::mt19937_64 random(next_seed());
  while (!ready.empty()) {
    std::swap(ready[random() % ready.size()], ready.back());
    const std::size_t step = ready.back();
    ready.pop_back();
    const Status status = graph.steps[step].work->run();
    if (status != Status::ok) return status;
    for (const std::size_t next : behind[step]) {
      if (--missing[next] == 0) ready.push_back(next);
    }
  }
  return Status::ok;
}

// For who cannot be told of a failure: the next one who can be is.
void finish_unheard(Streams& known) {
  const Status status = run_all(known.waiting);
  known.waiting.steps.clear();
  for (Stream stream : known.all) {
    if (stream->graph == nullptr) stream->last.clear();
  }
  if (status != Status::ok && known.unheard.empty()) known.unheard = last_said();
}

Status finish_waiting(Streams& known) {
  finish_unheard(known);
  if (known.unheard.empty()) return Status::ok;
  return fail(std::exchange(known.unheard, {}));
}

// Whether all steps come before `last`.
bool waited_for(const CudaGraph& graph, std::vector<std::size_t> last) {
  std::set<std::size_t> seen;
  while (!last.empty()) {
    const std::size_t step = last.back();
    last.pop_back();
    if (!seen.insert(step).second) continue;
    const auto& after = graph.steps[step].after;
    last.insert(last.end(), after.begin(), after.end());
  }
  return seen.size() == graph.steps.size();
}

}  // namespace

void add_stream(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  streams().all.insert(stream);
}

void remove_stream(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  finish_unheard(streams());
  streams().all.erase(stream);
}

void give(Stream stream, std::unique_ptr<CudaGraph::Work> work) {
  const std::lock_guard lock(streams().mutex);
  auto& steps = (stream->graph != nullptr ? *stream->graph : streams().waiting).steps;
  steps.push_back({std::move(work), stream->last});
  stream->last = {steps.size() - 1};
}

Status finish_all() {
  const std::lock_guard lock(streams().mutex);
  return finish_waiting(streams());
}

void finish_all_unheard() {
  const std::lock_guard lock(streams().mutex);
  finish_unheard(streams());
}

Status one_after_another(void* first, void* second) {
  Streams& known = streams();
  const std::lock_guard lock(known.mutex);
  auto* const before = static_cast<Stream>(first);
  auto* const after = static_cast<Stream>(second);
  if (!known.all.contains(before)) return Status::ok;
  if (!known.all.contains(after)) return finish_waiting(known);
  if (after->graph != before->graph) {
    if (before->graph == nullptr) return fail("a recorded stream waits for one that is not");
    if (after->graph != nullptr) return fail("a stream is recorded in two graphs");
    *after = {before->graph, false, {}};
  }
  after->last.insert(after->last.end(), before->last.begin(), before->last.end());
  return Status::ok;
}

Status begin_graph(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  if (stream->graph != nullptr) return fail("a graph is being recorded");
  *stream = {new CudaGraph, true, {}};
  return finish_waiting(streams());
}

CudaGraph* end_graph(Stream stream) {
  if (!stream->began) {
    say("no graph was begun");
    return nullptr;
  }
  const std::lock_guard lock(streams().mutex);
  std::unique_ptr<CudaGraph> graph(stream->graph);
  const std::vector<std::size_t> last = std::move(stream->last);
  for (Stream other : streams().all) {
    if (other->graph == graph.get()) *other = {};
  }
  if (waited_for(*graph, last)) return graph.release();
  say("a graph ends before a stream that is recorded with it was waited for");
  return nullptr;
}

Status run(CudaGraph& graph) {
  const std::lock_guard lock(streams().mutex);
  const Status status = finish_waiting(streams());
  return status == Status::ok ? run_all(graph) : status;
}

}  // namespace fastnn::emulated
