"""`python -m fastnn demo`: trains on the digits in the package, and times a step against NumPy.

The same step in plain NumPy is here, too: float32, the same layers, batch and
optimizer, written as well as NumPy allows. This is no benchmark of other libraries.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import keys
from fastnn.console import say
from fastnn.data.split import held_out
from fastnn.datasets import load_digits
from fastnn.layers.dense import Dense
from fastnn.layers.scaling import Rescaling
from fastnn.models.sequential import Sequential

_SEED = 1
_BATCH = 32
_EPOCHS = 12
_WIDTHS = (64, 256, 128, 10)
_ROUNDS = 7

Floats = NDArray[np.float32]


def main() -> float:
    """Runs the demonstration and returns the held-out accuracy."""
    x, y = load_digits()
    split = held_out(len(x), 0.2, y.astype(np.int64), keys.key_of(_SEED))
    train, test = split.training, split.validation
    say(
        f"{len(x)} images of digits, 8 x 8 pixels: {len(train)} to train on, "
        f"{len(test)} held out (a fifth of each digit)\n"
    )
    model = network()
    model.summary()
    say()
    model.fit(
        x[train], y[train], batch_size=_BATCH, epochs=_EPOCHS, validation_data=(x[test], y[test])
    )
    results = model.evaluate(x[test], y[test], verbose=0, return_dict=True)
    assert isinstance(results, dict)
    accuracy = results["accuracy"]
    ours, theirs = step_times(x[train], y[train])
    say(f"\nheld-out accuracy   {accuracy:.4f}")
    say(f"one training step   {1e6 * ours:8.1f} us  (batch {_BATCH}, Adam, fastnn)")
    say(f"the same in NumPy   {1e6 * theirs:8.1f} us  (NumPy {np.__version__}, float32)")
    say(f"ratio               {theirs / ours:8.1f} x")
    say(
        "\nOn a busy machine NumPy's threads wait for one another; OPENBLAS_NUM_THREADS=1 gives it one."
    )
    return float(accuracy)


def network() -> Sequential:
    """The network of the demonstration: uint8 pixels in, ten logits out."""
    hidden = [Dense(units, activation="relu") for units in _WIDTHS[1:-1]]
    model = Sequential(
        [
            Rescaling(1 / 16, input_shape=_WIDTHS[:1]),
            *hidden,
            Dense(_WIDTHS[-1]),
        ],
        seed=_SEED,
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def step_times(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float]:
    """Seconds of a training step, in fastnn and in NumPy: medians of interleaved rounds."""
    steps = -(-len(x) // _BATCH)
    model = network()
    numpy = NumpyNetwork(_WIDTHS, np.random.default_rng(_SEED))
    # NumPy gets its images as float32 in [0, 1] once, before the clock runs.
    pixels: Floats = x.astype(np.float32) / np.float32(16)
    labels = y.astype(np.int64)
    epochs = 4

    def ours() -> None:
        model.fit(x, y, batch_size=_BATCH, epochs=epochs, verbose=0)

    def theirs() -> None:
        numpy.epoch(pixels, labels, _BATCH)

    ours()
    theirs()
    rounds = [(_seconds(ours) / (epochs * steps), _seconds(theirs) / steps) for _ in range(_ROUNDS)]
    return statistics.median(a for a, _ in rounds), statistics.median(b for _, b in rounds)


def _seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class NumpyNetwork:
    """Dense layers with relu, softmax cross-entropy and Adam, in NumPy.

    Parameters, gradients and moments stand in one array each, so that Adam is a dozen
    operations with any number of layers; nothing as large as a layer is allocated in a step.
    """

    def __init__(self, widths: tuple[int, ...], random: np.random.Generator) -> None:
        shapes = list(itertools.pairwise(widths))
        size = sum((i + 1) * o for i, o in shapes)
        self.parameters, self.gradient, self.m, self.v, self.scratch = np.zeros(
            (5, size), dtype=np.float32
        )
        self.layers = _views(self.parameters, shapes)
        self.gradients = _views(self.gradient, shapes)
        for (i, o), (kernel, _) in zip(shapes, self.layers, strict=True):
            limit = (6.0 / (i + o)) ** 0.5
            kernel[:] = random.uniform(-limit, limit, (i, o))
        self.random = random
        self.steps = 0

    def epoch(self, x: Floats, labels: NDArray[np.int64], batch: int) -> None:
        """One step for each batch, the rows in random order."""
        order = self.random.permutation(len(x))
        for start in range(0, len(x), batch):
            rows = order[start : start + batch]
            self.step(x[rows], labels[rows])

    def step(self, x: Floats, labels: NDArray[np.int64]) -> float:
        """Forward, loss, backward and update; returns the loss."""
        inputs = [x]
        for kernel, bias in self.layers:
            z = inputs[-1] @ kernel
            z += bias
            if len(inputs) < len(self.layers):
                np.maximum(z, 0, out=z)
            inputs.append(z)
        n = len(x)
        each = np.arange(n)
        dz = inputs.pop()
        dz -= dz.max(axis=1, keepdims=True)
        picked = dz[each, labels]
        np.exp(dz, out=dz)
        total = dz.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - picked).mean())
        dz /= total
        dz[each, labels] -= 1
        dz *= np.float32(1 / n)
        for i in range(len(self.layers) - 1, -1, -1):
            dkernel, dbias = self.gradients[i]
            np.matmul(inputs[i].T, dz, out=dkernel)
            dz.sum(axis=0, out=dbias)
            if i > 0:
                dz = dz @ self.layers[i][0].T
                dz *= inputs[i] > 0
        self._adam()
        return loss

    def _adam(self, rate: float = 1e-3, epsilon: float = 1e-7) -> None:
        self.steps += 1
        gradient, scratch = self.gradient, self.scratch
        correction_1 = 1 - 0.9**self.steps
        correction_2 = (1 - 0.999**self.steps) ** 0.5
        np.multiply(gradient, 0.1, out=scratch)
        self.m *= 0.9
        self.m += scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 0.001
        self.v *= 0.999
        self.v += scratch
        # m_hat / (sqrt(v_hat) + epsilon), with both corrections taken out of the root.
        np.sqrt(self.v, out=scratch)
        scratch += epsilon * correction_2
        np.divide(self.m, scratch, out=scratch)
        scratch *= rate * correction_2 / correction_1
        self.parameters -= scratch


def _views(flat: Floats, shapes: list[tuple[int, int]]) -> list[tuple[Floats, Floats]]:
    """Kernel and bias of each layer, as views of one array."""
    views, offset = [], 0
    for i, o in shapes:
        end = offset + i * o
        views.append((flat[offset:end].reshape(i, o), flat[end : end + o]))
        offset = end + o
    return views
