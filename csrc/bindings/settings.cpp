// Facts about the build, the instruction set, the GPU and the number of threads.
#include <pybind11/stl.h>

#include <cstdlib>
#include <map>

#include "bindings/bindings.h"
#include "bindings/unlocked.h"
#include "build.h"
#include "core/activation_rows.h"
#include "core/backend.h"
#include "core/thread_limit.h"

namespace fastnn::bindings {

namespace {

std::map<std::string, std::string> build_info() {
  return {
      {"compiler", build_compiler},
      {"flags", build_flags},
      {"build_type", build_type},
      {"architecture", build_architecture},
      {"pybind11", message(PYBIND11_VERSION_MAJOR, ".", PYBIND11_VERSION_MINOR)},
      {"cuda", build_cuda},
  };
}

// Whether a GPU can be used, and if not, why not. With `libraries`, also names the libraries used.
py::dict cuda(bool libraries) {
  DeviceReport report;
  std::string cublas;
  {
    const Unlocked unlocked;
    report = report_on(Device::cuda);
    if (libraries) cublas = products_library(Device::cuda);
  }
  py::dict told;
  told["usable"] = report.usable;
  told["reason"] = report.reason;
  if (!report.usable) return told;
  told["device"] = report.name;
  told["capability"] = report.capability;
  told["memory"] = report.memory;
  told["driver"] = report.driver;
  told["library"] = report.library;
  if (libraries) told["cublas"] = cublas;
  return told;
}

// The rows of core/activation.h, each with its parameters in their order.
py::list activations() {
  py::list rows;
  for (std::size_t kind = 0; kind < std::size(activation_names); ++kind) {
    const portable::ActivationTraits& traits = portable::activation_traits[kind];
    py::list parameters;
    for (int i = 0; i < traits.count; ++i) {
      const ActivationParameter& parameter = traits.parameters[i];
      py::dict known;
      known["name"] = parameter.name;
      known["default"] = parameter.initial;
      known["low"] = parameter.low;
      known["high"] = parameter.high;
      parameters.append(known);
    }
    py::dict row;
    row["name"] = activation_names[kind];
    row["parameters"] = parameters;
    row["needs_input"] = !traits.from_output;
    rows.append(row);
  }
  return rows;
}

// Python's os.environ gives the same, but takes half a microsecond.
const char* environment(const char* name) { return std::getenv(name); }

}  // namespace

// The one name that this library exports beside its entry: libraries that limit the threads of
// others, such as threadpoolctl, tell it by this from libraries with the same file name.
extern "C" __attribute__((visibility("default"))) int fastnn_get_num_threads() {
  try {
    return num_threads();
  } catch (...) {
    return 1;  // FASTNN_NUM_THREADS is no number: Python's calls say so
  }
}

void register_settings(py::module_& module) {
  module.def("build_info", build_info);
  module.def("isas_built", isas_built);
  module.def("isas_supported", isas_supported);
  module.def("isa", [] { return backend().table->name; });
  module.def("num_threads", num_threads);
  module.def("set_num_threads", set_num_threads, py::arg("n"));
  module.def("limit_threads", limit_threads, py::arg("n"));
  module.def(
      "thread_limits",
      [](const std::string& root) {
        py::dict limits;  // in their order
        for (const ThreadLimit& limit : thread_limits(root)) {
          limits[py::str(limit.name)] = limit.most;
        }
        return limits;
      },
      py::arg("root") = "");
  module.def("cuda_state", cuda, py::arg("libraries") = false);
  module.def("activations", activations);
  module.def("environment", environment, py::arg("name"));
  module.def("shutdown", [] {
    end_native_calls();
    stop_workers();
  });
}

}  // namespace fastnn::bindings
