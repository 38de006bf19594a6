#include "cuda/emulated/streams.h"

#include <mutex>
#include <random>
#include <set>

namespace fastnn::emulated {
namespace {

struct Streams {
  std::mutex mutex;
  std::set<Stream> all;
  CudaGraph waiting;    // work that was put off
  std::string unheard;  // an error that no caller was told yet
};

Streams& streams() {
  static Streams the;
  return the;
}

// These steps and all steps that come before them.
std::set<std::size_t> with_what_comes_before(const CudaGraph& graph,
                                             std::vector<std::size_t> last) {
  std::set<std::size_t> seen;
  while (!last.empty()) {
    const std::size_t step = last.back();
    last.pop_back();
    if (!seen.insert(step).second) continue;
    const auto& after = graph.steps[step].after;
    last.insert(last.end(), after.begin(), after.end());
  }
  return seen;
}

// Runs the unfinished steps that `wanted` needs, at random either these alone or some others too.
Status run_until(CudaGraph& graph, const std::set<std::size_t>& wanted) {
  std::mt19937_64 random(next_seed());
  const bool alone = random() % 2 == 0;
  const std::size_t count = graph.steps.size();
  std::vector<std::vector<std::size_t>> behind(count);
  std::vector<std::size_t> missing(count);
  std::vector<std::size_t> ready;
  std::size_t left = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (graph.steps[i].done || (alone && !wanted.contains(i))) continue;
    for (const std::size_t before : graph.steps[i].after) {
      if (graph.steps[before].done) continue;
      behind[before].push_back(i);
      ++missing[i];
    }
    if (missing[i] == 0) ready.push_back(i);
    if (wanted.contains(i)) ++left;
  }
  while (left > 0) {
    std::swap(ready[random() % ready.size()], ready.back());
    const std::size_t step = ready.back();
    ready.pop_back();
    const Status status = graph.steps[step].work->run();
    if (status != Status::ok) return status;
    graph.steps[step].done = true;
    if (wanted.contains(step)) --left;
    for (const std::size_t next : behind[step]) {
      if (--missing[next] == 0) ready.push_back(next);
    }
  }
  return Status::ok;
}

std::set<std::size_t> all_of(const CudaGraph& graph) {
  std::set<std::size_t> all;
  for (std::size_t i = 0; i < graph.steps.size(); ++i) all.insert(i);
  return all;
}

// Used when no work is left, or when no work can be done any more.
void forget(Streams& known) {
  known.waiting.steps.clear();
  for (Stream stream : known.all) {
    (stream->graph == nullptr ? stream->last : stream->outside).clear();
  }
}

// For a caller that cannot report an error: the next caller that can reports it.
void finish_unheard(Streams& known, const std::set<std::size_t>& wanted) {
  const Status status = run_until(known.waiting, wanted);
  if (status != Status::ok && known.unheard.empty()) known.unheard = last_said();
  bool done = true;
  for (CudaGraph::Step& step : known.waiting.steps) {
    if (step.done) step.work.reset();
    done = done && step.done;
  }
  if (done || status != Status::ok) forget(known);
}

Status finish_waiting(Streams& known, const std::vector<std::size_t>& last) {
  finish_unheard(known, with_what_comes_before(known.waiting, last));
  if (known.unheard.empty()) return Status::ok;
  return fail(std::exchange(known.unheard, {}));
}

}  // namespace

void add_stream(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  streams().all.insert(stream);
}

void remove_stream(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  finish_unheard(streams(), all_of(streams().waiting));
  streams().all.erase(stream);
}

void give(Stream stream, std::unique_ptr<CudaGraph::Work> work) {
  const std::lock_guard lock(streams().mutex);
  auto& steps = (stream->graph != nullptr ? *stream->graph : streams().waiting).steps;
  steps.push_back({std::move(work), stream->last});
  stream->last = {steps.size() - 1};
}

Status finish(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  return finish_waiting(streams(), stream->last);
}

void finish_all_unheard() {
  const std::lock_guard lock(streams().mutex);
  finish_unheard(streams(), all_of(streams().waiting));
}

Status one_after_another(void* first, void* second) {
  Streams& known = streams();
  const std::lock_guard lock(known.mutex);
  auto* const before = static_cast<Stream>(first);
  auto* const after = static_cast<Stream>(second);
  if (!known.all.contains(before)) return Status::ok;
  if (!known.all.contains(after)) return finish_waiting(known, before->last);
  if (after->graph != before->graph) {
    if (before->graph == nullptr) return fail("a recorded stream waits for one that is not");
    if (after->graph != nullptr) return fail("a stream is recorded in two graphs");
    *after = {before->graph, false, {}, after->last};
  }
  after->last.insert(after->last.end(), before->last.begin(), before->last.end());
  return Status::ok;
}

Status begin_graph(Stream stream) {
  const std::lock_guard lock(streams().mutex);
  if (stream->graph != nullptr) return fail("a graph is being recorded");
  *stream = {new CudaGraph, true, {}, stream->last};
  return Status::ok;
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
    if (other->graph == graph.get()) *other = {nullptr, false, other->outside, {}};
  }
  if (with_what_comes_before(*graph, last).size() == graph->steps.size()) return graph.release();
  say("a graph ends before a stream that is recorded with it was waited for");
  return nullptr;
}

Status launch(Stream stream, CudaGraph& graph) {
  return in_order(stream, [&graph] {
    for (CudaGraph::Step& step : graph.steps) step.done = false;
    return run_until(graph, all_of(graph));
  });
}

}  // namespace fastnn::emulated
