// Whether AMX may be used, by what the processor has and what the system answers.
#include "cpu/isa.h"

#include <cstdio>

namespace fastnn::baseline {
extern const KernelTable table;
const KernelTable table{};
extern const DenseFinish dense_finish;
const DenseFinish dense_finish{};
extern const EncodedDense encoded_dense;
const EncodedDense encoded_dense{};
extern const LaneTable lane_table;
const LaneTable lane_table{};
}  // namespace fastnn::baseline

namespace {

int requests = 0;

bool grant() {
  ++requests;
  return true;
}

bool deny() {
  ++requests;
  return false;
}

}  // namespace

int main() {
  using fastnn::amx_usable;
  const bool without = amx_usable(false, false, grant) || amx_usable(true, false, grant) ||
                       amx_usable(false, true, grant);
  const bool asked_without = requests != 0;
  const bool right = !without && !asked_without && amx_usable(true, true, grant) &&
                     !amx_usable(true, true, deny) && requests == 2;
  std::printf("%s\n", right ? "right" : "wrong");
  return right ? 0 : 1;
}
