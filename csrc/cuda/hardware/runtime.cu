// _cuda on a GPU: devices, streams, memory and graphs, by the CUDA runtime, which is linked
// statically. Nothing here is called before the device is asked for.
#include <cuda_runtime.h>

#include <stdio.h>
#include <string.h>

#include <new>

#include "cuda/abi.h"
#include "cuda/context.h"
#include "cuda/table.h"

namespace fastnn {
namespace {

thread_local char said[512] = "no error";

const char* last_error() { return said; }

void say(const char* text) { snprintf(said, sizeof said, "%s", text); }

Status fail(const char* text) {
  say(text);
  return Status::failed;
}

bool works(cudaError_t error, const char* doing) {
  return error == cudaSuccess || cuda_failed(error, doing) == Status::ok;
}

Status status_of(cudaError_t error, const char* doing) {
  return error == cudaSuccess ? Status::ok : cuda_failed(error, doing);
}

Status open(DeviceInfo* info) {
  int driver = 0;
  int runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return fail("there is no NVIDIA driver here (libcuda.so.1); install one");
  if (driver / 1000 < runtime / 1000) {
    snprintf(said, sizeof said,
             "the NVIDIA driver is too old: it knows CUDA %d.%d, and %d.%d is needed; update it",
             driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    return Status::failed;
  }
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) {
    return fail("the driver finds no GPU (see CUDA_VISIBLE_DEVICES, and nvidia-smi)");
  }
  if (error != cudaSuccess) return cuda_failed(error, "counting the GPUs");
  cudaDeviceProp found{};
  if (!works(cudaGetDeviceProperties(&found, 0), "asking about the GPU")) return Status::failed;
  snprintf(info->name, sizeof info->name, "%s", found.name);
  info->major = found.major;
  info->minor = found.minor;
  info->multiprocessors = found.multiProcessorCount;
  info->memory = found.totalGlobalMem;
  info->shared_memory = found.sharedMemPerBlockOptin;
  info->driver = driver;
  info->runtime = runtime;
  // Tests whether the GPU can be used: another process may have reserved it, or use all its memory.
  if (!works(cudaFree(nullptr), "opening the GPU")) return Status::failed;
  // Tests whether this build has code for the GPU: any kernel shows it.
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, cuda::any_kernel());
  static_cast<void>(cudaGetLastError());
  if (code != cudaSuccess) {
    snprintf(said, sizeof said,
             "this build has no code for %s (compute capability %d.%d): %s. Build with "
             "-C cmake.define.CMAKE_CUDA_ARCHITECTURES=%d%d-real, or -C fastnn.cuda=on",
             found.name, found.major, found.minor, cudaGetErrorString(code), found.major,
             found.minor);
    return Status::failed;
  }
  return Status::ok;
}

Context* make_context() {
  auto* const context = new (std::nothrow) Context;
  if (context == nullptr) {
    say("no memory for a context");
    return nullptr;
  }
  if (works(cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking), "a stream")) {
    return context;
  }
  delete context;
  return nullptr;
}

void* allocate(Context*, size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes == 0 ? 1 : bytes);
  if (error == cudaSuccess) return memory;
  size_t free_bytes = 0;
  size_t all_bytes = 0;
  static_cast<void>(cudaGetLastError());
  cudaMemGetInfo(&free_bytes, &all_bytes);
  snprintf(said, sizeof said,
           "%.3f GiB of GPU memory are not available (%s): %.3f of %.3f GiB are free",
           static_cast<double>(bytes) / 0x1p30, cudaGetErrorString(error),
           static_cast<double>(free_bytes) / 0x1p30, static_cast<double>(all_bytes) / 0x1p30);
  return nullptr;
}

void release(Context* context, void* memory) {
  cudaStreamSynchronize(context->stream);
  cudaFree(memory);
  static_cast<void>(cudaGetLastError());  // or the next launch would report this error
}

}  // namespace

Status cuda_failed(cudaError_t error, const char* doing) {
  snprintf(said, sizeof said, "%s: %s (%s)", doing, cudaGetErrorString(error),
           cudaGetErrorName(error));
  static_cast<void>(cudaGetLastError());
  return error == cudaErrorMemoryAllocation ? Status::out_of_memory : Status::failed;
}

struct CudaGraph {
  cudaGraph_t graph;
  cudaGraphExec_t ready;
};

void* Context::scratch(Slot slot, size_t bytes) {
  Piece& piece = pieces_[slot];
  if (bytes <= piece.bytes) return piece.memory;
  cudaStreamCaptureStatus recording = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream, &recording);
  if (recording != cudaStreamCaptureStatusNone) {
    say("a kernel needs memory while a graph is recorded");
    return nullptr;
  }
  // The smaller piece is kept: a graph may use it. Sizes double, so that all kept pieces together
  // are no larger than the last one.
  const size_t room = bytes > 2 * piece.bytes ? bytes : 2 * piece.bytes;
  void* const memory = allocate(this, room);
  if (memory == nullptr) return nullptr;
  kept.push_back(memory);
  if (!works(cudaMemsetAsync(memory, 0, room, stream), "clearing memory")) return nullptr;
  piece = {memory, room};
  return memory;
}

