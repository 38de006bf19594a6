// A limit for one thread of the host: how many threads the kernels that it calls may use.
#pragma once

namespace fastnn {

// Sets the limit of the calling thread; 0 removes it, and num_threads() alone counts.
void limit_threads(int n);

}  // namespace fastnn
