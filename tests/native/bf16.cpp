// Products in bfloat16 and their forms, natively, against plain models: every
// element of every form, all rows and columns at the edges, no byte outside.
//
// Compiled by tests/test_bf16.py with the emulated tiles, so that the walk over
// AMX runs where there is none; buffers have exactly the sizes that bf16.h tells,
// hold NaN at first, and a sanitizer looks on.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "core/backend.h"
#include "core/memory.h"
#include "cpu/gemm_bf16.h"

namespace {

using namespace fastnn;

int failures = 0;

void expect(bool right, const char* what, Index m, Index n, Index k, int bf16_parts) {
  if (right) return;
  if (++failures <= 20) {
    std::printf("%s: m=%d n=%d k=%d bf16_parts=%d\n", what, static_cast<int>(m),
                static_cast<int>(n), static_cast<int>(k), bf16_parts);
  }
}

template <class T>
struct Buffer {
  std::unique_ptr<T, void (*)(void*)> memory{nullptr, std::free};
  Index size;

  Buffer(Index count, int byte) : size(count) {
    const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
    memory.reset(static_cast<T*>(std::aligned_alloc(64, (bytes + 63) / 64 * 64)));
    std::memset(memory.get(), byte, bytes);
  }
  T* data() const { return memory.get(); }
};

// The nearest bfloat16, by counting in doubles.
uint16_t nearest(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const auto above = static_cast<uint16_t>(bits >> 16);
  if (std::isnan(x)) return static_cast<uint16_t>(above | 0x40);
  if (std::fabs(x) < 0x1p-126F) return above & 0x8000;
  const uint32_t below = bits & 0xffffU;
  const bool up = below > 0x8000U || (below == 0x8000U && (above & 1) != 0);
  return static_cast<uint16_t>(above + (up ? 1 : 0));
}

float value(uint16_t half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

struct Matrix {
  Index rows, columns;
  std::vector<float> at;
  float operator()(Index r, Index j) const { return at[static_cast<std::size_t>(r * columns + j)]; }
};

Matrix random_matrix(Index rows, Index columns, std::mt19937& generator) {
  Matrix x{rows, columns, std::vector<float>(static_cast<std::size_t>(rows * columns))};
  std::normal_distribution<float> normal;
  for (float& element : x.at) element = normal(generator);
  return x;
}

// Of element (r, j) of X or, past its end, of the padding; as `bf16_parts` parts.
std::array<uint16_t, max_bf16_parts> parts(const Matrix& x, Index r, Index j) {
  std::array<uint16_t, max_bf16_parts> all{};
  if (r >= x.rows || j >= x.columns) return all;
  float rest = x(r, j);
  for (uint16_t& part : all) {
    part = nearest(rest);
    rest -= value(part);
  }
  return all;
}

struct Forms {
  int bf16_parts;
  Index a_part, b_part, at_part, bt_part;
  Buffer<uint16_t> a, b, at, bt;

  Forms(const Matrix& x, int p)
      : bf16_parts(p),
        a_part(bf16_a_size(x.rows, x.columns)),
        b_part(bf16_b_size(x.rows, x.columns)),
        at_part(bf16_a_size(x.columns, x.rows)),
        bt_part(bf16_b_size(x.columns, x.rows)),
        a(p * a_part, 0xff),
        b(p * b_part, 0xff),
        at(p * at_part, 0xff),
        bt(p * bt_part, 0xff) {}

  Bf16Matrix of_a(const Matrix& x) const { return {a.data(), a_part, bf16_a_stride(x.columns)}; }
  Bf16Matrix of_b(const Matrix& x) const { return {b.data(), b_part, bf16_b_stride(x.rows)}; }
  Bf16Matrix of_at(const Matrix& x) const { return {at.data(), at_part, bf16_a_stride(x.rows)}; }
  Bf16Matrix of_bt(const Matrix& x) const { return {bt.data(), bt_part, bf16_b_stride(x.columns)}; }
};

// In blocks, last first, each from a copy of its own.
Forms convert(const Matrix& x, int bf16_parts, unsigned wanted) {
  Forms forms(x, bf16_parts);
  constexpr Index height = 64;
  constexpr Index width = 32;
  for (Index r = (x.rows - 1) / height * height; r >= 0; r -= height) {
    for (Index j = (x.columns - 1) / width * width; j >= 0; j -= width) {
      const Block block{r, std::min(height, x.rows - r), j, std::min(width, x.columns - j)};
      std::vector<float> copy(static_cast<std::size_t>(block.rows * block.columns));
      for (std::size_t i = 0; i < copy.size(); ++i) {
        const auto index = static_cast<Index>(i);
        copy[i] = x(r + index / block.columns, j + index % block.columns);
      }
      const auto if_wanted = [&](unsigned bit, Bf16Matrix form) {
        return (wanted >> bit & 1U) != 0 ? form : Bf16Matrix{};
      };
      FASTNN_TARGET::convert_bf16({.rows = x.rows,
                                   .columns = x.columns,
                                   .block = block,
                                   .x = copy.data(),
                                   .x_row = block.columns,
                                   .bf16_parts = bf16_parts,
                                   .a = if_wanted(0, forms.of_a(x)),
                                   .b = if_wanted(1, forms.of_b(x)),
                                   .a_transposed = if_wanted(2, forms.of_at(x)),
                                   .b_transposed = if_wanted(3, forms.of_bt(x))});
    }
  }
  return forms;
}

void check_forms(const Matrix& x, int bf16_parts) {
  const Forms forms = convert(x, bf16_parts, 15);
  bool same = true;
  const auto a_at = [](const Bf16Matrix& f, Index part, Index row, Index k) {
    return f.data[part * f.part_stride + row * f.stride + k];
  };
  const auto b_at = [](const Bf16Matrix& f, Index part, Index k, Index column) {
    return f.data[part * f.part_stride + column / 16 * f.stride + (k / 2 * 16 + column % 16) * 2 +
                  k % 2];
  };
  for (Index r = 0; r < bf16_padded(x.rows, 32); ++r) {
    for (Index j = 0; j < bf16_padded(x.columns, 32); ++j) {
      const auto all = parts(x, r, j);
      for (int p = 0; p < bf16_parts; ++p) {
        const uint16_t part = all[static_cast<std::size_t>(p)];
        if (r < x.rows) same = same && a_at(forms.of_a(x), p, r, j) == part;
        if (j < x.columns) same = same && a_at(forms.of_at(x), p, j, r) == part;
        if (j < bf16_padded(x.columns, 16)) same = same && b_at(forms.of_b(x), p, r, j) == part;
        if (r < bf16_padded(x.rows, 16)) same = same && b_at(forms.of_bt(x), p, j, r) == part;
      }
    }
  }
  expect(same, "forms", x.rows, x.columns, 0, bf16_parts);
  for (unsigned wanted = 0; wanted < 15; ++wanted) {
    const Forms some = convert(x, bf16_parts, wanted);
    const auto right = [&](unsigned bit, const Buffer<uint16_t>& got, const Buffer<uint16_t>& all) {
      const bool written = (wanted >> bit & 1U) != 0;
      for (Index i = 0; i < got.size; ++i) {
        if (got.data()[i] != (written ? all.data()[i] : 0xffff)) return false;
      }
      return true;
    };
    expect(right(0, some.a, forms.a) && right(1, some.b, forms.b) && right(2, some.at, forms.at) &&
               right(3, some.bt, forms.bt),
           "some forms", x.rows, x.columns, 0, bf16_parts);
  }
}

// How often each element of C was in a finished block.
struct Finished {
  Index m, n;
  std::vector<int> times;
};

void count_finished(const void* arguments, const ResultBlock<float>& block) {
  auto& finished = *static_cast<Finished*>(const_cast<void*>(arguments));
  expect(block.row % 32 == 0 && block.column % 32 == 0, "a block's begin", finished.m, finished.n,
         0, 0);
  for (Index r = block.row; r < block.row + block.rows; ++r) {
    for (Index j = block.column; j < block.column + block.columns; ++j) {
      __atomic_add_fetch(&finished.times.at(static_cast<std::size_t>(r * finished.n + j)), 1,
                         __ATOMIC_RELAXED);
    }
  }
}

struct Case {
  Index m, n, k;
  int bf16_parts;
  Index c_row;
  bool add, turned;
};

std::vector<float> product(const Case& c, const Bf16Matrix& a, const Bf16Matrix& b, int threads) {
  set_num_threads(threads);
  Context context;
  std::vector<float> out(static_cast<std::size_t>((c.m - 1) * c.c_row + c.n), 0.5F);
  Finished finished{c.m, c.n, std::vector<int>(static_cast<std::size_t>(c.m * c.n))};
  const Status status = FASTNN_TARGET::multiply_bf16(context, {.m = c.m,
                                                               .n = c.n,
                                                               .k = c.k,
                                                               .bf16_parts = c.bf16_parts,
                                                               .a = a,
                                                               .b = b,
                                                               .c = out.data(),
                                                               .c_row = c.c_row,
                                                               .add = c.add,
                                                               .finish = count_finished,
                                                               .arguments = &finished});
  const bool once = std::all_of(finished.times.begin(), finished.times.end(),
                                [](int times) { return times == 1; });
  expect(status == Status::ok && once, "finished blocks", c.m, c.n, c.k, c.bf16_parts);
  return out;
}

void check_product(const Case& c, std::mt19937& generator) {
  const Matrix x = random_matrix(c.turned ? c.k : c.m, c.turned ? c.m : c.k, generator);
  const Matrix w = random_matrix(c.turned ? c.n : c.k, c.turned ? c.k : c.n, generator);
  const Forms of_x = convert(x, c.bf16_parts, c.turned ? 4 : 1);
  const Forms of_w = convert(w, c.bf16_parts, c.turned ? 8 : 2);
  const Bf16Matrix a = c.turned ? of_x.of_at(x) : of_x.of_a(x);
  const Bf16Matrix b = c.turned ? of_w.of_bt(w) : of_w.of_b(w);
  const std::vector<float> out = product(c, a, b, 1);
  double error = 0;
  double norm = 0;
  bool outside = true;
  for (Index r = 0; r < c.m; ++r) {
    for (Index j = 0; j < c.c_row && r * c.c_row + j < static_cast<Index>(out.size()); ++j) {
      const float got = out[static_cast<std::size_t>(r * c.c_row + j)];
      if (j >= c.n) {
        outside = outside && got == 0.5F;
        continue;
      }
      double sum = 0;
      for (Index k = 0; k < c.k; ++k) {
        sum += static_cast<double>(c.turned ? x(k, r) : x(r, k)) * (c.turned ? w(j, k) : w(k, j));
      }
      const double off = got - sum - (c.add ? 0.5 : 0.0);
      error += off * off;
      norm += sum * sum;
    }
  }
  constexpr double most[] = {1e-2, 2e-5, 1e-6};
  // One product alone may be a small number off: its terms are what counts.
  const double floor = static_cast<double>(c.m * c.n * c.k) * 0.05;
  const double relative = std::sqrt(error / std::max(norm, floor));
  expect(relative < most[c.bf16_parts - 1], "a product", c.m, c.n, c.k, c.bf16_parts);
  expect(outside, "outside C", c.m, c.n, c.k, c.bf16_parts);
  for (const int threads : {2, 3, 8}) {
    expect(product(c, a, b, threads) == out, "threads", c.m, c.n, c.k, c.bf16_parts);
  }
}

}  // namespace

int main() {
  std::mt19937 generator(1);
  const Index sizes[] = {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 127, 129, 257};
  const auto pick = [&] { return sizes[generator() % std::size(sizes)]; };
  for (const Index rows : sizes) {
    for (int bf16_parts = 1; bf16_parts <= max_bf16_parts; ++bf16_parts) {
      check_forms(random_matrix(rows, pick(), generator), bf16_parts);
    }
  }
  const float extremes[] = {0.0F,         -0.0F,       1e-45F,      -1e-40F,    0x1p-126F,
                            0x1.fep-127F, 1.00390625F, 1.01171875F, 3.3895e38F, INFINITY,
                            -INFINITY,    NAN,         -NAN,        65280.5F};
  Matrix odd{14, 1, {}};
  odd.at.assign(std::begin(extremes), std::end(extremes));
  check_forms(odd, 1);
  for (int round = 0; round < 120; ++round) {
    const int bf16_parts = 1 + round % max_bf16_parts;
    const Index n = pick();
    // Some with rows 4 KB apart, which take another path.
    const Index c_row = round % 5 == 0 ? 1024 : n + round % 4;
    check_product({pick(), n, pick(), bf16_parts, c_row, round % 7 == 0, round % 2 == 0},
                  generator);
  }
  for (int bf16_parts = 1; bf16_parts <= max_bf16_parts; ++bf16_parts) {
    check_product({33, 17, 4096, bf16_parts, 17, false, false}, generator);
    check_product({300, 96, 100, bf16_parts, 96, false, true}, generator);
    check_product({16, 16, 4200, bf16_parts, 1024, true, true}, generator);
  }
  check_product({3, 2, 8300, 1, 2, false, false}, generator);
  stop_workers();
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
