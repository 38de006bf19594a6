// The table of kernels: what a backend must be able to do.
//
// A kernel is a plain function on pointers and sizes. It checks nothing: the
// caller has checked shapes, ranges and overlap. Matrices are row-major and
// dense. n counts rows, i inputs, o outputs, c classes. Outputs
// never alias inputs unless the comment says that they may.
//
// The law of sums: an element of a product is one chain of additions in
// ascending order of the summed index, in blocks of fixed length; a sum over
// rows goes in groups (row_groups below), whose partial sums are added in
// order. The gradient of a table, and of weights of sparse rows, is neither: an element is one
// chain of additions in the order of rows. None depends on how many threads there are.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <initializer_list>

#include "core/activation.h"
#include "core/arrays.h"
#include "core/combine.h"
#include "core/loss_table.h"
#include "core/metric.h"
#include "core/noise.h"
#include "core/optimizer.h"
#include "core/target.h"
#include "core/update_arguments.h"

namespace fastnn {

enum class [[nodiscard]] Status : unsigned char { ok, out_of_memory, failed };

// What a backend's kernels run on: workers and scratch memory, or a stream.
struct Context;

// -- sums over rows ---------------------------------------------------------

inline constexpr Index max_groups = 32;

struct RowGroups {
  Index count;  // at most max_groups
  Index rows;   // in each but the last
};

constexpr FASTNN_INLINE RowGroups row_groups(Index n) {
  constexpr Index least = 128;
  const Index even = (n + max_groups - 1) / max_groups;
  const Index rows = even < least ? least : even;
  return {(n + rows - 1) / rows, rows};
}

// The total of what a kernel wrote for n rows, `stride` numbers a group.
constexpr FASTNN_INLINE double sum_of_groups(const double* sums, Index n, Index stride = 1,
                                             Index offset = 0) {
  double total = 0;
  for (Index group = 0; group < row_groups(n).count; ++group) {
    total += sums[group * stride + offset];
  }
  return total;
}

// -- arguments --------------------------------------------------------------

struct Shuffle {  // out[r] = rows[permutation of `n` at first + r], or without rows that itself
  uint64_t key, epoch;
  Index n, first, count;
  bool shuffled;
  const Index* rows;  // may be null
  Index* out;
};

template <class T>
struct Gather {  // out (n, columns) = scale * source[rows] + offset
  ArrayView source;
  Rows rows;
  T scale, offset;
  T* out;
};

template <class T>
struct GatherSparse {  // out (n, columns) = scale * source[rows] + offset
  SparseView source;
  Rows rows;
  Index columns;
  T scale, offset;
  T* out;
};

template <class T>
struct GatherLabels {     // each output (n), null where not wanted
  const int32_t* labels;  // may be null
  const double* weights;  // may be null: all one
  int32_t ignore_class;   // its rows get weight 0
  bool ignores;
  Rows rows;
  int32_t* out_labels;
  T* out_weights;
  T* out_present;  // 1, or 0 for a row of the ignored class
};

template <class T>
struct DenseForward {  // y = activation(x w + b)
  Index n, i, o;
  const T* x;             // (n, i)
  const T* w;             // (i, o)
  const T* b;             // (o), may be null
  Activation activation;  // one that is_fused
  T* z;                   // (n, o) the pre-activation, may be null; may be y
  T* y;                   // (n, o)
};

template <class T>
struct DenseBackward {  // dz = dy activation'(z);  dx = dz w^T, dw = x^T dz, db = sum of dz over
                        // rows
  Index n, i, o;
  const T* dy;  // (n, o)
  const T* x;
  const T* w;
  const T* y;             // not read where the activation is linear
  const T* z;             // read only where needs_preactivation(activation)
  Activation activation;  // one that is_fused, as is x_activation
  T* dz;                  // (n, o), may be dy; not written where the activation is linear
  T* dx;                  // (n, i), may be null
  T* dw;                  // (i, o), may be null
  T* db;                  // (o), may be null
  // The layer that made x, where its backward pass begins with this one's: dx is
  // then the gradient at its pre-activation, and dx_sum that of its bias.
  Activation x_activation = {};
  const T* x_z = nullptr;  // read only where needs_preactivation(x_activation)
  T* dx_sum = nullptr;     // (i), may be null
  // To dw, db and dx_sum their sums are added.
  bool accumulates = false;
  // The step that w takes with dw, once dx is done; dw is then null, and its grad unread.
  const OptimizerStep<T>* update = nullptr;
};

template <class T>
struct SparseForward {  // y = scale x w + b, of rows of x: each element one chain in order of
                        // columns
  SparseView x;
  Rows rows;
  Index i, o;
  T scale;
  const T* w;  // (i, o)
  const T* b;  // (o), may be null
  T* y;        // (n, o)
};

template <class T>
struct SparseBackward {  // dw = scale x^T dz, as the gradient of a table: one chain in order of
                         // rows
  SparseView x;
  Rows rows;
  Index i, o;
  T scale;
  const T* dz;       // (n, o)
  T* dw;             // (i, o)
  bool accumulates;  // dw is added to what is there
};

template <class T>
struct GroupedDenseForward {  // y = x w + b, each group of x's columns with rows of w of its own
  Index n, groups, i, o;      // of one group
  const T* x;                 // (n, groups i)
  const T* w;                 // (groups i, o)
  const T* b;                 // (groups o), may be null
  T* y;                       // (n, groups o)
};

template <class T>
struct GroupedDenseBackward {  // dx = dy w^T, dw = x^T dy by group, db = sum of dy over rows
  Index n, groups, i, o;
  const T* dy;       // (n, groups o)
  const T* x;        // (n, groups i)
  const T* w;        // (groups i, o)
  T* dx;             // (n, groups i), may be null
  T* dw;             // (groups i, o), may be null
  T* db;             // (groups o), may be null
  bool accumulates;  // dw and db are added to what is there
};

template <class T>
struct ActivationForward {
  Activation activation;
  Index n;  // elements
  const T* x;
  T* y;  // may be x
};

template <class T>
struct ActivationBackward {
  Activation activation;
  Index n;  // elements
  const T* dy;
  const T* x;  // read only where the slope is not from_output
  const T* y;  // read only where it is
  T* dx;       // may be dy
};

template <class T>
struct SoftmaxForward {
  Index n, c;
  const T* x;
  T* y;  // may be x
  bool logarithm = false;
};

template <class T>
struct SoftmaxBackward {  // dx = y (dy - sum(dy y)); with the logarithm dy - exp(y) sum(dy)
  Index n, c;
  const T* dy;
  const T* y;
  T* dx;  // may be dy
  bool logarithm = false;
};

template <class T>
struct LayerNormForward {  // y = gamma xhat + beta, xhat = (x - mean) / sqrt(variance + epsilon)
  Index n, c;              // mean and variance are those of a row, over its c columns
  T epsilon;
  const T* x;
  const T* gamma;  // (c), may be null: ones
  const T* beta;   // (c), may be null: zeros
  T* y;            // (n, c), may be x
  T* statistics;   // (n, 2): mean, 1 / sqrt(variance + epsilon); may be null
};

template <class T>
struct LayerNormBackward {  // dgamma, dbeta = sums of dy xhat and of dy over rows; with
  Index n, c;               // g = dy gamma,
                            // dx = (g - mean(g) - xhat mean(g xhat)) / sqrt(variance + epsilon)
  const T* dy;
  const T* x;
  const T* gamma;       // (c), may be null: ones
  const T* statistics;  // (n, 2), as layer_norm_forward writes them
  T* dx;                // (n, c), may be null, may be dy
  T* dgamma;            // (c), may be null
  T* dbeta;             // (c), may be null
  bool accumulates;     // dgamma and dbeta are added to what is there
};

// How long a row of x is: the square root of the mean square of its columns plus epsilon, or of
// their sum of squares, at least epsilon.
enum class RowLength : unsigned char { root_mean_square, norm };

template <class T>
struct ScaleRowsForward {  // y = gamma x / length
  Index n, c;
  RowLength length;
  T epsilon;
  const T* x;
  const T* gamma;  // (c), may be null: ones
  T* y;            // (n, c), may be x
  T* inverses;     // (n): 1 / length; may be null
};

template <class T>
struct ScaleRowsBackward {  // dgamma = sums of dy xhat over rows, with xhat = x / length; with
  Index n, c;               // g = dy gamma, dx = (g - xhat mean(g xhat)) / length for the root mean
  RowLength length;         // square, (g - xhat sum(g xhat)) / length for the norm, and g / epsilon
  T epsilon;                // where that is below epsilon
  const T* dy;
  const T* x;
  const T* gamma;     // (c), may be null: ones
  const T* inverses;  // (n), as scale_rows_forward writes them
  T* dx;              // (n, c), may be null, may be dy
  T* dgamma;          // (c), may be null
  bool accumulates;   // dgamma is added to what is there
};

// By what a column is divided: sqrt(variance + epsilon), or sqrt(variance), at least epsilon. The
// last is multiplied by that instead, and the mean is added after it.
enum class ColumnScaling : unsigned char { with_epsilon, at_least_epsilon, inverted };

template <class T>
struct NormalizeColumnsForward {  // y = gamma (x - mean) / spread + beta; inverted: spread x + mean
  Index n, c;
  ColumnScaling scaling;
  T epsilon;
  const T* x;
  const T* mean;      // (c), may be null: zeros
  const T* variance;  // (c), may be null: ones
  const T* gamma;     // (c), may be null: ones
  const T* beta;      // (c), may be null: zeros
  T* y;               // (n, c), may be x
};

template <class T>
struct NormalizeColumnsBackward {  // dx = dy gamma / spread; dgamma, dbeta = sums over rows of
  Index n, c;                      // dy (x - mean) / spread and of dy; inverted: dx alone
  ColumnScaling scaling;
  T epsilon;
  const T* dy;
  const T* x;
  const T* mean;      // (c), may be null: zeros
  const T* variance;  // (c), may be null: ones
  const T* gamma;     // (c), may be null: ones
  T* dx;              // (n, c), may be null, may be dy
  T* dgamma;          // (c), may be null
  T* dbeta;           // (c), may be null
  bool accumulates;   // dgamma and dbeta are added to what is there
};

template <class T>
struct BatchNormForward {  // y = gamma xhat + beta, xhat = (x - mean) / sqrt(variance + epsilon),
  Index n, c;              // with the mean and variance of each column over the n rows
  T epsilon, momentum;
  const T* x;
  const T* gamma;      // (c), may be null: ones
  const T* beta;       // (c), may be null: zeros
  T* y;                // (n, c), may be x
  T* statistics;       // (3, c): mean, what it was rounded by, 1 / sqrt(variance + epsilon)
  T* moving_mean;      // (c): momentum times itself, and the rest of the mean; may be null
  T* moving_variance;  // (c): the same of the variance; null where moving_mean is
};

template <class T>
struct BatchNormBackward {  // dgamma, dbeta = sums of dy xhat and of dy over rows; dx = gamma
  Index n, c;               // (dy - mean(dy) - xhat mean(dy xhat)) / sqrt(variance + epsilon)
  const T* dy;
  const T* x;
  const T* gamma;       // (c), may be null: ones
  const T* statistics;  // (3, c), as batch_norm_forward writes them
  T* dx;                // (n, c), may be null, may be dy
  T* dgamma;            // (c), may be null
  T* dbeta;             // (c), may be null
  bool accumulates;     // dgamma and dbeta are added to what is there
};

template <class T>
struct EmbeddingForward {  // y = the rows of the table that x names, k of them beside each other
  Index n, k, vocabulary, d;
  const T* x;      // (n, k), whole numbers in [0, vocabulary); any other gives d times NaN
  const T* table;  // (vocabulary, d)
  T* y;            // (n, k d)
};

template <class T>
struct EmbeddingBackward {  // each row of dtable is the sum of the pieces of dy that it made
  Index n, k, vocabulary, d;
  const T* dy;       // (n, k d)
  const T* x;        // (n, k); pieces of what is no row are left out
  T* dtable;         // (vocabulary, d)
  bool accumulates;  // dtable is added to what is there
};

// What a column of a table becomes among the outputs of a column encoding; formulas are in
// core/encoding.h. Columns of numbers come first, and have the outputs from 0 on in their order.
enum class ColumnKind : int32_t { number, categories, signs };

struct EncodedColumn {
  ColumnKind kind;
  int32_t has_missing;  // numbers: gaps have an output; categories: what is no level has the last
  Index source;         // the column of x
  Index output;         // the first of its own; of a number that of its scaled value
  Index levels;         // categories: how many
  Index pieces;         // numbers: the first output of pieces, and how many
  Index bins;
  Index edge;  // the place of its bins + 1 edges
  Index gap;   // numbers with has_missing: the output that tells gaps
};

template <class T>
struct EncodeColumns {  // y = the columns of x as numbers around 0, pieces, gaps and levels
  Index n, columns, width;
  Index encoded, numbers;          // records, and those of them that are of numbers
  T bound;                         // of scaled numbers; 0: none
  const T* x;                      // (n, columns); NaN is a gap
  const EncodedColumn* encodings;  // (encoded)
  const T* fill;                   // (numbers), as center and factor; null where there are none
  const T* center;
  const T* factor;
  const T* edges;  // of all pieces, those of a column ascending; null where there are none
  T* y;            // (n, width)
};

// A loss of the table with its gradient. The loss of row r, times its weight, goes into sums; the
// gradient is scale * weight * d loss / d outputs. A row or element of weight 0 is left out
// whatever it holds.
template <class T>
struct LossRows {
  LossKind kind;
  // Each element counts for itself, those whose target is NaN not at all; else a row counts once.
  bool by_element;
  bool weighs_elements;  // weights are (n, c); with by_element alone
  Index n, c;
  const T* outputs;         // (n, c), of some losses (n, 2 c); logits where the loss folds a head
  const int32_t* labels;    // (n); null: targets
  const T* targets;         // (n, c)
  const T* weights;         // (n) or (n, c), may be null
  const T* column_weights;  // (c), may be null
  T scale;
  double options[max_loss_options];
  double* sums;  // (2 * max_groups): by row group, weighted losses and the weight of what counts
  T* gradient;   // as outputs, may be null
};

// Counts of core/metric.h, all but mean_of.
template <class T>
struct MetricRows {
  MetricKind kind;
  double value;  // sides: the threshold (on `output`); hits: k
  Index n, c;
  const T* output;           // (n, c): what the kind reads
  const int32_t* labels;     // (n); null: targets
  const T* targets;          // (n, c)
  const T* weights;          // (n), of sides also (n, c); may be null
  bool weighs_elements;      // weights are (n, c)
  bool classes;              // confusion: a row has one class
  Index top;                 // confusion: at most c; 0: any output may be positive
  Index sets;                // confusion: of thresholds, at least 1
  const double* thresholds;  // confusion: (sets, c), on `output`; null: there are none
  double* sums;              // (max_groups, metric_width): by row group
};

// What gradients are multiplied by so that those of a batch are divided by the weight that it has,
// not by the one that was expected: expected / weight, and 0 where nothing counts.
struct WeightFactor {
  Index n;
  const double* sums;  // as LossRows leaves them
  double expected;
  double* factor;
};

template <class T>
struct Dropout {  // y = x / (1 - rate) where kept, else 0; for the gradient, x is dy
  uint64_t key;
  uint64_t step;
  Index first_row;  // of x, in the batch
  Index n, c;
  double rate;
  const T* x;
  T* y;  // may be x
};

template <class T>
struct Noise {  // y = x with noise; `backward`: y = dy times its slope, with dy as x
  NoiseKind kind;
  bool backward;
  uint64_t key;
  uint64_t step;
  Index first_row;  // of x, in the batch
  Index n, c;
  double amount;
  const T* x;
  T* y;  // may be x
};

template <class T>
struct Affine {  // y = scale * x + offset
  Index n;       // elements
  T scale, offset;
  const T* x;
  T* y;  // may be x
};

template <class T>
struct Add {  // y = a + b
  Index n;    // elements
  const T* a;
  const T* b;
  T* y;  // may be a or b
};

template <class T>
struct CombineForward {  // y = x[0] op x[1] op ..., element by element
  Combination combination;
  int count;  // of operands, at most most_operands
  Index n;    // elements
  const T* x[most_operands];
  T* y;
};

template <class T>
struct CombineBackward {  // dx = dy times the derivative of y by x[index]
  Combination combination;
  int count, index;
  Index n;  // elements
  const T* dy;
  const T* x[most_operands];
  const T* y;
  T* dx;
};

template <class T>
struct TakeColumns {  // y = columns first .. first + c of x
  Index n, columns, first, c;
  const T* x;  // (n, columns)
  T* y;        // (n, c)
};

// How columns are put: the others stay or become zero, or sums are made and the others stay.
enum class Put : unsigned char { among_others, among_zeros, added };

template <class T>
struct PutColumns {  // columns first .. first + c of y = x, or += x
  Index n, columns, first, c;
  Put put;
  const T* x;  // (n, c)
  T* y;        // (n, columns)
};

inline constexpr int most_axes = 4;

// The axes of rows in another order. Sizes are those of the output's axes, strides those in x.
struct Axes {
  Index sizes[most_axes];  // behind the last axis 1
  Index strides[most_axes];
};

template <class T>
struct PermuteColumns {  // y = x with its axes in that order; backward: x has it, and y is as it
                         // was
  Index n, c;
  Axes axes;
  bool backward;
  const T* x;  // (n, c)
  T* y;        // (n, c)
};

template <class T>
struct CountCategories {  // y[r, v] = how often x[r] names v, or whether it does
  Index n, k, vocabulary;
  bool counts;
  const T* x;  // (n, k), whole numbers in [0, vocabulary); any other makes its row NaN
  T* y;        // (n, vocabulary)
};

template <class T>
struct RepeatColumns {  // y = the columns of x, so many times side by side
  Index n, c, times;
  const T* x;  // (n, c)
  T* y;        // (n, times c)
};

template <class T>
struct SumRepeated {  // dx = the sum of the `times` pieces of dy, in their order
  Index n, c, times;
  const T* dy;  // (n, times c)
  T* dx;        // (n, c)
};

template <class T>
struct Fill {  // out[j] for j in [0, n), from the counter-based generator
  Index n;
  uint64_t key;
  double a, b;     // low, high; mean, standard deviation
  bool truncated;  // normal only: within two standard deviations
  T* out;
};

enum class Expected : unsigned char {
  finite,
  finite_float,     // what is infinite as a float is not
  bounded,          // finite, or NaN
  bounded_float,    // the same as a float
  unit_or_missing,  // in [0, 1], or NaN
};

struct Scan {  // the first row (of `rows`) and column that is not as expected
  ArrayView source;
  Rows rows;
  Expected expected;
  Index* row;  // -1: none
  Index* column;
};

// y = x w, with float32 as sums of `bf16_parts` bfloat16 each: 1 rounds, 2 keep 16 bits, 3 all.
struct SplitProduct {
  Index n, i, o;
  const float* x;  // (n, i), or (i, n) where transpose_x
  bool transpose_x;
  const float* w;  // (i, o), or (o, i) where transpose_w
  bool transpose_w;
  int bf16_parts;  // 1 to 3
  float* y;        // (n, o)
};

// -- the tables -------------------------------------------------------------

template <class Arguments>
using Kernel = Status (*)(Context&, const Arguments&);

// The one list of kernels: use(name, Arguments). Members of the tables, declarations, the check
// that a table is complete and the layout that two libraries compare are made from it. Each is
// found under its name in every folder.
#define FASTNN_KERNELS(use)                                 \
  use(gather, Gather)                                       \
  use(gather_sparse, GatherSparse)                          \
  use(gather_labels, GatherLabels)                          \
  use(dense_forward, DenseForward)                          \
  use(dense_backward, DenseBackward)                        \
  use(sparse_forward, SparseForward)                        \
  use(sparse_backward, SparseBackward)                      \
  use(grouped_dense_forward, GroupedDenseForward)           \
  use(grouped_dense_backward, GroupedDenseBackward)         \
  use(activation_forward, ActivationForward)                \
  use(activation_backward, ActivationBackward)              \
  use(softmax_forward, SoftmaxForward)                      \
  use(softmax_backward, SoftmaxBackward)                    \
  use(layer_norm_forward, LayerNormForward)                 \
  use(layer_norm_backward, LayerNormBackward)               \
  use(scale_rows_forward, ScaleRowsForward)                 \
  use(scale_rows_backward, ScaleRowsBackward)               \
  use(normalize_columns_forward, NormalizeColumnsForward)   \
  use(normalize_columns_backward, NormalizeColumnsBackward) \
  use(batch_norm_forward, BatchNormForward)                 \
  use(batch_norm_backward, BatchNormBackward)               \
  use(embedding_forward, EmbeddingForward)                  \
  use(embedding_backward, EmbeddingBackward)                \
  use(encode_columns, EncodeColumns)                        \
  use(element_loss, LossRows)                               \
  use(row_loss, LossRows)                                   \
  use(softmax_cross_entropy, LossRows)                      \
  use(metric_rows, MetricRows)                              \
  use(dropout, Dropout)                                     \
  use(noise, Noise)                                         \
  use(affine, Affine)                                       \
  use(add, Add)                                             \
  use(combine_forward, CombineForward)                      \
  use(combine_backward, CombineBackward)                    \
  use(take_columns, TakeColumns)                            \
  use(put_columns, PutColumns)                              \
  use(permute_columns, PermuteColumns)                      \
  use(count_categories, CountCategories)                    \
  use(repeat_columns, RepeatColumns)                        \
  use(sum_repeated, SumRepeated)                            \
  use(optimizer_step, OptimizerStep)                        \
  use(sum_of_squares, SumOfSquares)                         \
  use(weighted_sum, WeightedSum)                            \
  use(penalty, Penalty)                                     \
  use(constrain, Constrain)                                 \
  use(fill_uniform, Fill)                                   \
  use(fill_normal, Fill)

// Kernels that do not depend on the type of arithmetic.
#define FASTNN_UNTYPED_KERNELS(use) \
  use(shuffle, Shuffle)             \
  use(scan, Scan)                   \
  use(norm_factor, NormFactor)      \
  use(trust_ratio, TrustRatio)      \
  use(weight_factor, WeightFactor)

// Kernels on one element type.
template <class T>
struct Kernels {
#define FASTNN_USE(name, Arguments) Kernel<Arguments<T>> name;
  FASTNN_KERNELS(FASTNN_USE)
#undef FASTNN_USE
};

struct KernelTable {
  const char* name;  // of the instruction set or device
#define FASTNN_USE(name, Arguments) Kernel<Arguments> name;
  FASTNN_UNTYPED_KERNELS(FASTNN_USE)
#undef FASTNN_USE
  Kernels<float> f32;
  Kernels<double> f64;
};

// Tables are constants. Each file that makes one asserts this, so that a missing kernel does
// not compile.
template <class T>
constexpr bool complete(const Kernels<T>& k) {
#define FASTNN_USE(name, Arguments) k.name != nullptr,
  for (const bool there : {FASTNN_KERNELS(FASTNN_USE)}) {
    if (!there) return false;
  }
#undef FASTNN_USE
  return true;
}

constexpr bool complete(const KernelTable& table) {
#define FASTNN_USE(name, Arguments) &&table.name
  return table.name FASTNN_UNTYPED_KERNELS(FASTNN_USE) && complete(table.f32) &&
         complete(table.f64);
#undef FASTNN_USE
}

// A number that differs where two libraries were compiled from other declarations of arguments.
constexpr uint64_t layout_of_kernels() {
  uint64_t sum = sizeof(KernelTable);
#define FASTNN_USE(name, Arguments) sum = sum * 1000003U + sizeof(Arguments<float>);
  FASTNN_KERNELS(FASTNN_USE)
#undef FASTNN_USE
#define FASTNN_USE(name, Arguments) sum = sum * 1000003U + sizeof(Arguments);
  FASTNN_UNTYPED_KERNELS(FASTNN_USE)
#undef FASTNN_USE
  return sum;
}

}  // namespace fastnn
