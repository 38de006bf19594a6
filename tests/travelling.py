"""Models that tests send to other programs: one of each kind of layer and of each form of graph.

Only construction is here; what the other program is stands in the test files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import test_registry
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers
from fastnn.layers import LAYERS

Array = NDArray[Any]

ACTIVATIONS = (
    *(row["name"] for row in _core.activations() if row["name"] != "rectifier"),  # relu's
    "softmax",
    "log_softmax",
)
# Words with parameters.
WITH_PARAMETERS = (
    "leaky_relu(negative_slope=0.07)",
    "elu(alpha=2.5)",
    "celu(alpha=0.5)",
    "relu(max_value=1.5)",
    "relu(threshold=0.75)",
    "relu(max_value=1.5, negative_slope=0.25, threshold=0.5)",
    "soft_shrink(threshold=0.25)",
    "hard_shrink(threshold=1.0)",
    "threshold(threshold=-0.5, default_value=0.25)",
    "squareplus(b=1.0)",
)
# What the other program has no form of.
NOT_IN_TORCH = {
    *("squareplus", "sparse_plus", "sparse_sigmoid", "exponential", "sine"),
    *("relu(max_value=1.5, negative_slope=0.25, threshold=0.5)", "squareplus(b=1.0)"),
}
NOT_IN_KERAS = {"gelu_tanh", "threshold", "sine", *WITH_PARAMETERS}  # by a name that a file holds
CLASSES = sorted(set(LAYERS.names.values()), key=lambda cls: cls.__name__)


def with_weights(model: Any) -> Any:
    """The model with weights that no initializer gives, biases and offsets too."""
    rng = np.random.default_rng(7)
    values = [(rng.normal(0.3, 0.7, weight.shape), weight.name) for weight in model.weights]
    model.set_weights([np.abs(v) if name.endswith("variance") else v for v, name in values])
    return model


def rows(*shape: int, dtype: str = "float32") -> Array:
    return np.random.default_rng(3).normal(0.1, 1.5, (9, *shape)).astype(dtype)


# Layers that take whole numbers.
NUMBERED = (layers.Embedding, layers.CategoryEncoding)


def alone(cls: type[Any]) -> list[Any]:
    """A layer of a class, for rows of 12 numbers, behind what it needs for them."""
    if cls is layers.Permute:
        return [layers.Reshape((3, 4)), layers.Permute((2, 1))]
    return [
        layers.GroupNormalization(4)
        if cls is layers.GroupNormalization
        else test_registry.plain(cls)
    ]


def whole_numbers(dtype: str = "float32") -> Array:
    """Rows of 12 for the layers of NUMBERED."""
    return np.random.default_rng(4).integers(0, 5, (9, 12)).astype(dtype)


def of_class(cls: type[Any], dtype: str = "float32") -> tuple[Any, list[Array]]:
    """A model around one layer of a class, and rows for each of its inputs."""
    *before, layer = alone(cls)
    if cls in NUMBERED:
        made = [layers.Input((12,)), layer, layers.Flatten(), layers.Dense(2)]
        return with_weights(fastnn.Sequential(made, dtype=dtype)), [whole_numbers(dtype)]
    if isinstance(layer, layers.InputLayer):
        model: Any = fastnn.Sequential([layer, layers.Dense(3)], dtype=dtype)
        return with_weights(model), [rows(4, dtype=dtype)]
    count = 2 if layer.merges else 1
    inputs = [fastnn.Input((12,)) for _ in range(count)]
    first = [layers.Dense(12, "tanh")(x) for x in inputs]
    for part in before:
        first = [part(x) for x in first]
    made = layer(first if layer.merges else first[0])
    model = fastnn.Model(inputs, layers.Dense(2)(layers.Flatten()(made)), dtype=dtype)
    return with_weights(model), [rows(12, dtype=dtype) for _ in inputs]


def chain(activations: Sequence[str], dtype: str = "float32", inputs: int = 6) -> Any:
    """Dense layers of five units with these activations."""
    made = [layers.Input((inputs,)), *(layers.Dense(5, name) for name in activations)]
    return with_weights(fastnn.Sequential(made, dtype=dtype))


def everything(dtype: str = "float32") -> Any:
    """A chain of all layers that PyTorch and Keras have, too."""
    made = [
        layers.Input((3, 4)),
        layers.Flatten(),
        layers.Dense(8, "relu"),
        layers.LayerNormalization(epsilon=1e-4),
        layers.LeakyReLU(0.07),
        layers.Dropout(0.3),
        layers.Dense(6, use_bias=False),
        layers.ELU(0.7),
        layers.Reshape((2, 3)),
        layers.ReLU(),
        layers.Flatten(),
        layers.Activation("silu"),
        layers.Dense(4, "softmax"),
    ]
    return with_weights(fastnn.Sequential(made, dtype=dtype))


def graph(dtype: str = "float32") -> tuple[Any, list[Array]]:
    """Two inputs, a layer that is called three times, branches that meet."""
    left, right = fastnn.Input((4,), name="left"), fastnn.Input((2, 3), name="right")
    both = layers.Concatenate()([left, layers.Dense(2, name="low")(layers.Flatten()(right))])
    shared = layers.Dense(6, "tanh", name="shared")
    h = shared(shared(both))
    gate = layers.Multiply()([h, layers.Dense(6, "sigmoid")(both)])
    h = layers.Add()([gate, h, layers.Dense(1, name="level")(both)])
    h = layers.Subtract()([layers.LayerNormalization()(h), shared(h)])
    h = layers.Average()([layers.Maximum()([h, both]), layers.Minimum()([h, gate])])
    model = fastnn.Model([left, right], layers.Dense(3, name="answer")(h), dtype=dtype)
    return with_weights(model), [rows(4, dtype=dtype), rows(2, 3, dtype=dtype)]


def predicted(model: Any, inputs: Sequence[Array]) -> Array:
    """What `predict` gives for rows of each input."""
    result: Array = model.predict(list(inputs) if len(inputs) > 1 else inputs[0])
    return result


def near(got: Any, expected: Array, tolerance: float = 1e-6) -> None:
    """Equal within `tolerance` of the largest number, or of 1."""
    got = np.asarray(got)
    assert got.shape == expected.shape
    assert got.dtype == expected.dtype
    bound = tolerance * max(1.0, float(np.abs(expected).max()))
    assert np.abs(got - expected).max() <= bound


Maker = Callable[[], Any]
