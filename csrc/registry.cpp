// The one file that names the backends.
#include "core/backend.h"
#include "cpu/isa.h"
#include "cpu/session_cpu.h"
#include "cpu/split_product.h"

namespace fastnn {

const Backend& backend() {
  static const Backend cpu{&cpu_kernels(),     cpu_context, prepare_cpu,
                           choose_cpu_session, cpu_planes,  cpu_split_product()};
  return cpu;
}

}  // namespace fastnn
