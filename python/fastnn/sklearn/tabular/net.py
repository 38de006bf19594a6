"""The network of one member, and its first weights, which look at the data.

First weights: Holzmueller et al. 2024 (RealMLP, arXiv 2407.04491). Every unit has unit variance over some
training rows, and its bias puts the bend of its activation among them.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fastnn import activations, layers
from fastnn.models import Sequential
from fastnn.sklearn.tabular.recipe import Recipe

Floats = NDArray[np.float32]

_ROWS = 2048  # that first weights look at
_MIXED = 5  # rows of which a bias is a mixture


def network(recipe: Recipe, width: int, plain: int, outputs: int, seed: int) -> Sequential:
    """The layers, whose first kernel and biases `start` writes.

    Args:
        width: the number of inputs.
        plain: how many of them are no codes: rows have about this squared length.
        outputs: the number of outputs.
        seed: of dropout and of the order of rows.
    """
    first = recipe.hidden[0] if recipe.hidden else 1
    gain = math.sqrt(first / max(1, plain))
    parts: list[layers.Layer] = [layers.Rescaling(gain, input_shape=(width,))]
    for units in recipe.hidden:
        parts.append(layers.Dense(units, recipe.activation, kernel_initializer="zeros"))
        if recipe.dropout:
            parts.append(layers.Dropout(recipe.dropout))
    parts.append(layers.Dense(outputs, kernel_initializer="zeros"))
    return Sequential(parts, seed=seed)


def start(model: Sequential, rows: Floats, activation: str, random: np.random.Generator) -> None:
    """Writes the first weights; those of the last layer are zeros.

    Args:
        rows: of training, of which at most 2,048 are looked at.
        activation: of the hidden layers.
        random: for kernels, and for the choice of rows.
    """
    act = activations.get(activation)
    chosen = random.permutation(len(rows))[:_ROWS]
    first = model.layers[0]
    assert isinstance(first, layers.Rescaling)
    z = rows[chosen] * np.float32(first.scale)
    dense = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    for layer in dense[:-1]:
        inputs, units = layer.kernel.shape
        kernel = random.standard_normal((inputs, units), np.float32) / np.float32(math.sqrt(inputs))
        out = z @ kernel
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
