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
        for (Index i = 0; i < count; ++i) {
          const auto counter = static_cast<std::uint64_t>(i) / 4;
          out[i] = portable::philox(stream_key, counter, 0).word[i % 4];
        }
        return bits;
      },
      py::arg("count"), py::arg("key"), py::arg("stream"));
  module.def(
      "random_normals",
      [](Index count, std::uint64_t key, std::uint64_t stream) {
        check(count >= 0, "count: expected at least 0, got ", count);
        py::array_t<float> numbers(count);
        float* const out = numbers.mutable_data();
        const Unlocked unlocked;
        const std::uint64_t stream_key = portable::stream_key(key, stream);
        for (Index i = 0; i < count; ++i) {
          const auto counter = static_cast<std::uint64_t>(i) / 4;
          out[i] = portable::normal_of(portable::philox(stream_key, counter, 0).word[i % 4]);
        }
        return numbers;
      },
      py::arg("count"), py::arg("key"), py::arg("stream"));
}

}  // namespace fastnn::bindings
