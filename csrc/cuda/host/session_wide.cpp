#include "cuda/host/session_wide.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "cuda/host/cublas_product.h"
#include "cuda/host/library.h"
#include "cuda/host/overlapped_updates.h"
#include "cuda/host/session_generic.h"

namespace fastnn {
namespace {

using cublas::Product;

std::size_t at(int index) { return static_cast<std::size_t>(index); }

// Where the products of a layer outweigh what a kernel of our own saves by finishing its
// result before it is written.
bool fills_tiles(Index n, Index i, Index o) {
  constexpr Index least = 32;
  constexpr Index multiply_adds = Index{1} << 15;
  return n >= least && i >= least && o >= least && n >= multiply_adds / (i * o);
}

// A matrix as products read it: in float32 or, where there are parts, as their sum.
struct Matrix {
  const float* values = nullptr;
  uint16_t* part[Finish::most_parts] = {};
};

// Dense nodes by cuBLASLt where it is there and has an algorithm, else by the kernel table,
// and updates on a stream of their own.
class WideProducts final : public UpdatingProducts {
 public:
  WideProducts(const ProductsRequest& request, Precision precision);

  void refresh() override;
  void refresh_trainable() override {}  // each was, behind its update
  void forward(std::size_t node, const DenseForward<float>& arguments) override;
  void backward(std::size_t node, int before, const DenseBackward<float>& given) override;
  void begin_step(const StepPlace& place, const OptimizerSettings& settings) override {
    updates_.begin_step(place, settings);
  }
  void end_step() override { updates_.end_step(); }
  void settle() override { updates_.settle(); }

 private:
  struct Layer {
    bool served = false;  // by cuBLASLt
    int reader = none;    // the served node that alone reads its output
    Matrix w, x, dz;      // their parts, where there are any
    bool x_ready = false, dz_ready = false;
    // The reader alone reads the output, and this layer alone its gradient: their one part
    // is all of them that is written. Then they are missing in float32.
    bool in_part_alone = false;
    bool x_missing = false, dz_missing = false;
  };

  void find_readers();
  void take_parts(Memory& memory, Layer& layer, Index n, Index i, Index o) const;
  bool multiply(const Product& product, const Matrix& a, const Matrix& b);
  bool multiply_forward(const Layer& layer, const DenseForward<float>& a, bool& finished);
  bool input_gradient(std::size_t node, int before, const DenseBackward<float>& a);
  bool weight_gradient(const Layer& layer, const DenseBackward<float>& a, bool& has_db);
  void split(const Machine& machine, Index n, Index c, const float* x, const Matrix& to) const;
  void finish(const Machine& machine, const Finish& arguments) const;
  void restore(const Matrix& from, Index n, Index c, const float* to, bool& missing) const;
  void restore(Layer& layer, const DenseBackward<float>& arguments) const;
  void table_backward(const DenseBackward<float>& arguments) const;
  void update(std::size_t index);

  Index width(int tensor) const { return plan_.tensors[at(tensor)].width; }
  bool trained(int p) const { return p != none && plan_.parameters[at(p)].trainable; }
  const float* values_of(int p) const { return parameters_ + plan_.parameters[at(p)].offset; }

