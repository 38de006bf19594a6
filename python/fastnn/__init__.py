"""fastnn trains and serves dense neural networks, on the CPU, with Keras's names.

    >>> import fastnn
    >>> x, y = fastnn.datasets.load_digits()
    >>> model = fastnn.Sequential([
    ...     fastnn.layers.Rescaling(1 / 16, input_shape=(64,)),
    ...     fastnn.layers.Dense(128, activation="relu"),
    ...     fastnn.layers.Dense(10),
    ... ])
    >>> model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> history = model.fit(x, y, epochs=5, validation_split=0.2, verbose=0)

The loops are native (C++, `fastnn._core`); this package holds the words.
"""

from __future__ import annotations

import atexit
from typing import TYPE_CHECKING

from fastnn import (
    _core,
    activations,
    callbacks,
    datasets,
    elsewhere,
    initializers,
    layers,
    losses,
    metrics,
    models,
    ops,
    optimizers,
    utils,
)
from fastnn._core import Predictor, TrainingDiverged, __version__
from fastnn.config import (
    get_float32_matmul_precision,
    get_num_threads,
    set_float32_matmul_precision,
    set_num_threads,
    show_config,
)
from fastnn.layers import Input
from fastnn.listing import names_of
from fastnn.models import Sequential
from fastnn.models.fitness import ConvergenceWarning
from fastnn.variables import Variable

# Worker threads must be gone before the interpreter takes its memory apart.
atexit.register(_core.shutdown)

__all__ = [
    "ConvergenceWarning",
    "Input",
    "Predictor",
    "Sequential",
    "TrainingDiverged",
    "Variable",
    "__version__",
    "activations",
    "callbacks",
    "datasets",
    "get_float32_matmul_precision",
    "get_num_threads",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "set_float32_matmul_precision",
    "set_num_threads",
    "show_config",
    "utils",
]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "fastnn")
__dir__ = names_of(__all__)
