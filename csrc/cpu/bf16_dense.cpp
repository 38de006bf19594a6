#include "cpu/bf16_dense.h"

#include <algorithm>
#include <utility>

#include "cpu/context.h"

namespace fastnn {
namespace {

std::size_t at(int index) { return static_cast<std::size_t>(index); }

Index width(const Plan& plan, int tensor) { return plan.tensors[at(tensor)].width; }

// Whether the products gain more than conversions and padding cost. A product of few rows with
// weights that no cache holds waits for memory, whatever the unit; in float32 it needs no second
// copy of the weights.
bool pays(const Plan& plan, const Node& node, Index n) {
  if (node.kind != NodeKind::dense) return false;
  constexpr Index multiply_adds = Index{1} << 16;
  constexpr Index cached = Index{1} << 20;  // weights
  const Index i = width(plan, node.input());
  const Index o = width(plan, node.output);
  return i >= 32 && o >= 16 && n >= 24 && n >= multiply_adds / (i * o) &&
         (n >= 64 || i * o <= cached);
}

Bf16Matrix a_form(Index rows, Index k) { return {nullptr, bf16_a_size(rows, k), bf16_a_stride(k)}; }
Bf16Matrix b_form(Index k, Index n) { return {nullptr, bf16_b_size(k, n), bf16_b_stride(k)}; }

void take(Memory& memory, int bf16_parts, Bf16Matrix& form) {
  form.data = memory.take<std::uint16_t>(bf16_parts * form.part_stride);
}

// Memory for forms that are each in use for a limited time. Forms whose times do not overlap share
// memory.
class Shared {
 public:
  // Adds a form in use from `first` to `last`. No form added before may be in use for longer.
  void add(Bf16Matrix& form, std::size_t first, std::size_t last) {
    const auto free = std::find_if(places_.begin(), places_.end(),
                                   [&](const Forms& place) { return place.last < first; });
    Forms& place = free != places_.end() ? *free : places_.emplace_back();
    place.last = last;
    place.size = std::max(place.size, form.part_stride);
    place.forms.push_back(&form);
  }
  void take(Memory& memory, int bf16_parts) {
    for (const Forms& place : places_) {
      auto* const data = memory.take<std::uint16_t>(bf16_parts * place.size);
      for (Bf16Matrix* form : place.forms) form->data = data;
    }
  }

