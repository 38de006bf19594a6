// Faults of the emulated device, chosen by FASTNN_EMULATOR_FAULT:
//   "no driver", "old driver", "no device";
//   "memory N", "launch N", "wait N", "read N": these calls fail from the N-th on (0 is the first);
//     "read" counts reads of 1024 bytes or more, which fail for want of memory;
//   "lost N": everything fails from the N-th launch on;
//   "launch N once" and likewise: only the N-th call fails;
//   "small": a block has 16 KiB of shared memory.
#pragma once

#include <atomic>
#include <cstdlib>
#include <string>

namespace fastnn::emulated {

class Fault {
 public:
  Fault() {
    const char* const text = std::getenv("FASTNN_EMULATOR_FAULT");
    if (text != nullptr) text_ = text;
  }
  bool is(const char* name) const { return text_ == name; }
  // Whether this call of the kind fails.
  bool due(const std::string& kind) {
    if (text_.rfind(kind + " ", 0) != 0) return false;
    const long first = std::atol(text_.c_str() + kind.size());
    const long now = count_++;
    return text_.ends_with(" once") ? now == first : now >= first;
  }
  // Whether the device is lost. With "lost N" it is lost from the N-th launch on.
  bool lost(bool launch = false) {
    if (launch && due("lost")) lost_ = true;
    return lost_;
  }

 private:
  std::string text_;
  std::atomic<long> count_ = 0;
  std::atomic<bool> lost_ = false;
};

inline Fault& fault() {
  static Fault the;
  return the;
}

}  // namespace fastnn::emulated