namespace {

void end_context(Context* context) {
  cudaStreamSynchronize(context->stream);
  for (void* memory : context->kept) cudaFree(memory);
  cudaStreamDestroy(context->stream);
  delete context;
}

void set_precision(Context* context, int precision) { context->precision = precision; }
void set_step(Context* context, StepPlace step) { context->step = step; }

Status wait(Context* context) {
  return status_of(cudaStreamSynchronize(context->stream), "waiting for the GPU");
}

// The host memory may change after this returns, so it waits. CUDA copies most pageable memory
// through a buffer of its own, but does not document that; pinned memory is read asynchronously.
Status write(Context* context, void* memory, const void* host, size_t bytes) {
  const Status status =
      status_of(cudaMemcpyAsync(memory, host, bytes, cudaMemcpyHostToDevice, context->stream),
                "copying to the GPU");
  return status == Status::ok ? wait(context) : status;
}

Status read(Context* context, void* host, const void* memory, size_t bytes) {
  const Status status =
      status_of(cudaMemcpyAsync(host, memory, bytes, cudaMemcpyDeviceToHost, context->stream),
                "copying from the GPU");
  return status == Status::ok ? wait(context) : status;
}

}  // namespace

Status read_back(Context& context, void* host, const void* memory, size_t bytes) {
  return read(&context, host, memory, bytes);
}

namespace {

Status copy(Context* context, void* to, const void* from, size_t bytes) {
  return status_of(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context->stream),
                   "copying on the GPU");
}

Status clear(Context* context, void* memory, size_t bytes) {
  return status_of(cudaMemsetAsync(memory, 0, bytes, context->stream), "clearing memory");
}

Status one_after_another(cudaStream_t before, cudaStream_t after) {
  cudaEvent_t event = nullptr;
  cudaError_t error = cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
  if (error == cudaSuccess) error = cudaEventRecord(event, before);
  if (error == cudaSuccess) error = cudaStreamWaitEvent(after, event, 0);
  if (event != nullptr) cudaEventDestroy(event);
  return status_of(error, "making one stream wait for another");
}

Status wait_for(Context* context, void* stream) {
  return one_after_another(static_cast<cudaStream_t>(stream), context->stream);
}

Status let_wait(Context* context, void* stream) {
  return one_after_another(context->stream, static_cast<cudaStream_t>(stream));
}

Status begin_graph(Context* context) {
  return status_of(cudaStreamBeginCapture(context->stream, cudaStreamCaptureModeThreadLocal),
                   "recording a graph");
}

CudaGraph* end_graph(Context* context) {
  cudaGraph_t graph = nullptr;
  if (!works(cudaStreamEndCapture(context->stream, &graph), "recording a graph")) return nullptr;
  cudaGraphExec_t ready = nullptr;
  if (works(cudaGraphInstantiate(&ready, graph, 0), "preparing a graph")) {
    auto* const made = new (std::nothrow) CudaGraph{graph, ready};
    if (made != nullptr) return made;
    cudaGraphExecDestroy(ready);
    say("no memory for a graph");
  }
  cudaGraphDestroy(graph);
  return nullptr;
}

Status launch_graph(Context* context, CudaGraph* graph) {
  return status_of(cudaGraphLaunch(graph->ready, context->stream), "launching a graph");
}

void release_graph(CudaGraph* graph) {
  cudaGraphExecDestroy(graph->ready);
  cudaGraphDestroy(graph->graph);
  delete graph;
}

}  // namespace
}  // namespace fastnn

const fastnn::CudaLibrary* fastnn_cuda_library() {
  using namespace fastnn;
  static const CudaLibrary library{
      .version = cuda_abi_version,
      .layout = cuda_layout(),
      .kind = "CUDA",
      .table = &cuda::table,
      .encoded_dense = &cuda::encoded_dense,
      .last_error = last_error,
      .open = open,
      .make_context = make_context,
      .end_context = end_context,
      .set_precision = set_precision,
      .bf16_parts = cuda::bf16_parts_of_product,
      .set_step = set_step,
      .collect = [](Context* context, const Collect* a) { return cuda::collect(*context, *a); },
      .finish = [](Context* context, const Finish* a) { return cuda::finish(*context, *a); },
      .resident = [](Context* context, const Resident* a) { return cuda::resident(*context, *a); },
      .allocate = allocate,
      .release = release,
      .write = write,
      .read = read,
      .copy = copy,
      .clear = clear,
      .wait = wait,
      .stream = [](Context* context) -> void* { return context->stream; },
      .wait_for = wait_for,
      .let_wait = let_wait,
      .begin_graph = begin_graph,
      .end_graph = end_graph,
      .launch_graph = launch_graph,
      .release_graph = release_graph,
  };
  return &library;
}
