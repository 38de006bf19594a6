// Products by cuBLASLt. Each uses the first algorithm that the library's heuristic offers, asked
// once for each shape, among algorithms whose sums have a fixed order.
#pragma once

#include <map>
#include <memory>
#include <tuple>

#include "core/machine.h"
#include "cuda/host/cublas.h"

namespace fastnn::cublas {

// D (m, n) = A (m, k) B (k, n), all row-major; D is float32.
struct Product {
  Index m, n, k;
  Type type;  // of A and B
  const void* a;
  bool transpose_a;  // stored as (k, m)
  const void* b;
  bool transpose_b;  // stored as (n, k)
  float* d;
  bool add = false;           // to the values in D
  Epilogue epilogue = plain;  // `bias_gradient_a` is the sum of B over k
  float* bias = nullptr;      // (n): read, or written
};

class Products {
 public:
  // Returns null if there is no working cuBLASLt. `widest`: the largest n of products with an
  // epilogue.
  static std::unique_ptr<Products> make(const Machine& machine, Memory& memory, Index widest);
  Products(const Machine& machine, Memory& memory, Handle handle, Index widest);
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;
  ~Products();

  // Whether there is an algorithm for the product. The first request for a product must come while
  // no graph is recorded, because an epilogue's relu is tried out: one that turns NaN into 0 is
  // refused.
  bool offered(const Product& product);
  // Runs the product with the chosen algorithm, on the machine's stream.
  void run(const Product& product);

 private:
  struct Chosen;
  using Key =
      std::tuple<Index, Index, Index, Type, bool, bool, Epilogue, const void*, int, int, int>;

  const Chosen* find(const Product& product);
  std::unique_ptr<Chosen> choose(const Product& product) const;
  void run(const Product& product, const Chosen& chosen) const;
  bool keeps_nan(const Product& product, const Chosen& chosen) const;

  const Machine& machine_;
  const Functions& functions_;
  Handle handle_;
  void* workspace_;
  float* not_numbers_;                             // (widest)
  std::map<Key, std::unique_ptr<Chosen>> chosen_;  // null: no algorithm is offered
};

}  // namespace fastnn::cublas
