// One product whose operands are converted for this product alone, as single calls need it.
// Sessions keep converted matrices (bf16_dense.h).
#include "cpu/split_product.h"

#include <algorithm>

#include "cpu/context.h"
#include "cpu/isa.h"

namespace fastnn {

namespace {

constexpr Index stripe_rows = 64;

// Converts the whole of X (rows, columns), in stripes of rows on several threads.
void convert(Context& context, const Bf16Convert& whole) {
  context.run((whole.rows + stripe_rows - 1) / stripe_rows,
              context.threads(whole.rows * whole.columns * whole.bf16_parts),
              [](const void* arguments, Index index, int) {
                Bf16Convert stripe = *static_cast<const Bf16Convert*>(arguments);
                const Index first = index * stripe_rows;
                const Index rows = std::min(stripe_rows, stripe.rows - first);
                stripe.block = {first, rows, 0, stripe.columns};
                stripe.x += first * stripe.x_row;
                cpu_table().bf16.convert(stripe);
              },
              &whole);
}

Bf16Convert conversion(const float* x, Index rows, Index columns, int bf16_parts) {
  return {.rows = rows,
          .columns = columns,
          .block = {},
          .x = x,
          .x_row = columns,
          .bf16_parts = bf16_parts,
          .a = {},
          .b = {},
          .a_transposed = {},
          .b_transposed = {}};
}

Status split_product(Context& context, const SplitProduct& p) {
  const Index a_size = bf16_a_size(p.n, p.i);
  const Index b_size = bf16_b_size(p.i, p.o);
  auto* const memory = static_cast<uint16_t*>(context.scratch(
      Context::shared,
      static_cast<std::size_t>(p.bf16_parts * (a_size + b_size)) * sizeof(uint16_t)));
  if (memory == nullptr) return Status::out_of_memory;
  const Bf16Matrix a{memory, a_size, bf16_a_stride(p.i)};
  const Bf16Matrix b{memory + p.bf16_parts * a_size, b_size, bf16_b_stride(p.i)};
  Bf16Convert x = conversion(p.x, p.n, p.i, p.bf16_parts);
  x.a = a;
  if (p.transpose_x) {
    x = conversion(p.x, p.i, p.n, p.bf16_parts);
    x.a_transposed = a;
  }
  convert(context, x);
  Bf16Convert w = conversion(p.w, p.i, p.o, p.bf16_parts);
  w.b = b;
  if (p.transpose_w) {
    w = conversion(p.w, p.o, p.i, p.bf16_parts);
    w.b_transposed = b;
  }
  convert(context, w);
  return cpu_table().bf16.multiply(context, {.m = p.n,
                                             .n = p.o,
                                             .k = p.i,
                                             .bf16_parts = p.bf16_parts,
                                             .a = a,
                                             .b = b,
                                             .c = p.y,
                                             .c_row = p.o});
}

}  // namespace

Kernel<SplitProduct> cpu_split_product() {
  return cpu_table().bf16.multiply != nullptr ? split_product : nullptr;
}

}  // namespace fastnn