  const Machine& machine_;
  const Plan& plan_;
  const float* parameters_;
  OverlappedUpdates updates_;
  std::unique_ptr<cublas::Products> products_;  // null: there is no cuBLASLt
  int parts_;                                   // in bfloat16, of each operand; 0: float32
  std::vector<Layer> layers_;                   // by node
  float* no_bias_ = nullptr;                    // zeros
};

WideProducts::WideProducts(const ProductsRequest& request, Precision precision)
    : machine_(request.machine),
      plan_(request.plan),
      parameters_(static_cast<const float*>(request.parameters)),
      updates_(request.machine, request.plan, request.updates, request.gradients),
      parts_(precision == Precision::highest ? 0
             : precision == Precision::high  ? 2
                                             : 1),
      layers_(plan_.nodes.size()) {
  const std::vector<bool> early = parameters_of_one_dense_node(plan_);
  Index widest = 0;
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const Node& node = plan_.nodes[index];
    if (node.kind != NodeKind::dense) continue;
    const Index i = width(node.input());
    const Index o = width(node.output);
    // A kernel of several nodes is stepped at the end of the step, behind the split into parts.
    const std::size_t kernel = at(node.kernel());
    const bool own = !plan_.parameters[kernel].trainable || early[kernel];
    layers_[index].served = own && fills_tiles(request.batch_size, i, o);
    if (layers_[index].served) widest = std::max(widest, o);
  }
  if (widest > 0) products_ = cublas::Products::make(machine_, request.memory, widest);
  if (products_ == nullptr) {
    layers_.assign(layers_.size(), {});
    return;
  }
  no_bias_ = request.memory.take<float>(widest);
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    if (!layers_[index].served || parts_ == 0) continue;
    take_parts(request.memory, layers_[index], request.batch_size,
               width(plan_.nodes[index].input()), width(plan_.nodes[index].output));
  }
  find_readers();
}

void WideProducts::take_parts(Memory& memory, Layer& layer, Index n, Index i, Index o) const {
  for (int part = 0; part < parts_; ++part) {
    layer.w.part[part] = memory.take<uint16_t>(i * o);
    layer.x.part[part] = memory.take<uint16_t>(n * i);
    layer.dz.part[part] = memory.take<uint16_t>(n * o);
  }
}

void WideProducts::find_readers() {
  std::vector<int> maker(plan_.tensors.size(), none);
  std::vector<int> readers(plan_.tensors.size());
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const Node& node = plan_.nodes[index];
    for (const int input : node.inputs) ++readers[at(input)];
    if (node.kind == NodeKind::dense) maker[at(node.output)] = static_cast<int>(index);
  }
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    const int input = plan_.nodes[index].input();
    if (!layers_[index].served || readers[at(input)] != 1 || maker[at(input)] == none) continue;
    Layer& layer = layers_[at(maker[at(input)])];
    layer.reader = static_cast<int>(index);
    layer.in_part_alone = parts_ == 1 && layer.served && input != plan_.output &&
                          input != plan_.logits && input != plan_.loss_input();
  }
}

void WideProducts::finish(const Machine& machine, const Finish& arguments) const {
  machine.must(cuda_library().finish(machine.context.get(), &arguments));
}

// The parts of x (n, c).
void WideProducts::split(const Machine& machine, Index n, Index c, const float* x,
                         const Matrix& to) const {
  Finish whole{.n = n, .c = c, .x = x, .parts = parts_};
  std::copy(std::begin(to.part), std::end(to.part), whole.part);
  finish(machine, whole);
}

void WideProducts::refresh() {
  if (parts_ == 0) return;
  for (std::size_t index = 0; index < layers_.size(); ++index) {
    if (!layers_[index].served) continue;
    const Node& node = plan_.nodes[index];
    split(machine_, width(node.input()), width(node.output), values_of(node.kernel()),
          layers_[index].w);
  }
}

// False, and nothing done, where it is not offered. The product of two low parts is left
// out: it is as small as what the parts themselves leave out.
bool WideProducts::multiply(const Product& product, const Matrix& a, const Matrix& b) {
  Product last = product;
  last.type = parts_ == 0 ? cublas::Type::f32 : cublas::Type::bf16;
  last.a = parts_ == 0 ? static_cast<const void*>(a.values) : a.part[0];
  last.b = parts_ == 0 ? static_cast<const void*>(b.values) : b.part[0];
  last.add = parts_ == 2;
  if (!products_->offered(last)) return false;
  if (parts_ == 2) {
    Product small = last;  // the small ones first
    small.epilogue = cublas::plain;
    small.bias = nullptr;
    small.add = false;
    small.a = a.part[1];
    if (!products_->offered(small)) return false;
    products_->run(small);
    small.a = a.part[0];
    small.b = b.part[1];
    small.add = true;
    if (!products_->offered(small)) return false;
    products_->run(small);
  }
  products_->run(last);
  return true;
}

