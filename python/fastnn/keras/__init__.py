"""The modules of fastnn under the names that they have in Keras: `from fastnn.keras.layers import
Dense`, or `import fastnn as tf` and `tf.keras.layers.Dense`. Nothing else is here."""

import sys

from fastnn import (
    activations,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    preprocessing,
    utils,
)
from fastnn.layers import Input
from fastnn.listing import names_of
from fastnn.models import Model, Sequential
from fastnn.variables import Variable

__all__ = [
    "Input",
    "Model",
    "Sequential",
    "Variable",
    "activations",
    "callbacks",
    "datasets",
    "initializers",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "preprocessing",
    "utils",
]

for _name in (*__all__, "preprocessing.image"):
    if f"fastnn.{_name}" in sys.modules:
        sys.modules[f"{__name__}.{_name}"] = sys.modules[f"fastnn.{_name}"]

__dir__ = names_of(__all__)
