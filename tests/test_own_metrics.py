"""Metrics that a program writes as classes: counted batch by batch beside native training, as over a tape."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, metrics

RNG = np.random.default_rng(2)
N = 70
X = RNG.normal(size=(N, 4))
LABELS = RNG.integers(0, 3, N)
NUMBERS = RNG.normal(size=(N, 3))
WEIGHTS = RNG.random(N)


class Forced(fastnn.Sequential):
    """The same training over the tape, where each step calls the metrics."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


class MeanOfLargest(metrics.Metric):
    """The mean over batches of the largest number: it depends on which rows are in a batch."""

    def __init__(self, name: str = "largest") -> None:
        super().__init__(name)
        self.total, self.batches = (
            self.add_weight(dtype="float64"),
            self.add_weight(dtype="float64"),
        )
        self.seen: list[tuple[Any, ...]] = []

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y, p = np.asarray(y_true), np.asarray(y_pred)
        w = np.ones(len(y)) if sample_weight is None else np.asarray(sample_weight)
        found = p.max() if y.ndim == 1 else (np.abs(y - p).max(axis=1) * w).max()
        self.total.assign_add(found)
        self.batches.assign_add(1.0)
        self.seen.append((y.shape, y.dtype.kind, p.shape, type(y_true)))

    def result(self) -> Any:
        return {self.name: self.total.numpy() / self.batches.numpy(), "batches": self.batches}


def made(cls: Any, loss: Any, *, weighted: bool = False) -> Any:
    end = "softmax" if "sparse" in loss else None
    chain = [layers.Dense(8, "tanh"), layers.Dropout(0.2), layers.Dense(3, end)]
    model = cls(chain, seed=1, dtype="float64")
    which = "weighted_metrics" if weighted else "metrics"
    model.compile("adam", loss, **{which: [MeanOfLargest()]})
    return model


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(
    ("loss", "y", "weighted"),
    [
        ("sparse_categorical_crossentropy", LABELS, False),
        ("mse", NUMBERS, False),
        ("mse", NUMBERS, True),
    ],
)
def test_batches_are_those_of_the_steps(loss: str, y: Any, weighted: bool, shuffle: bool) -> None:
    """Values, and what update_state gets, are those of a step that calls it."""
    found = []
    for cls in (fastnn.Sequential, Forced):
        model = made(cls, loss, weighted=weighted)
        how: Any = {"sample_weight": WEIGHTS} if weighted else {}
        history = model.fit(
            X, y, 16, 3, 0, shuffle=shuffle, validation_split=0.2, validation_batch_size=5, **how
        )
        found.append(history.history)
        found.append(model.evaluate(X, y, 11, 0, return_dict=True, **how))
        found.append(model.train_on_batch(X[:9], y[:9], return_dict=True))
        metric = next(m for m in model.metrics if isinstance(m, MeanOfLargest))
        found.append({"seen": sorted({str(one) for one in metric.seen})})
    native, taped = found[:4], found[4:]
    assert native[3] == taped[3]
    for a, b in zip(native[:3], taped[:3], strict=True):
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-9, err_msg=name)
    assert native[0]["batches"] == [4.0] * 3
    assert native[0]["val_batches"] == [3.0] * 3


class Batches(fastnn.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, k: int) -> Any:
        return X[16 * k : 16 * k + 16 - k], NUMBERS[16 * k : 16 * k + 16 - k]


def test_streams_and_callbacks() -> None:
    model = made(fastnn.Sequential, "mse")
    history = model.fit(Batches(), epochs=2, verbose=0, validation_data=(X, NUMBERS))
    assert history.history["batches"] == [3.0, 3.0]
    model.optimizer.learning_rate = 0.0
    stop = callbacks.EarlyStopping("largest", patience=1, mode="min")
    assert (
        len(model.fit(X, NUMBERS, epochs=9, shuffle=False, verbose=0, callbacks=[stop]).epoch) < 9
    )


class Wrong(metrics.Metric):
    def update_state(self, *_: Any) -> None:
        raise KeyError("wrong")

    def result(self) -> Any:
        return 0.0


def test_errors_show_before_training() -> None:
    model = fastnn.Sequential([layers.Dense(3, input_shape=(4,))])
    model.compile("adam", "mse", metrics=[Wrong()])
    before = model.get_weights()
    with pytest.raises(KeyError, match="wrong"):
        model.fit(X, NUMBERS, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_threads_take_turns() -> None:
    """Evaluations in several threads count into the same object, one after the other."""
    model = made(fastnn.Sequential, "mse")
    wanted = model.evaluate(X, NUMBERS, 7, 0, return_dict=True)
    found: list[Any] = []
    threads = [
        threading.Thread(
            target=lambda: found.append(model.evaluate(X, NUMBERS, 7, 0, return_dict=True))
        )
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [wanted] * 6
