// Random numbers for choices that Python code makes.
#include "core/random.h"

#include "bindings/bindings.h"
#include "bindings/unlocked.h"
#include "core/backend.h"

namespace fastnn::bindings {

void register_random(py::module_& module) {
  module.def(
      "permutation",
      [](Index n, std::uint64_t key, std::uint64_t epoch) {
        check(n >= 0, "n: expected at least 0, got ", n);
        py::array_t<Index> order(n);
        Index* const out = order.mutable_data();
        const Unlocked unlocked;
        backend().here().call(backend().table->shuffle,
                              Shuffle{key, epoch, n, 0, n, true, nullptr, out});
        return order;
      },
      py::arg("n"), py::arg("key"), py::arg("epoch"));
  module.def(
      "random_bits",
      [](Index count, std::uint64_t key, std::uint64_t stream) {
        check(count >= 0, "count: expected at least 0, got ", count);
        py::array_t<std::uint32_t> bits(count);
        std::uint32_t* const out = bits.mutable_data();
        const Unlocked unlocked;
        const std::uint64_t stream_key = portable::stream_key(key, stream);
        for (Index first = 0; first < count; first += 4) {  // a counter gives four
          const auto counter = static_cast<std::uint64_t>(first) / 4;
          const portable::Philox words = portable::philox(stream_key, counter, 0);
          for (Index j = 0; j < 4 && first + j < count; ++j) out[first + j] = words.word[j];
        }
        return bits;
      },
      py::arg("count"), py::arg("key"), py::arg("stream"));
}

}  // namespace fastnn::bindings
