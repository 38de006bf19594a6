"""Calls of every op of `fastnn.ops`, for tests of what all ops have in common.

A new loss comes here by its line in losses.py; any other new op is a line of CALLS or STEPS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cases
import numpy as np
from losses import LOSSES
from numpy.typing import NDArray

from fastnn import ops

Array = NDArray[Any]
Arguments = tuple[list[Array | None], dict[str, Any]]


class Size(NamedTuple):
    """n rows, i inputs, o outputs."""

    n: int
    i: int
    o: int


class Draw:
    """Arrays of one type and size, normally distributed, by name."""

    def __init__(self, rng: np.random.Generator, dtype: str, size: Size) -> None:
        self.rng, self.dtype, self.size = rng, dtype, size

    def normal(self, *shape: int) -> Array:
        return self.rng.normal(size=shape).astype(self.dtype)

    def inputs(self) -> Array:
        return self.normal(self.size.n, self.size.i)

    def outputs(self) -> Array:
        return self.normal(self.size.n, self.size.o)

    def kernel(self) -> Array:
        return self.normal(self.size.i, self.size.o)

    def bias(self) -> Array:
        return self.normal(self.size.o)

    def numbers(self) -> Array:
        """Of rows of the kernel."""
        return self.rng.integers(0, self.size.i, self.size.n).astype(self.dtype)

    def squares(self) -> Array:
        return np.square(self.outputs())


class Call(NamedTuple):
    op: str
    family: str  # of tolerances
    draw: Callable[[Draw], Arguments]

    def __call__(self, arrays: list[Any], words: dict[str, Any]) -> Any:
        return getattr(ops, self.op)(*arrays, **words)

    def arguments(self, rng: np.random.Generator, dtype: str, *size: int) -> Arguments:
        return self.draw(Draw(rng, dtype, Size(*size)))


def _dense_backward(d: Draw) -> Arguments:
    y = np.tanh(d.outputs())
    return [d.outputs(), d.inputs(), d.kernel(), y], {"activation": "tanh"}


def _dense_backward_by_z(d: Draw) -> Arguments:
    arrays, z = [d.outputs(), d.inputs(), d.kernel()], d.outputs()
    return [*arrays, ops.activation_forward(z, "gelu")], {"activation": "gelu", "z": z}


def _forward(name: str) -> Call:
    return Call("activation_forward", "activation", lambda d: ([d.inputs()], {"name": name}))


def _backward(name: str) -> Call:
    def draw(d: Draw) -> Arguments:
        dy, x = d.inputs(), d.inputs()
        return [dy, x, ops.activation_forward(x, name)], {"name": name}

    return Call("activation_backward", "activation gradient", draw)


def _loss(name: str, variant: str) -> Call:
    def draw(d: Draw) -> Arguments:
        shape = d.size.n, d.size.o
        pred = LOSSES[name].pred(d.rng, shape, 1.0).astype(d.dtype)
        targets, options = LOSSES[name].variants[variant].draw(d.rng, *shape)
        if targets.ndim == 2:
            targets = targets.astype(d.dtype)
        words = {k: v.astype(d.dtype) if np.ndim(v) else v for k, v in options.items()}
        return [pred, targets], words

    return Call(name, "loss", draw)


def _pairs(d: Draw) -> Arguments:
    """Means and logarithms of variances side by side, and targets for the means."""
    n, o = d.size.n, d.size.o
    return [d.rng.normal(size=(n, 2 * o)).astype(d.dtype), d.outputs()], {}


CALLS = {
    "dense_forward": Call(
        "dense_forward",
        "dense",
        lambda d: ([d.inputs(), d.kernel(), d.bias()], {"activation": "tanh"}),
    ),
    "dense_forward, linear": Call(
        "dense_forward", "dense", lambda d: ([d.inputs(), d.kernel()], {})
    ),
    "dense_backward": Call("dense_backward", "dense", _dense_backward),
    "dense_backward, linear": Call(
        "dense_backward",
        "dense",
        lambda d: ([d.outputs(), d.inputs(), d.kernel(), d.outputs()], {}),
    ),
    "dense_backward, z": Call("dense_backward", "dense", _dense_backward_by_z),
    **{f"activation_forward, {name}": _forward(name) for name in cases.IN_PRODUCTS},
    **{f"activation_backward, {name}": _backward(name) for name in cases.IN_PRODUCTS},
    "softmax": Call("softmax", "softmax", lambda d: ([d.outputs()], {})),
    "log_softmax": Call("log_softmax", "softmax", lambda d: ([d.outputs()], {})),
    "layer_normalization": Call(
        "layer_normalization",
        "normalization",
        lambda d: ([d.outputs(), d.bias(), d.bias()], {}),
    ),
    "layer_normalization_backward": Call(
        "layer_normalization_backward",
        "normalization gradient",
        lambda d: ([d.outputs(), d.outputs(), d.bias()], {}),
    ),
    "batch_normalization": Call(
        "batch_normalization",
        "normalization",
        lambda d: ([d.outputs(), d.bias(), d.bias()], {}),
    ),
    "batch_normalization_backward": Call(
        "batch_normalization_backward",
        "normalization gradient",
        lambda d: ([d.outputs(), d.outputs(), d.bias()], {}),
    ),
    "rms_normalization": Call(
        "rms_normalization", "normalization", lambda d: ([d.outputs(), d.bias()], {})
    ),
    "rms_normalization_backward": Call(
        "rms_normalization_backward",
        "normalization gradient",
        lambda d: ([d.outputs(), d.outputs(), d.bias()], {}),
    ),
    "unit_normalization": Call(
        "unit_normalization", "normalization", lambda d: ([d.outputs()], {})
    ),
    "unit_normalization_backward": Call(
        "unit_normalization_backward",
        "normalization gradient",
        lambda d: ([d.outputs(), d.outputs()], {}),
    ),
    "embedding": Call("embedding", "dense", lambda d: ([d.numbers(), d.kernel()], {})),
    "embedding_backward": Call(
        "embedding_backward",
        "dense",
        lambda d: ([d.outputs(), d.numbers()], {"vocabulary": d.size.i}),
    ),
    "gaussian_nll": Call("gaussian_nll", "loss", _pairs),
    **{
        f"{name}, {variant}": _loss(name, variant)
        for name, loss in LOSSES.items()
        for variant in loss.variants
    },
}

# Optimizers' steps, which change param and state in place: param, grad, state.
STEPS = {
    "sgd_step": Call(
        "sgd_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), None], {"learning_rate": 0.1}),
    ),
    "sgd_step, momentum": Call(
        "sgd_step",
        "optimizer",
        lambda d: ([d.outputs() for _ in range(3)], {"learning_rate": 0.1, "momentum": 0.9}),
    ),
    "sgd_step, nesterov": Call(
        "sgd_step",
        "optimizer",
        lambda d: (
            [d.outputs() for _ in range(3)],
            {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
        ),
    ),
    "rmsprop_step": Call(
        "rmsprop_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.squares()], {}),
    ),
    "rmsprop_step, momentum": Call(
        "rmsprop_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.squares(), d.outputs()], {"momentum": 0.9}),
    ),
    "lion_step": Call(
        "lion_step",
        "optimizer",
        lambda d: ([d.outputs() for _ in range(3)], {}),
    ),
    "lamb_step": Call(
        "lamb_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.outputs(), d.squares()], {"step": 3}),
    ),
    "muon_step": Call(
        "muon_step",
        "optimizer",
        lambda d: ([d.outputs() for _ in range(3)], {}),
    ),
    "amsgrad_step": Call(
        "amsgrad_step",
        "optimizer",
        lambda d: (
            [d.outputs(), d.outputs(), d.outputs(), d.squares(), d.squares()],
            {"step": 3},
        ),
    ),
    "adamax_step": Call(
        "adamax_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.outputs(), d.squares()], {"step": 3}),
    ),
    "nadam_step": Call(
        "nadam_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.outputs(), d.squares()], {"step": 3}),
    ),
    "adagrad_step": Call(
        "adagrad_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.squares()], {}),
    ),
    "adadelta_step": Call(
        "adadelta_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.squares(), d.squares()], {}),
    ),
    "adam_step": Call(
        "adam_step",
        "optimizer",
        lambda d: ([d.outputs(), d.outputs(), d.outputs(), d.squares()], {"step": 3}),
    ),
}
