"""Data and models of the tests of chunks."""

from __future__ import annotations

import networks
import numpy as np

import fastnn

N, WIDTH = 437, 5
RNG = np.random.default_rng(21)
X = RNG.normal(size=(N, WIDTH)).astype(np.float32)
Y = (X[:, :2] - X[:, 2:4]).astype(np.float32)
LABELS = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 0.5)
WEIGHTS = RNG.integers(0, 3, N).astype(np.float64)


def model_of(loss="mse", outputs=2, head="linear", optimizer="adam", **how):
    """A compiled model with dropout, whose weights depend on the numbers of its steps."""
    fastnn.utils.set_random_seed(4)
    model = networks.sequential((WIDTH, 6, outputs), ("relu", head))
    model.compile(optimizer, loss, **how)
    return model


def classifier(**how):
    return model_of("sparse_categorical_crossentropy", 3, metrics=["accuracy"], **how)


def files(folder, *arrays):
    """The paths of .npy files of arrays."""
    paths = []
    for name, array in zip(("x", "y", "w"), arrays, strict=False):
        paths.append(str(folder / f"{name}.npy"))
        np.save(paths[-1], array)
    return paths


def parts(size, *arrays):
    """The rows of arrays in chunks of a size."""
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def same(first, second):
    """Whether two models, or two Historys, have the same numbers to the last bit."""
    if hasattr(first, "history") and isinstance(first.history, dict):
        return first.history == second.history
    pairs = zip(first.get_weights(), second.get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)
