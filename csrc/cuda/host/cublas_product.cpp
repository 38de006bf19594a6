#include "cuda/host/cublas_product.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/check.h"
#include "cuda/host/library.h"

namespace fastnn::cublas {
namespace {

constexpr std::size_t workspace_bytes = std::size_t{32} << 20U;

void must(const Functions& functions, Result result, const char* doing) {
  if (result == Result::success) return;
  refuse("CUDA failed: cuBLASLt, ", doing, ": ", functions.GetStatusString(result));
}

// The largest power of two, at most 256, that divides an address.
std::uint32_t alignment_of(const void* address) {
  const auto bits = reinterpret_cast<std::uintptr_t>(address) | 256U;
  return static_cast<std::uint32_t>(bits & (~bits + 1));
}

// Owns an object of the library, and destroys it.
template <class T>
class Owned {
 public:
  explicit Owned(Result (*destroy)(T)) : destroy_(destroy) {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (value != nullptr) destroy_(value);
  }
  T value = nullptr;

 private:
  Result (*destroy_)(T);
};

}  // namespace

// cuBLASLt is column-major: D^T (n, m) = B^T (n, k) A^T (k, m). So B here is A there.
struct Products::Chosen {
  explicit Chosen(const Functions& functions)
      : description(functions.MatmulDescDestroy),
        a(functions.MatrixLayoutDestroy),
        b(functions.MatrixLayoutDestroy),
        d(functions.MatrixLayoutDestroy) {}

  Owned<Description> description;
  Owned<Layout> a, b, d;
  Algorithm algorithm{};
};

std::unique_ptr<Products> Products::make(const Machine& machine, Memory& memory, Index widest) {
  const Functions* const functions = library().functions;
  Handle handle = nullptr;
  if (functions == nullptr || functions->Create(&handle) != Result::success) return nullptr;
  return std::make_unique<Products>(machine, memory, handle, widest);
}

Products::Products(const Machine& machine, Memory& memory, Handle handle, Index widest)
    : machine_(machine),
      functions_(*library().functions),
      handle_(handle),
      workspace_(memory.take<char>(workspace_bytes)),
      not_numbers_(memory.take<float>(widest)) {
  const std::vector<float> values(static_cast<std::size_t>(widest),
                                  std::numeric_limits<float>::quiet_NaN());
  machine_.write(*machine_.context, not_numbers_, values.data(), values.size() * sizeof(float));
}

Products::~Products() {
  chosen_.clear();
  // After a fork the device must not be touched.
  if (cuda_state().usable) functions_.Destroy(handle_);
}

bool Products::offered(const Product& product) { return find(product) != nullptr; }

void Products::run(const Product& product) { run(product, *find(product)); }

const Products::Chosen* Products::find(const Product& p) {
  const Key key{p.m,
                p.n,
                p.k,
                p.type,
                p.transpose_a,
                p.transpose_b,
                p.epilogue,
                p.bias,
                static_cast<int>(alignment_of(p.a)),
                static_cast<int>(alignment_of(p.b)),
                static_cast<int>(alignment_of(p.d))};
  const auto known = chosen_.find(key);
  if (known != chosen_.end()) return known->second.get();
  return chosen_.emplace(key, choose(p)).first->second.get();
}

std::unique_ptr<Products::Chosen> Products::choose(const Product& p) const {
  const Functions& f = functions_;
  auto made = std::make_unique<Chosen>(f);
  must(f, f.MatmulDescCreate(&made->description.value, Compute::f32, Type::f32), "a description");
  const auto describe = [&](Attribute attribute, const auto& value) {
    must(f, f.MatmulDescSetAttribute(made->description.value, attribute, &value, sizeof value),
         "describing a product");
  };
  describe(Attribute::transpose_a, p.transpose_b ? Transpose::yes : Transpose::no);
  describe(Attribute::transpose_b, p.transpose_a ? Transpose::yes : Transpose::no);
  describe(Attribute::epilogue, p.epilogue);
  if (p.epilogue != plain) describe(Attribute::bias, p.bias);
  const auto lay = [&](Layout& layout, Type type, Index rows, Index columns) {
    must(f,
         f.MatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(columns),
                              static_cast<std::uint64_t>(rows), columns),
         "the layout of a matrix");
  };
  lay(made->a.value, p.type, p.transpose_b ? p.n : p.k, p.transpose_b ? p.k : p.n);
  lay(made->b.value, p.type, p.transpose_a ? p.k : p.m, p.transpose_a ? p.m : p.k);
  lay(made->d.value, Type::f32, p.m, p.n);

  Owned<Wish> wish(f.MatmulPreferenceDestroy);
  must(f, f.MatmulPreferenceCreate(&wish.value), "a preference");
  const auto prefer = [&](Preference preference, const auto& value) {
    must(f, f.MatmulPreferenceSetAttribute(wish.value, preference, &value, sizeof value),
         "a preference");
  };
  prefer(Preference::workspace_bytes, workspace_bytes);
  prefer(Preference::reduction_schemes, reduction_in_compute_type);
  prefer(Preference::alignment_a, alignment_of(p.b));
  prefer(Preference::alignment_b, alignment_of(p.a));
  prefer(Preference::alignment_c, alignment_of(p.d));
  prefer(Preference::alignment_d, alignment_of(p.d));

  std::vector<Offer> offers(4);
  int count = 0;
  const Result result = f.MatmulAlgoGetHeuristic(
      handle_, made->description.value, made->a.value, made->b.value, made->d.value, made->d.value,
      wish.value, static_cast<int>(offers.size()), offers.data(), &count);
  if (result != Result::success) return nullptr;
  offers.resize(static_cast<std::size_t>(std::max(count, 0)));
  const auto first = std::find_if(offers.begin(), offers.end(), [](const Offer& offer) {
    return offer.state == Result::success && offer.workspace_bytes <= workspace_bytes;
  });
  if (first == offers.end()) return nullptr;
  made->algorithm = first->algorithm;
  if ((p.epilogue & relu) != 0 && !keeps_nan(p, *made)) return nullptr;
  return made;
}

// The maximum instruction of a GPU gives 0 for NaN and 0. Nothing documents which instruction an
// algorithm uses, so biases of NaN test it. D is written next anyway, so this may use it.
bool Products::keeps_nan(const Product& p, const Chosen& chosen) const {
  const auto bias = [&](const float* from) {
    must(functions_,
         functions_.MatmulDescSetAttribute(chosen.description.value, Attribute::bias, &from,
                                           sizeof from),
         "describing a product");
  };
  bias(not_numbers_);
  run(p, chosen);
  bias(p.bias);
  std::vector<float> row(static_cast<std::size_t>(p.n));
  for (const Index r : {Index{0}, p.m - 1}) {
    machine_.read(*machine_.context, row.data(), p.d + r * p.n, row.size() * sizeof(float));
    if (!std::all_of(row.begin(), row.end(), [](float x) { return std::isnan(x); })) return false;
  }
  return true;
}

void Products::run(const Product& p, const Chosen& chosen) const {
  const float one = 1;
  const float before = p.add ? 1 : 0;
  must(functions_,
       functions_.Matmul(handle_, chosen.description.value, &one, p.b, chosen.a.value, p.a,
                         chosen.b.value, &before, p.d, chosen.d.value, p.d, chosen.d.value,
                         &chosen.algorithm, workspace_, workspace_bytes,
                         cuda_library().stream(machine_.context.get())),
       "a product");
}

}  // namespace fastnn::cublas
