// Products in bfloat16, for tests and measurements: layers choose by themselves.
#include "bindings/bindings.h"
#include "bindings/unlocked.h"
#include "core/backend.h"

namespace fastnn::bindings {

namespace {

py::array split_product(const py::array& x, const py::array& w, int bf16_parts, bool transpose_x,
                        bool transpose_w) {
  check(bf16_parts >= 1 && bf16_parts <= 3, "bf16_parts: expected 1, 2 or 3, got ", bf16_parts);
  check(x.ndim() == 2 && w.ndim() == 2, "x, w: expected 2 axes, got shapes ", shape_of(x), " and ",
        shape_of(w));
  const Index n = x.shape(transpose_x ? 1 : 0);
  const Index i = x.shape(transpose_x ? 0 : 1);
  const Index o = w.shape(transpose_w ? 0 : 1);
  check(w.shape(transpose_w ? 1 : 0) == i, "w: expected a shape to match x ", shape_of(x), ", got ",
        shape_of(w));
  const Kernel<SplitProduct> kernel = backend().split_product;
  if (kernel == nullptr) refuse("split_product: ", backend().table->name, " has no unit for it");
  py::array_t<float> y({n, o});
  const SplitProduct arguments{.n = n,
                               .i = i,
                               .o = o,
                               .x = data_of<float>(x, "x"),
                               .transpose_x = transpose_x,
                               .w = data_of<float>(w, "w"),
                               .transpose_w = transpose_w,
                               .bf16_parts = bf16_parts,
                               .y = y.mutable_data()};
  const Unlocked unlocked;
  backend().here().call(kernel, arguments);
  return y;
}

}  // namespace

void register_split_product(py::module_& module) {
  using namespace py::literals;
  module.def("split_product", split_product, "x"_a, "w"_a, "bf16_parts"_a, "transpose_x"_a = false,
             "transpose_w"_a = false);
}

}  // namespace fastnn::bindings
