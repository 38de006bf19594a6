// Threads that kernels called from one thread of the host may use, however many a process has.
#pragma once

namespace fastnn {

// Of the calling thread, from now on; 0: as many as num_threads() says.
void limit_threads(int n);

}  // namespace fastnn
