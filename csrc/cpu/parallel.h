// The worker threads of the process: how many, and their end.
#pragma once

namespace fastnn {

// Physical cores that this process may run on, no more than its CPU quota.
int available_cores();

int num_threads();
void set_num_threads(int n);  // 1 to max_threads

// Ends the worker threads; the next parallel call starts them again.
void stop_workers();

}  // namespace fastnn