// Into the float32 array of a matrix what it is rounded to, where that is all there is.
void WideProducts::restore(const Matrix& from, Index n, Index c, const float* to,
                           bool& missing) const {
  if (!missing) return;
  missing = false;
  finish(machine_,
         {.n = n, .c = c, .x = nullptr, .x_bf16 = from.part[0], .y = const_cast<float*>(to)});
}

void WideProducts::restore(Layer& layer, const DenseBackward<float>& a) const {
  restore(layer.x, a.n, a.i, a.x, layer.x_missing);
  restore(layer.dz, a.n, a.o, a.dy, layer.dz_missing);
}

// -- forward ----------------------------------------------------------------

void WideProducts::forward(std::size_t node, const DenseForward<float>& a) {
  Layer& layer = layers_[node];
  if (!layer.x_ready) {
    layer.x_missing = false;
    if (layer.served && parts_ > 0) split(machine_, a.n, a.i, a.x, layer.x);
  }
  layer.x_ready = false;
  layer.x.values = a.x;
  layer.w.values = a.w;
  bool finished = false;
  const bool multiplied = layer.served && multiply_forward(layer, a, finished);
  if (!multiplied) {
    restore(layer.x, a.n, a.i, a.x, layer.x_missing);
    machine_.call<DenseForward<float>>(machine_.table->f32.dense_forward, a);
    return;
  }
  if (finished) return;
  Finish rest{
      .n = a.n, .c = a.o, .x = a.y, .activation = a.activation, .b = a.b, .z = a.z, .y = a.y};
  if (parts_ > 0 && layer.reader != none) {
    Layer& reader = layers_[at(layer.reader)];
    rest.parts = parts_;
    std::copy(std::begin(reader.x.part), std::end(reader.x.part), rest.part);
    reader.x_ready = true;
    if (layer.in_part_alone) rest.y = nullptr;
    reader.x_missing = layer.in_part_alone;
  }
  finish(machine_, rest);
}

// The product, `finished` with bias and activation where it was offered so. Where the layer
// behind wants parts of the result a pass over it follows in any case.
bool WideProducts::multiply_forward(const Layer& layer, const DenseForward<float>& a,
                                    bool& finished) {
  Product product{};
  product.m = a.n;
  product.n = a.o;
  product.k = a.i;
  product.d = a.y;
  product.epilogue = cublas::plain;
  const bool relu = a.activation.is(ActivationKind::relu);
  const bool plain = a.activation.is(ActivationKind::linear);
  const bool reads = parts_ > 0 && layer.reader != none;
  if ((relu || plain) && a.z == nullptr && !reads) {
    Product whole = product;
    if (relu) {
      whole.epilogue = cublas::relu_bias;
      whole.bias = const_cast<float*>(a.b != nullptr ? a.b : no_bias_);
    } else if (a.b != nullptr) {
      whole.epilogue = cublas::bias;
      whole.bias = const_cast<float*>(a.b);
    }
    finished = multiply(whole, layer.x, layer.w);
    if (finished) return true;
  }
  return multiply(product, layer.x, layer.w);
}

// -- back -------------------------------------------------------------------

void WideProducts::table_backward(const DenseBackward<float>& arguments) const {
  machine_.call<DenseBackward<float>>(machine_.table->f32.dense_backward, arguments);
}

