"""The network of one member, and its first weights, which look at the data.

First weights: Holzmueller et al. 2024 (RealMLP, arXiv 2407.04491). Every unit has unit variance over some
training rows, and its bias puts the bend of its activation among them.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn import activations, layers
from fastnn.data.encoding import Encoding
from fastnn.models import Sequential
from fastnn.ops.products import dense_forward
from fastnn.sklearn.tabular.recipe import Recipe
from fastnn.variables import Variable

Floats = NDArray[np.float32]

ROWS = 2048  # that first weights look at, at most
# Inputs up to which each is scaled. Without, a dense layer encodes the columns itself, and costs by columns.
_MOST_SCALED = 384
_MIXED = 5  # rows of which a bias is a mixture


class Net(NamedTuple):
    """A network, and by how much its first kernel is larger than others."""

    model: Sequential
    gain: float

    @property
    def scales(self) -> list[Variable]:
        """The trained numbers of inputs, which let training weigh columns; none of many inputs."""
        return [layer.scale for layer in self.model.layers if isinstance(layer, layers.Scale)]

    @property
    def dense(self) -> list[layers.Dense]:
        """The layers with kernels."""
        return [layer for layer in self.model.layers if isinstance(layer, layers.Dense)]


def network(recipe: Recipe, encoding: Encoding, codes: bool, outputs: int, seed: int) -> Net:
    """The layers, from raw columns on, whose kernels and biases `start` writes.

    The rows of the neural tangent kernel have length 1 where the first kernel is sqrt(units / inputs)
    times larger; its learning rate has to be so, too.

    Args:
        encoding: of raw columns.
        codes: whether the inputs have piecewise linear codes. They do not count in the length of rows.
        outputs: the number of outputs.
        seed: of dropout and of the order of rows.
    """
    parts: list[layers.Layer] = [
        layers.ColumnEncoding(
            **encoding.layer_arguments(codes=codes), input_shape=(len(encoding.columns),)
        )
    ]
    if encoding.plain_width + codes * encoding.code_width <= _MOST_SCALED:
        parts.append(layers.Scale())
    for units in recipe.hidden:
        parts.append(layers.Dense(units, recipe.activation, kernel_initializer="zeros"))
        if recipe.dropout:
            parts.append(layers.Dropout(recipe.dropout))
    parts.append(layers.Dense(outputs, kernel_initializer="zeros"))
    first = recipe.hidden[0] if recipe.hidden else 1
    return Net(Sequential(parts, seed=seed), math.sqrt(first / max(1, encoding.plain_width)))


def start(net: Net, z: Floats, activation: str, random: np.random.Generator) -> None:
    """Writes the first weights; those of the last layer are zeros.

    Args:
        z: inputs of the first dense layer for some rows of training.
        activation: of the hidden layers.
        random: for kernels and biases.
    """
    act = activations.get(activation)
    for number, layer in enumerate(net.dense[:-1]):
        inputs, units = layer.kernel.shape
        kernel = random.standard_normal((inputs, units), np.float32)
        kernel *= np.float32((net.gain if number == 0 else 1.0) / math.sqrt(inputs))
        out = dense_forward(z, kernel)  # by the threads of fastnn, not by those of NumPy's library
        deviation = out.std(axis=0)
        scale = 1.0 / np.where(deviation > 1e-6, deviation, np.float32(1.0))
        kernel *= scale
        out *= scale
        picks = random.integers(0, len(z), (_MIXED, units))
        shares = random.standard_exponential(picks.shape)
        shares /= shares.sum(axis=0)
        bias = -(out[picks, np.arange(units)] * shares).sum(axis=0).astype(np.float32)
        layer.kernel.assign(kernel)
        layer.variables[1].assign(bias)
        out += bias
        z = np.asarray(act(out))
