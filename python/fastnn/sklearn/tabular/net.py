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
from fastnn.models import Model, Sequential
from fastnn.ops.products import dense_forward
from fastnn.sklearn.tabular.recipe import Kind, Recipe
from fastnn.variables import Variable

Floats = NDArray[np.float32]

ROWS = 2048  # that first weights look at, at most
# Inputs up to which each is scaled. Without, a dense layer encodes the columns itself, and costs by columns.
_MOST_SCALED = 384
_MIXED = 5  # rows of which a bias is a mixture
# A number has so many waves, whose frequencies are normal with this deviation (in turns over a distance of
# quartiles), and so many codes made of them.
_WAVES, _FREQUENCY, _CODES = 16, 0.3, 3


class Net(NamedTuple):
    """A network, and by how much its first kernel is larger than others. `periodic`: the layers that make
    periodic codes of scaled numbers, one after another."""

    model: Sequential | Model
    gain: float
    periodic: tuple[layers.Layer, ...] = ()

    @property
    def scales(self) -> list[Variable]:
        """The trained numbers of inputs, which let training weigh columns; none of many inputs."""
        return [layer.scale for layer in self.model.layers if isinstance(layer, layers.Scale)]

    @property
    def dense(self) -> list[layers.Dense]:
        """The layers with kernels."""
        return [layer for layer in self.model.layers if isinstance(layer, layers.Dense)]


def takes_periodic(encoding: Encoding) -> bool:
    """Whether a table has numbers, and not so many inputs that they are better encoded by a dense layer."""
    width = encoding.plain_width + _CODES * len(encoding.numbers)
    return width <= _MOST_SCALED and any(rule.scale > 0 for rule in encoding.numbers)


def network(recipe: Recipe, encoding: Encoding, kind: Kind, outputs: int, seed: int) -> Net:
    """The layers, from raw columns on, whose kernels and biases `start` writes.

    The rows of the neural tangent kernel have length 1 where the first kernel is sqrt(units / inputs)
    times larger; its learning rate has to be so, too.

    Args:
        encoding: of raw columns.
        kind: what inputs have beside. Codes do not count in the length of rows.
        outputs: the number of outputs.
        seed: of dropout and of the order of rows.
    """
    codes = kind == "pieces"
    shape = (len(encoding.columns),)
    encoded = layers.ColumnEncoding(**encoding.layer_arguments(codes=codes), input_shape=shape)
    width = encoding.plain_width + codes * encoding.code_width
    parts: list[layers.Layer] = [layers.Scale()] if width <= _MOST_SCALED else []
    for units in recipe.hidden:
        parts.append(layers.Dense(units, recipe.activation, kernel_initializer="zeros"))
        if recipe.dropout:
            parts.append(layers.Dropout(recipe.dropout))
    parts.append(layers.Dense(outputs, kernel_initializer="zeros"))
    first = recipe.hidden[0] if recipe.hidden else 1
    gain = math.sqrt(first / max(1, encoding.plain_width))
    if kind != "periodic":
        return Net(Sequential([encoded, *parts], seed=seed), gain)
    periodic = _periodic(len(encoding.numbers))
    x = layers.Input(shape)
    y = encoded(x)
    numbers = layers.Slice(0, len(encoding.numbers))(y)
    for layer in periodic:
        numbers = layer(numbers)
    y = layers.Concatenate()([y, numbers])
    for layer in parts:
        y = layer(y)
    return Net(Model(x, y, seed=seed), gain, periodic)


def _periodic(numbers: int) -> tuple[layers.Layer, ...]:
    """Waves of each number, and a few sums of them: Gorishniy et al. 2022, arXiv 2203.05556, in the form of
    RealMLP (arXiv 2407.04491), whose cosine is a sine with its phase trained."""
    return (
        layers.GroupedDense(_WAVES, numbers, kernel_initializer="zeros"),
        layers.Activation("sine"),
        layers.GroupedDense(_CODES, numbers, kernel_initializer="zeros"),
    )


def start(net: Net, z: Floats, activation: str, random: np.random.Generator) -> None:
    """Writes the first weights; those of the last layer are zeros.

    Args:
        z: inputs of the first dense layer, but for periodic codes, for some rows of training.
        activation: of the hidden layers.
        random: for kernels and biases.
    """
    act = activations.get(activation)
    if net.periodic:
        z = np.concatenate([z, _begun(net, z, random)], axis=1)
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


def _begun(net: Net, z: Floats, random: np.random.Generator) -> Floats:
    """Writes the first weights of periodic codes; returns the codes of rows z."""
    waves, _, sums = net.periodic
    kernel, bias = waves.variables
    scale = np.float32(2.0 * math.pi * _FREQUENCY)
    kernel.assign(scale * random.standard_normal(kernel.shape, np.float32))
    bias.assign(random.uniform(-math.pi, math.pi, bias.shape).astype(np.float32))
    bound = math.sqrt(3.0 / _WAVES)  # of numbers with the variance 1 / _WAVES
    kernel = sums.variables[0]
    kernel.assign(random.uniform(-bound, bound, kernel.shape).astype(np.float32))
    found = z[:, : bias.shape[0] // _WAVES]
    for layer in net.periodic:
        found = np.asarray(layer(found))
    return found