void WideProducts::backward(std::size_t node, int before, const DenseBackward<float>& given) {
  Layer& layer = layers_[node];
  if (!layer.served || given.accumulates || given.update != nullptr) {
    restore(layer, given);
    table_backward(given);
    update(node);
    return;
  }
  DenseBackward<float> a = given;
  a.dx = a.dw = a.db = a.dx_sum = nullptr;
  if (!a.activation.is(ActivationKind::linear)) {
    table_backward(a);
    a.dy = a.dz;
    a.activation = {};
  }
  layer.dz.values = a.dy;
  if (!layer.dz_ready) {
    layer.dz_missing = false;
    if (parts_ > 0) split(machine_, a.n, a.o, a.dy, layer.dz);
  }
  layer.dz_ready = false;
  DenseBackward<float> dx = a;
  dx.dx = given.dx;
  dx.dx_sum = given.dx_sum;
  if (dx.dx != nullptr && !input_gradient(node, before, dx)) {
    restore(layer, dx);
    table_backward(dx);
  }
  DenseBackward<float> dw = a;
  dw.dw = given.dw;
  dw.db = given.db;
  bool has_db = false;
  if (dw.dw != nullptr && weight_gradient(layer, dw, has_db)) dw.dw = nullptr;
  if (has_db) dw.db = nullptr;
  if (dw.dw != nullptr || dw.db != nullptr) {
    restore(layer, dw);
    table_backward(dw);
  }
  update(node);
}

// dx with all that belongs to it.
bool WideProducts::input_gradient(std::size_t node, int before, const DenseBackward<float>& a) {
  Product product{};
  product.m = a.n;
  product.n = a.i;
  product.k = a.o;
  product.transpose_b = true;
  product.d = a.dx;
  product.epilogue = cublas::plain;
  if (!multiply(product, layers_[node].dz, layers_[node].w)) return false;
  Finish rest{.n = a.n, .c = a.i, .x = a.dx, .activation = a.x_activation, .y = a.dx};
  rest.sums = a.dx_sum;
  if (portable::needs_preactivation(a.x_activation)) {
    rest.slope_of = a.x_z;
  } else if (layers_[node].x_missing) {
    rest.slope_of_bf16 = layers_[node].x.part[0];
  } else {
    rest.slope_of = a.x;
  }
  if (parts_ > 0 && before != none && layers_[at(before)].served) {
    Layer& maker = layers_[at(before)];
    rest.parts = parts_;
    std::copy(std::begin(maker.dz.part), std::end(maker.dz.part), rest.part);
    maker.dz_ready = true;
    if (maker.in_part_alone) rest.y = nullptr;
    maker.dz_missing = maker.in_part_alone;
  }
  const bool changes = !a.x_activation.is(ActivationKind::linear);
  if (changes || rest.sums != nullptr || rest.parts > 0) finish(machine_, rest);
  return true;
}

// dw and, where that was offered beside it, db. Parts are not what db is to be the sum of.
bool WideProducts::weight_gradient(const Layer& layer, const DenseBackward<float>& a,
                                   bool& has_db) {
  Product product{};
  product.m = a.i;
  product.n = a.o;
  product.k = a.n;
  product.transpose_a = true;
  product.d = a.dw;
  product.epilogue = cublas::plain;
  if (a.db != nullptr && parts_ == 0) {
    Product both = product;
    both.epilogue = cublas::bias_gradient_a;
    both.bias = a.db;
    has_db = multiply(both, layer.x, layer.dz);
    if (has_db) return true;
  }
  return multiply(product, layer.x, layer.dz);
}

// -- the optimizer ----------------------------------------------------------

void WideProducts::update(std::size_t index) {
  const Node& node = plan_.nodes[index];
  updates_.update(node);
  if (parts_ == 0 || !layers_[index].served || !trained(node.kernel())) return;
  split(updates_.machine(), width(node.input()), width(node.output), values_of(node.kernel()),
        layers_[index].w);
}

}  // namespace

bool wide_pays(const Plan& plan, Index batch_size) {
  constexpr double enough = 2147483648.0;  // operations: a tenth of a millisecond or less
  bool pays = false;
  plan.each_product([&](const Parameter& kernel) {
    const double operations =
        2.0 * static_cast<double>(batch_size) * static_cast<double>(kernel.size());
    pays = pays || operations >= enough;
  });
  return pays;
}

std::unique_ptr<Runner> make_wide(const Machine& machine, const SessionRequest& request) {
  const auto make = [&](const ProductsRequest& wanted) -> std::unique_ptr<UpdatingProducts> {
    return std::make_unique<WideProducts>(wanted, request.precision);
  };
  return make_generic(machine, *request.plan, request.buffers, request.batch_size, make);
}

}  // namespace fastnn
