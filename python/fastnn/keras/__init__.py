"""The modules of fastnn under the names that they have in Keras: `from fastnn.keras.layers import
Dense`, or `import fastnn as tf` and `tf.keras.layers.Dense`. Nothing else is here."""

import sys
from typing import TYPE_CHECKING

from fastnn import (
    activations,
    callbacks,
    constraints,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    preprocessing,
    random,
    regularizers,
    saving,
    utils,
)
from fastnn import elsewhere as _elsewhere
from fastnn._core import __version__
from fastnn.keras import backend, ops
from fastnn.layers import Input, Layer
from fastnn.listing import names_of
from fastnn.models import Model, Sequential
from fastnn.variables import Variable

__all__ = [
    "Input",
    "Layer",
    "Model",
    "Sequential",
    "Variable",
    "__version__",
    "activations",
    "backend",
    "callbacks",
    "constraints",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "preprocessing",
    "random",
    "regularizers",
    "saving",
    "utils",
]

for _name in (*__all__, "preprocessing.image"):
    if _name != "ops" and f"fastnn.{_name}" in sys.modules:
        sys.modules[f"{__name__}.{_name}"] = sys.modules[f"fastnn.{_name}"]

if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = _elsewhere.attributes(__name__, "fastnn")
__dir__ = names_of(__all__)
