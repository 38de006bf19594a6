"""Networks for the tests: chains on the native module, and the same ones by the public names.

Only construction, weights in and gradients out; no expectation is here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import reference
from numpy.typing import NDArray

import fastnn
from fastnn import _core

Array = NDArray[Any]

SGD = {"learning_rate": 0.1, "weight_decay": 0.0, "momentum": 0.0, "nesterov": 0.0}
ADAM = {
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "beta_1": 0.9,
    "beta_2": 0.999,
    "epsilon": 1e-7,
}


@dataclass
class Native:
    """A `_core.Network` with its buffer."""

    network: _core.Network
    parameters: _core.Parameters

    def write(self, weights: Sequence[Array]) -> None:
        for (offset, shape), w in zip(self.network.parameters, weights, strict=True):
            assert np.shape(w) == tuple(shape)
            self.parameters.write(offset, np.ascontiguousarray(w, self.parameters.dtype))

    def read(self) -> list[Array]:
        return [self.parameters.view(o, s).copy() for o, s in self.network.parameters]

    def split(self, flat: Array) -> list[Array]:
        """A buffer with the layout of the parameters as arrays, one for each."""
        return [flat[o : o + math.prod(s)].reshape(s) for o, s in self.network.parameters]


def bound(network: _core.Network, dtype: str) -> Native:
    parameters = _core.Parameters(network.parameter_size, dtype)
    network.bind(parameters)
    return Native(network, parameters)


def chain(
    widths: Sequence[int],
    activations: Sequence[str],
    dtype: str,
    *,
    key: int = 7,
    use_bias: bool = True,
    dropout: float = 0.0,
    parameters: Mapping[int, reference.Parameter] | None = None,
) -> Native:
    """Dense layers one after the other, dropout after each but the last where asked.

    `parameters`: of the activations, by layer; without an entry it is the default.
    """
    network = _core.Network(widths[0], dtype, key)
    tensor = 0
    for i, ((_, units), activation) in enumerate(zip(pairwise(widths), activations, strict=True)):
        parameter = (parameters or {}).get(i)
        given = () if parameter is None else reference.given(activation, parameter).values()
        tensor = network.dense(
            tensor, units, activation, use_bias=use_bias, activation_parameters=tuple(given)
        )
        if dropout and i < len(activations) - 1:
            tensor = network.dropout(tensor, dropout)
    network.set_output(tensor)
    return bound(network, dtype)


def compile_native(
    network: _core.Network,
    *,
    loss: str,
    optimizer: str = "sgd",
    metrics: Sequence[Any] = (),
    label_smoothing: float = 0.0,
    options: Mapping[str, float] | None = None,
    ignore_class: int | None = None,
    pos_weight: Array | None = None,
    session: str = "auto",
    precision: str = "highest",
    device: str = "auto",
    **stage: Any,
) -> None:
    """`network.compile`, whose signature is known here alone.

    `stage`: groups, clip_value, clip_norm, global_clip_norm, average_momentum.
    """
    network.compile(
        loss=loss,
        optimizer=optimizer,
        metrics=[count_of(metric) for metric in metrics],
        options={
            **({"label_smoothing": label_smoothing} if label_smoothing else {}),
            **(options or {}),
        },
        ignore_class=ignore_class,
        pos_weight=pos_weight,
        session=session,
        precision=precision,
        device=device,
        **stage,
    )


COUNTS = {
    "sparse_categorical_accuracy": "matches",
    "categorical_accuracy": "matches",
    "binary_accuracy": "sides",
    "top_k_categorical_accuracy": "hits",
}


def count_of(metric: Any) -> Mapping[str, Any]:
    """What native code counts for a metric: a dictionary, or a pair (name, value)."""
    if isinstance(metric, Mapping):
        return metric
    name, value = metric
    weighted = name.startswith("weighted:")
    name = name.removeprefix("weighted:")
    if name in COUNTS:
        return {"kind": COUNTS[name], "value": value, "weighted": weighted}
    return {"kind": "mean_of", "loss": name, "weighted": weighted}


def train_native(
    network: _core.Network,
    data: _core.Data,
    *,
    batch_size: int,
    optimizer: Mapping[str, float] = SGD,
    shuffle: bool = True,
    validation: _core.Data | None = None,
    streams_in: bool = False,
    **others: Any,
) -> Array:
    """One native call of one run, whose signatures are known here alone; returns its sums."""
    run = network.run(
        data,
        batch_size=batch_size,
        validation=validation,
        shuffle=shuffle,
        streams_in=streams_in,
        fresh=False,
    )
    with run:
        return run.advance(optimizer=optimizer, validates=validation is not None, **others)


def rows(
    x: Array, y: Array, weights: Array | None = None, order: Array | None = None
) -> _core.Data:
    """Labels are int and one-dimensional, everything else is targets."""
    if weights is not None:
        weights = np.ascontiguousarray(weights, np.float64)
    if order is not None:
        order = np.ascontiguousarray(order, np.int64)
    if y.ndim == 1 and y.dtype.kind in "iu":
        labels = np.ascontiguousarray(y, np.int32)
        return _core.Data(x, labels=labels, weights=weights, rows=order)
    return _core.Data(x, targets=y, weights=weights, rows=order)


def sequential(
    widths: Sequence[int], activations: Sequence[str], *, dtype: str = "float32", **dense: Any
) -> fastnn.Sequential:
    """The same chain by the public names, built but not compiled."""
    layers: list[Any] = [fastnn.layers.Input(shape=(widths[0],))]
    for units, activation in zip(widths[1:], activations, strict=True):
        layers.append(fastnn.layers.Dense(units, activation=activation, **dense))
    return fastnn.Sequential(layers, dtype=dtype)