 private:
  struct Forms {
    std::size_t last = 0;
    Index size = 0;  // of one part
    std::vector<Bf16Matrix*> forms;
  };
  std::vector<Forms> places_;
};

Bf16Convert matrix(Index rows, Index columns, int bf16_parts) {
  return {.rows = rows,
          .columns = columns,
          .block = {},
          .x = nullptr,
          .x_row = columns,
          .bf16_parts = bf16_parts,
          .a = {},
          .b = {},
          .a_transposed = {},
          .b_transposed = {}};
}

// Converts a whole matrix, whose x is set, on several threads.
void convert_all(Context& context, const CpuTable& table, const Bf16Convert& whole) {
  struct Job {
    const Bf16Convert& whole;
    void (*convert)(const Bf16Convert&);
    Index rows, columns, across;
  };
  // A block takes about ten microseconds.
  constexpr Index elements = Index{1} << 16;
  constexpr Index most_columns = 512;
  const Index columns = std::min(bf16_padded(whole.columns, bf16_depth), most_columns);
  if (whole.rows == 0 || columns == 0) return;
  const Index rows = elements / columns / bf16_depth * bf16_depth;
  const Index across = (whole.columns + columns - 1) / columns;
  const Job job{whole, table.bf16.convert, rows, columns, across};
  context.run((whole.rows + rows - 1) / rows * across, context.threads(whole.rows * whole.columns),
              [](const void* arguments, Index index, int) {
                const Job& own = *static_cast<const Job*>(arguments);
                Bf16Convert part = own.whole;
                const Index row = index / own.across * own.rows;
                const Index column = index % own.across * own.columns;
                part.block = {row, std::min(own.rows, part.rows - row), column,
                              std::min(own.columns, part.columns - column)};
                part.x += row * part.x_row + column;
                own.convert(part);
              },
              &job);
}

}  // namespace

bool bf16_serves(const Plan& plan, Index rows) {
  return std::any_of(plan.nodes.begin(), plan.nodes.end(),
                     [&](const Node& node) { return pays(plan, node, rows); });
}

// -- weights ----------------------------------------------------------------

Bf16Weights::Bf16Weights(const CpuTable& table, const Machine& machine, const Plan& plan,
                         int bf16_parts, Index rows, const float* parameters)
    : table_(table),
      plan_(plan),
      bf16_parts_(bf16_parts),
      parameters_(parameters),
      memory_(machine),
      forms_(plan.nodes.size()) {
  const std::vector<bool> wanted = wanted_gradients(plan_);
  for (std::size_t index = 0; index < forms_.size(); ++index) {
    const Node& node = plan_.nodes[index];
    Forms& forms = forms_[index];
    forms.served = pays(plan_, node, rows);
    if (!forms.served) continue;
    const Index i = width(plan_, node.input());
    const Index o = width(plan_, node.output);
    forms.trainable = plan_.parameters[at(node.kernel())].trainable;
    forms.kernel = b_form(i, o);
    take(memory_, bf16_parts_, forms.kernel);
    if (!wanted[at(node.input())]) continue;
    forms.transposed = b_form(o, i);
    take(memory_, bf16_parts_, forms.transposed);
  }
}

void Bf16Weights::refresh(Context& context, std::size_t node) {
  const Parameter& kernel = plan_.parameters[at(plan_.nodes[node].kernel())];
  Bf16Convert whole = matrix(kernel.rows, kernel.columns, bf16_parts_);
  whole.x = parameters_ + kernel.offset;
  whole.b = forms_[node].kernel;
  whole.b_transposed = forms_[node].transposed;
  convert_all(context, table_, whole);
}

void Bf16Weights::convert(std::size_t node, const Block& block) const {
  const Parameter& kernel = plan_.parameters[at(plan_.nodes[node].kernel())];
  Bf16Convert part = matrix(kernel.rows, kernel.columns, bf16_parts_);
  part.x = parameters_ + kernel.offset + block.row * kernel.columns + block.column;
  part.block = block;
  part.b = forms_[node].kernel;
  part.b_transposed = forms_[node].transposed;
  table_.bf16.convert(part);
}

// -- a walk's dense nodes ---------------------------------------------------

Bf16Dense::Bf16Dense(const CpuTable& table, const Machine& machine, Memory& memory,
                     const Plan& plan, std::shared_ptr<Bf16Weights> weights, Index rows)
    : table_(table),
      machine_(machine),
      plan_(plan),
      weights_(std::move(weights)),
      forms_(plan.nodes.size()) {
  find_readers();
  take_forms(memory, rows);
}

void Bf16Dense::find_readers() {
  std::vector<int> maker(plan_.tensors.size(), none);
  std::vector<int> readers(plan_.tensors.size());
  for (std::size_t index = 0; index < forms_.size(); ++index) {
    const Node& node = plan_.nodes[index];
    for (const int input : node.inputs) ++readers[at(input)];
    if (node.kind == NodeKind::dense) maker[at(node.output)] = static_cast<int>(index);
  }
  for (std::size_t index = 0; index < forms_.size(); ++index) {
    const int input = plan_.nodes[index].input();
    if (!weights_->of(index).served || readers[at(input)] != 1 || maker[at(input)] == none)
      continue;
    forms_[at(maker[at(input)])].reader = static_cast<int>(index);
  }
}

// A step gives each node two turns: forward in the order of nodes, then backward in reverse. A form
// is in use from the turn of the node that makes it, which may be the form's own node, to the turn
// of its own node.
void Bf16Dense::take_forms(Memory& memory, Index rows) {
  const int bf16_parts = weights_->bf16_parts();
  const std::size_t count = forms_.size();
  Shared shared;
  std::vector<std::size_t> made(count);
  for (std::size_t index = 0; index < count; ++index) made[index] = index;
  for (std::size_t index = 0; index < count; ++index) {
    if (forms_[index].reader != none) made[at(forms_[index].reader)] = index;
  }
  for (std::size_t index = 0; index < count; ++index) {
    const Node& node = plan_.nodes[index];
    if (!weights_->of(index).served) continue;
    const Index i = width(plan_, node.input());
    forms_[index].x = a_form(rows, i);
    shared.add(forms_[index].x, made[index], index);
    if (!weights_->of(index).trainable) continue;
    forms_[index].x_transposed = a_form(i, rows);
    take(memory, bf16_parts, forms_[index].x_transposed);
  }
  Index longest = 0;
  for (std::size_t index = count; index-- > 0;) {
    const Node& node = plan_.nodes[index];
    const Bf16Weights::Forms& w = weights_->of(index);
    if (!w.served) continue;
    const Index o = width(plan_, node.output);
    const std::size_t own = 2 * count - 1 - index;
    const int reader = forms_[index].reader;
    const std::size_t first = reader == none ? own : 2 * count - 1 - at(reader);
    if (w.transposed.data != nullptr) {
      forms_[index].dz = a_form(rows, o);
      shared.add(forms_[index].dz, first, own);
    }
    if (!w.trainable) continue;
    forms_[index].dz_rows = b_form(rows, o);
    shared.add(forms_[index].dz_rows, first, own);
    if (rows > bf16_stretch) longest = std::max(longest, width(plan_, node.input()) * o);
  }
  shared.take(memory, bf16_parts);
  if (longest > 0) dw_ = memory.take<float>(longest);
}

void Bf16Dense::refresh() {
  for (std::size_t index = 0; index < forms_.size(); ++index) {
    if (weights_->of(index).served) weights_->refresh(*machine_.context, index);
  }
}

void Bf16Dense::refresh_trainable() {
  for (std::size_t index = 0; index < forms_.size(); ++index) {
    if (weights_->of(index).trainable) weights_->refresh(*machine_.context, index);
  }
}

Bf16Convert Bf16Dense::input_of(std::size_t node, Index n, Index i) const {
  Bf16Convert forms = matrix(n, i, weights_->bf16_parts());
  forms.a = forms_[node].x;
  forms.a_transposed = forms_[node].x_transposed;
  return forms;
}

Bf16Convert Bf16Dense::gradient_of(std::size_t node, Index n, Index o) const {
  Bf16Convert forms = matrix(n, o, weights_->bf16_parts());
  forms.a = forms_[node].dz;
  forms.b = forms_[node].dz_rows;
  return forms;
}

void Bf16Dense::convert(const Bf16Convert& whole) { convert_all(*machine_.context, table_, whole); }

void Bf16Dense::multiply(const Bf16Product& product) {
  machine_.call<Bf16Product>(table_.bf16.multiply, product);
}

void Bf16Dense::forward(std::size_t node, const DenseForward<float>& a) {
  Forms& own = forms_[node];
  const Bf16Weights::Forms& w = weights_->of(node);
  if (!w.served) {
    machine_.call<DenseForward<float>>(table_.kernels.f32.dense_forward, a);
    return;
  }
  if (!own.x_ready) {
    Bf16Convert input = input_of(node, a.n, a.i);
    input.x = a.x;
    convert(input);
  }
  own.x_ready = false;
  struct Finish {
    const CpuTable& table;
    const DenseForward<float>& a;
    bool reads;  // whether the output is converted for its reader
    Bf16Convert output;
  } finish{table_, a, own.reader != none, {}};
  if (finish.reads) finish.output = input_of(at(own.reader), a.n, a.o);
  multiply({.m = a.n,
            .n = a.o,
            .k = a.i,
            .bf16_parts = weights_->bf16_parts(),
            .a = own.x,
            .b = w.kernel,
            .c = a.z != nullptr ? a.z : a.y,
            .c_row = a.o,
            .start = a.b,
            .finish =
                [](const void* arguments, const ResultBlock<float>& block) {
                  const Finish& f = *static_cast<const Finish*>(arguments);
                  f.table.finish->forward(f.a, block);
                  if (!f.reads) return;
                  Bf16Convert part = f.output;
                  part.block = block;
                  part.x = f.a.y + block.row * f.a.o + block.column;
                  f.table.bf16.convert(part);
                },
            .arguments = &finish});
  if (finish.reads) forms_[at(own.reader)].x_ready = true;
}

void Bf16Dense::backward(std::size_t node, int before, const DenseBackward<float>& a) {
  const auto kernel = table_.kernels.f32.dense_backward;
  if (!weights_->of(node).served) {
    machine_.call<DenseBackward<float>>(kernel, a);
    return;
  }
  Forms& own = forms_[node];
  DenseBackward<float> sums = a;  // only the derivative and the gradient of the bias
  sums.dx = sums.dw = sums.dx_sum = nullptr;
  sums.update = nullptr;
  if (!a.activation.is(ActivationKind::linear) || a.db != nullptr) {
    machine_.call<DenseBackward<float>>(kernel, sums);
  }
  if (!own.dz_ready && (own.dz.data != nullptr || own.dz_rows.data != nullptr)) {
    Bf16Convert gradient = gradient_of(node, a.n, a.o);
    gradient.x = !a.activation.is(ActivationKind::linear) ? a.dz : a.dy;
    convert(gradient);
  }
  own.dz_ready = false;
  if (a.dx != nullptr) input_gradient(node, before, a);
  if (a.dw != nullptr || a.update != nullptr) weight_gradient(node, a);
}

void Bf16Dense::input_gradient(std::size_t node, int before, const DenseBackward<float>& a) {
  struct Finish {
    const CpuTable& table;
    const DenseBackward<float>& a;
    bool reads;
    Bf16Convert gradient;
  } finish{table_, a, before != none && weights_->of(at(before)).served, {}};
  if (finish.reads) finish.gradient = gradient_of(at(before), a.n, a.i);
  multiply({.m = a.n,
            .n = a.i,
            .k = a.o,
            .bf16_parts = weights_->bf16_parts(),
            .a = forms_[node].dz,
            .b = weights_->of(node).transposed,
            .c = a.dx,
            .c_row = a.i,
            .finish =
                [](const void* arguments, const ResultBlock<float>& block) {
                  const Finish& f = *static_cast<const Finish*>(arguments);
                  f.table.finish->dx(f.a, block);
                  if (!f.reads) return;
                  Bf16Convert part = f.gradient;
                  part.block = block;
                  part.x = f.a.dx + block.row * f.a.i + block.column;
                  f.table.bf16.convert(part);
                },
            .arguments = &finish});
  if (finish.reads) forms_[at(before)].dz_ready = true;
  if (a.dx_sum == nullptr) return;
  DenseBackward<float> sums{};
  sums.n = a.n;
  sums.o = a.i;
  sums.dy = a.dx;
  sums.db = a.dx_sum;
  sums.accumulates = a.accumulates;
  machine_.call<DenseBackward<float>>(table_.kernels.f32.dense_backward, sums);
}

void Bf16Dense::weight_gradient(std::size_t node, const DenseBackward<float>& a) {
  struct Finish {
    const CpuTable& table;
    const Bf16Weights& weights;
    std::size_t node;
    Index o;
    PreparedBytes step;
  } finish{table_, *weights_, node, a.o, {}};
  if (a.update != nullptr) finish.step = table_.finish->prepare(*a.update);
  Bf16Product product{.m = a.i,
                      .n = a.o,
                      .k = a.n,
                      .bf16_parts = weights_->bf16_parts(),
                      .a = forms_[node].x_transposed,
                      .b = forms_[node].dz_rows,
                      .c = a.dw != nullptr ? a.dw : dw_,
                      .c_row = a.o,
                      .add = a.accumulates,
                      .arguments = &finish};
  if (a.update != nullptr) {
    product.finish = [](const void* arguments, const ResultBlock<float>& block) {
      const Finish& f = *static_cast<const Finish*>(arguments);
      f.table.finish->update(f.step, f.o, block);
      f.weights.convert(f.node, block);
    };
  }
  multiply(product);
}

}  // namespace fastnn
