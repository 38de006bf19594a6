// The table of losses: the list of them, and the words in which a row says what its targets are and
// which activation it folds. The rows, with their formulas, are in loss.h (one output and one
// target) and losses_of_rows.h (whole rows); no formula is here, so that one may change without
// what names losses alone.
#pragma once

#include "core/target.h"

#define FASTNN_REDUCED_LOSSES(use)                                  \
  use(categorical_focal_crossentropy, CategoricalFocalCrossentropy) \
  use(kl_divergence, KlDivergence)                                  \
  use(categorical_hinge, CategoricalHinge)                          \
  use(cosine_similarity, CosineSimilarity)

#define FASTNN_ROW_LOSSES(use)                    \
  use(softmax_cross_entropy, SoftmaxCrossEntropy) \
  FASTNN_REDUCED_LOSSES(use)

#define FASTNN_ELEMENT_LOSSES(use)                                 \
  use(sigmoid_cross_entropy, SigmoidCrossEntropy)                  \
  use(mean_squared_error, MeanSquaredError)                        \
  use(mean_absolute_error, MeanAbsoluteError)                      \
  use(huber, Huber)                                                \
  use(poisson, Poisson)                                            \
  use(quantile, Quantile)                                          \
  use(log_cosh, LogCosh)                                           \
  use(mean_squared_logarithmic_error, MeanSquaredLogarithmicError) \
  use(mean_absolute_percentage_error, MeanAbsolutePercentageError) \
  use(hinge, Hinge)                                                \
  use(squared_hinge, SquaredHinge)                                 \
  use(tweedie, Tweedie)                                            \
  use(gamma, Gamma)                                                \
  use(gaussian_nll, GaussianNll)                                   \
  use(binary_focal_crossentropy, BinaryFocalCrossentropy)

#define FASTNN_LOSSES(use) FASTNN_ROW_LOSSES(use) FASTNN_ELEMENT_LOSSES(use)

namespace fastnn {

#define FASTNN_USE(name, type) name,
enum class LossKind : unsigned char { FASTNN_LOSSES(FASTNN_USE) };
#undef FASTNN_USE

#define FASTNN_USE(name, type) #name,
inline constexpr const char* loss_names[] = {FASTNN_LOSSES(FASTNN_USE)};
#undef FASTNN_USE

inline constexpr int max_loss_options = 4;

// What a loss compares outputs with: a class (an integer, or probabilities that add up to 1);
// numbers in [0, 1], or NaN for a missing one; numbers; numbers of at least 0; numbers above 0;
// a sign, that is 1 for yes, and for no -1 or 0.
enum class Targets : unsigned char {
  classes,
  unit_or_missing,
  numbers,
  not_negative,
  positive,
  signs
};
inline constexpr const char* targets_names[] = {"classes",      "unit_or_missing", "numbers",
                                                "not_negative", "positive",        "signs"};

// The activation at the end of a network that a loss folds into itself.
enum class Head : unsigned char { none, sigmoid, softmax };
inline constexpr const char* head_names[] = {"none", "sigmoid", "softmax"};

}  // namespace fastnn

namespace fastnn::FASTNN_TARGET {

template <class T>
struct LossAndGradient {
  T loss;
  T gradient;
};

// The value of a loss with two outputs for each target, and the derivatives by both.
template <class T>
struct LossAndGradients {
  T loss;
  T gradient, second;
};

// Whether a loss is of whole rows.
FASTNN_INLINE constexpr bool is_of_rows(LossKind kind) {
  switch (kind) {
#define FASTNN_USE(name, type) case LossKind::name:
    FASTNN_ROW_LOSSES(FASTNN_USE)
#undef FASTNN_USE
    return true;
    default:
      return false;
  }
}

}  // namespace fastnn::FASTNN_TARGET
