// What goes wrong with the emulated device, as FASTNN_EMULATOR_FAULT asks: "no driver",
// "old driver", "no device"; "memory N", "launch N", "wait N" and "read N" (of 1024 bytes or
// more, for want of memory) from the N-th on (0 is the first), and with "lost N" all from the
// N-th launch on; "launch N once" and the like, that one alone; with "small" a block has
// 16 KiB to share.
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
  // Whether this call of the kind is to fail.
  bool due(const std::string& kind) {
    if (text_.rfind(kind + " ", 0) != 0) return false;
    const long first = std::atol(text_.c_str() + kind.size());
    const long now = count_++;
    return text_.ends_with(" once") ? now == first : now >= first;
  }
  // Nothing works any more, from the N-th launch on.
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
