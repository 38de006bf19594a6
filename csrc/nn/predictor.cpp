#include "nn/predictor.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "core/backend.h"
#include "nn/checks.h"
#include "nn/fold.h"
#include "nn/ticker.h"

namespace fastnn {
namespace {

// The work of one row, in multiply-adds: 2^17 of them take 2 to 10 us, whatever the processor.
Index work_of(const Plan& plan) {
  constexpr Index by_element = 8;  // check, conversion, or an activation
  Index work = by_element * plan.input_width();
  for (const Node& node : plan.nodes) {
    const Index i = plan.tensors[static_cast<std::size_t>(node.input())].width;
    const Index o = plan.tensors[static_cast<std::size_t>(node.output)].width;
    work += by_element * o + (node.kind == NodeKind::dense ? i * o : 0);
  }
  return work;
}

// Memory of one call: on the stack for the usual row, so that answers cost no allocation.
class Scratch {
 public:
  explicit Scratch(Index bytes) {
    if (bytes > static_cast<Index>(sizeof(near_))) {
      far_.resize(static_cast<std::size_t>(bytes) / sizeof(double) + 1);
    }
  }
  char* data() { return reinterpret_cast<char*>(far_.empty() ? near_ : far_.data()); }

 private:
  alignas(parameter_alignment) double near_[512];
  std::vector<double> far_;
};

// Rows first..first+n of all inputs, side by side: (n, width) in `joined`, of `element`.
void join(std::span<const Predictor::Input> inputs, Index first, Index n, Element element,
          Index size, char* joined) {
  const auto gather = [&](const auto& kernel, const ArrayView& view, Index row, auto* out) {
    const Status status = kernel(*backend().here().context, {view, {nullptr, row, 1}, 1, 0, out});
    if (status != Status::ok) throw std::bad_alloc();
  };
  for (Index row = first; row < first + n; ++row) {
    for (const Predictor::Input& input : inputs) {
      if (element == Element::f64) {
        gather(backend().table->f64.gather, input.x, row, reinterpret_cast<double*>(joined));
      } else {
        gather(backend().table->f32.gather, input.x, row, reinterpret_cast<float*>(joined));
      }
      joined += input.x.columns * size;
    }
  }
}

// Takes the columns of outputs apart: of n rows in `joined`, to their memory from row `first` on.
void part(const char* joined, Index first, Index n, Index size,
          std::span<const Predictor::Output> outputs) {
  for (Index row = first; row < first + n; ++row) {
    for (const Predictor::Output& output : outputs) {
      const Index bytes = output.width * size;
      std::memcpy(static_cast<char*>(output.memory) + row * bytes, joined,
                  static_cast<std::size_t>(bytes));
      joined += bytes;
    }
  }
}

}  // namespace

Predictor::Predictor(Plan plan, const ParameterBuffer& parameters)
    : plan_(std::move(plan)),
      parameters_(parameters.size(), parameters.element()),
      named_(named_columns(plan_)),
      gaps_(columns_with_gaps(plan_)) {
  parameters_.write(0, parameters.data(), parameters.size());
  fold_batch_normalization(plan_, parameters_);
  quick_rows_ = (Index{1} << 17) / work_of(plan_);
}

std::unique_ptr<Session> Predictor::borrow() {
  std::unique_ptr<Session> session = idle_.take();
  if (session != nullptr) return session;
  return backend().prepare({&plan_, {parameters_.data(), {}}, 0});
}

void Predictor::predict(const Dataset& data, void* out, const Poll& poll) {
  check_input(plan_, data, poll);
  std::unique_ptr<Session> session = borrow();
  predict_rows(*session, data, plan_.output_width() * parameters_.element_size(), out, poll);
  idle_.give(std::move(session));
}

void Predictor::predict(std::span<const Input> inputs, Index rows, std::span<const Output> outputs,
                        const Poll& poll) {
  Index column = 0;
  for (const Input& input : inputs) {
    check_finite(input.name.c_str(), input.x, {nullptr, 0, rows}, element(), poll, gaps_, column);
    column += input.x.columns;
  }
  column = 0;
  for (const Input& input : inputs) {
    if (named_.empty()) break;
    check_named(input.name.c_str(), named_, input.x, {nullptr, 0, rows}, poll, column);
    column += input.x.columns;
  }
  const Index size = parameters_.element_size();
  // So many rows at a time that what is side by side stays in the second-level cache.
  const Index widths = input_width() + output_width();
  std::unique_ptr<Session> session = borrow();
  const Index most = std::clamp<Index>((Index{1} << 17) / widths, 1, session->capacity());
  const Index chunk = std::min(rows, most);
  const bool joins = inputs.size() > 1;
  Scratch scratch(chunk * widths * size);
  char* const y = scratch.data();
  char* const x = y + chunk * output_width() * size;
  Ticker ticker(poll);
  for (Index first = 0; first < rows; first += chunk) {
    const Index n = std::min(chunk, rows - first);
    Dataset data;
    data.x = inputs.front().x;
    data.count = rows;
    if (joins) {
      join(inputs, first, n, element(), size, x);
      data.x = {x, element(), n, input_width(), input_width() * size, size, nullptr};
      data.count = n;
    }
    session->predict(data, joins ? 0 : first, n, y);
    part(y, first, n, size, outputs);
    ticker.done();
  }
  idle_.give(std::move(session));
}

}  // namespace fastnn
