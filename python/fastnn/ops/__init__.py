"""The kernels as functions on NumPy arrays, or on arrays of a CUDA device.

Computed in float64 if any array of numbers (not labels, not weights of rows) is
float64, else in float32. Weights and targets are checked as they are given, before they become
float32. Shapes are checked natively; only types and words are
here. No function keeps anything; all but the steps allocate their results.

Under FASTNN_DEVICE=cuda NumPy arrays are copied to the device and results back. Arrays
that lie there (of PyTorch, CuPy and others, by DLPack or `__cuda_array_interface__`; or a
`DeviceArray`) are used in place, in the order of their streams, and results are arrays of
the library of the first argument. They must be C-contiguous and all of one type, float32
or float64; arrays of the host beside them are an error. Labels, targets and weights are
copied to the host to be checked. Losses are floats, for which the call waits, as it does
where a library does not tell its stream.
"""

from __future__ import annotations

from fastnn._core import DeviceArray
from fastnn.listing import names_of
from fastnn.ops.crossentropies import (
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    kl_divergence,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from fastnn.ops.numbers import (
    gamma,
    gaussian_nll,
    hinge,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    quantile,
    squared_hinge,
    tweedie,
)
from fastnn.ops.products import (
    activation_backward,
    activation_forward,
    dense_backward,
    dense_forward,
    embedding,
    embedding_backward,
    log_softmax,
    softmax,
)
from fastnn.ops.rows import (
    batch_normalization,
    batch_normalization_backward,
    layer_normalization,
    layer_normalization_backward,
    rms_normalization,
    rms_normalization_backward,
    unit_normalization,
    unit_normalization_backward,
)
from fastnn.steps import (
    adadelta_step,
    adagrad_step,
    adam_step,
    adamax_step,
    amsgrad_step,
    lamb_step,
    lion_step,
    muon_step,
    nadam_step,
    rmsprop_step,
    sgd_step,
)

__all__ = [
    "DeviceArray",
    "activation_backward",
    "activation_forward",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "adamax_step",
    "amsgrad_step",
    "batch_normalization",
    "batch_normalization_backward",
    "binary_focal_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "dense_backward",
    "dense_forward",
    "embedding",
    "embedding_backward",
    "gamma",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_divergence",
    "lamb_step",
    "layer_normalization",
    "layer_normalization_backward",
    "lion_step",
    "log_cosh",
    "log_softmax",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "muon_step",
    "nadam_step",
    "poisson",
    "quantile",
    "rms_normalization",
    "rms_normalization_backward",
    "rmsprop_step",
    "sgd_step",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_hinge",
    "tweedie",
    "unit_normalization",
    "unit_normalization_backward",
]

__dir__ = names_of(__all__)
