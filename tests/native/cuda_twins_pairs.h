// The same numbers on the host and on the device, for twins that agree but for roundings.
#pragma once

#include <string>
#include <vector>

#include "cuda_twins.h"

namespace twins {

// The same numbers on both sides.
template <class T>
class Pair {
 public:
  explicit Pair(const std::vector<T>& from) : here_(from), there_(from) {}
  T* at(bool on_device) { return on_device ? there_.get() : here_.data(); }
  void same(const std::string& what) const { compare(what, here_, there_); }
  // Up to so many roundings of numbers as large as `size`; not finite ones are the same.
  void close(const std::string& what, double size) const {
    const std::vector<T> got = there_.read();
    const double allowed = (sizeof(T) == 4 ? 1e-6 : 1e-14) * size;
    for (std::size_t i = 0; i < here_.size(); ++i) {
      const auto a = static_cast<double>(here_[i]);
      const auto b = static_cast<double>(got[i]);
      const bool alike = std::isfinite(a) ? std::fabs(a - b) <= allowed * (1 + std::fabs(a))
                                          : (a == b || (a != a && b != b));
      if (!alike) return fail(what + " at " + std::to_string(i));
    }
  }

 private:
  std::vector<T> here_;
  Copy<T> there_;
};

template <class T>
Pair<T> numbers(Index n) {
  return Pair<T>(draw.numbers<T>(n));
}

template <class T>
Pair<T> unwritten(Index n) {
  return Pair<T>(std::vector<T>(static_cast<std::size_t>(n), T(-7)));
}

// f(context, whether it is of the device) on both sides.
template <class F>
void on_both(const F& f) {
  must(f(host, false));
  must(f(*device, true));
}

template <class T>
std::string of(const char* name, Index n, Index c) {
  return std::string(name) + " " + std::to_string(n) + "x" + std::to_string(c) +
         (sizeof(T) == 4 ? ", float" : ", double");
}

// The kernel of a name on either side, for calls in `on_both`.
#define FASTNN_TWIN(name) (there ? kernels<T>().name : cpu::name<T>)

}  // namespace twins
