"""Searches: the best of a known curve, the rounds of halving, and what goes wrong."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers
from fastnn.models import search


def data() -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    return x, x @ np.arange(6.0) + 1.0


def build(rate: float, units: int = 4) -> fastnn.Sequential:
    stack = [fastnn.Input((6,)), layers.Dense(units), layers.Dense(1)]
    model = fastnn.Sequential(stack, seed=1)
    rng = np.random.default_rng(units)
    model.set_weights([rng.normal(0, 0.3, w.shape) for w in model.get_weights()])
    model.compile(fastnn.optimizers.SGD(rate), "mse", metrics=["r2_score"])
    return model


def test_stages() -> None:
    def told(count: int, epochs: int, ratio: float) -> list[tuple[int, int]]:
        return [(stage.epochs, stage.kept) for stage in search._stages(count, epochs, ratio)]

    assert told(9, 9, 3) == [(1, 3), (3, 1), (9, 1)]
    assert told(27, 9, 3) == [(1, 9), (3, 3), (9, 3)]
    assert told(8, 8, 2) == [(1, 4), (2, 2), (4, 1), (8, 1)]
    assert told(20, 10, 3) == [(1, 7), (3, 3), (10, 3)]
    assert told(5, 1, 3) == [(1, 5)]
    assert told(1, 9, 3) == [(9, 1)]
    assert told(12, 30, float("inf")) == [(30, 12)]


def test_a_grid_finds_what_single_fits_find() -> None:
    x, y = data()
    rates = [1e-5, 1e-4, 1e-3, 1e-2]
    space = {"rate": rates, "units": [3, 5]}
    found = fastnn.search(build, space, x, y, trials="grid", epochs=4, halving=None, seed=3)
    assert [trial.params for trial in found.trials] == [
        {"rate": rate, "units": units} for rate in rates for units in (3, 5)
    ]
    assert [trial.epochs for trial in found.trials] == [4] * 8
    from fastnn.data.split import held_out
    from fastnn.keys import key_of

    split = held_out(200, 0.2, None, key_of(3))
    values = []
    for trial in found.trials:
        model = build(**trial.params)
        held = (x[split.validation], y[split.validation])
        history = model.fit(
            x[split.training], y[split.training], epochs=4, validation_data=held, verbose=0
        ).history
        assert trial.history == history
        values.append(history["val_loss"][-1])
    assert [trial.value for trial in found.trials] == values
    assert found.value == min(values)
    assert found.params == found.trials[int(np.argmin(values))].params
    assert found.model.evaluate(*held, verbose=0)[0] == found.value


@pytest.mark.parametrize("threads", [1, 3])
def test_halving_goes_on_with_the_best(threads: int) -> None:
    x, y = data()
    space = {"rate": (1e-6, 1e-1, "log"), "units": (2, 8)}
    given: dict[str, Any] = {"trials": 9, "epochs": 9, "seed": 1, "batch_size": 16}
    found = fastnn.search(build, space, x, y, threads=threads, **given)
    epochs = sorted(trial.epochs for trial in found.trials)
    assert epochs == [1] * 6 + [3] * 2 + [9]
    firsts = sorted(found.trials, key=lambda trial: trial.history["val_loss"][0])
    assert {t.number for t in firsts[:3]} == {t.number for t in found.trials if t.epochs > 1}
    assert found.trial.epochs == 9
    assert len(found.trial.history["val_loss"]) == 9
    assert all(
        1e-6 <= t.params["rate"] <= 0.1 and 2 <= t.params["units"] <= 8 for t in found.trials
    )
    again = fastnn.search(build, space, x, y, threads=2, **given)
    assert [t.history for t in again.trials] == [t.history for t in found.trials]


def test_more_may_be_better() -> None:
    x, y = data()
    space = {"rate": [1e-5, 1e-2]}
    given: dict[str, Any] = {"trials": "grid", "epochs": 3, "halving": None}
    assert fastnn.search(build, space, x, y, monitor="val_r2_score", **given).params["rate"] == 1e-2
    worst = fastnn.search(build, space, x, y, monitor="val_r2_score", mode="min", **given)
    assert worst.params["rate"] == 1e-5


def test_what_fails_is_told_and_left_out() -> None:
    x, y = data()

    def fails(rate: float) -> fastnn.Sequential:
        if rate == 1e-4:
            raise ValueError("no such rate")
        return build(rate)

    space = {"rate": [1e-4, 1e-3, 1e9]}
    found = fastnn.search(fails, space, x, y, trials="grid", epochs=3, halving=None)
    assert found.params == {"rate": 1e-3}
    assert found.trials[0].error == "ValueError: no such rate"
    assert (found.trials[2].error or "").startswith("TrainingDiverged")
    with pytest.raises(ValueError, match="no model has a value of val_loss: ValueError: no such"):
        fastnn.search(fails, {"rate": [1e-4]}, x, y, trials="grid")


def test_a_limit_of_time() -> None:
    x, y = data()
    begun = time.monotonic()
    found = fastnn.search(
        build, {"rate": (1e-4, 1e-3)}, x, y, trials=6, epochs=10**7, time_limit=0.5, threads=2
    )
    assert time.monotonic() - begun < 30
    assert found.value > 0


def test_mistakes() -> None:
    x, y = data()
    for space, message in (
        ({}, "at least one parameter"),
        ({"rate": 3}, "rate: expected a list of choices"),
        ({"rate": (2, 1)}, "expected low < high"),
        ({"rate": (0.0, 1.0, "log")}, "above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fastnn.search(build, space, x, y, trials=2)
    for making, space, message in (
        (build(0.1), {"rate": [0.1]}, "build: expected a function"),
        (build, ["rate"], "space: expected a dictionary"),
        (
            lambda **_: None,
            {"rate": [0.1]},
            "build: expected it to return a compiled model, got None",
        ),
    ):
        with pytest.raises(TypeError, match=f"^{message}"):
            fastnn.search(making, space, x, y, trials=1)
    with pytest.raises(TypeError, match="a grid takes lists"):
        fastnn.search(build, {"rate": (0.0, 1.0)}, x, y, trials="grid")
    with pytest.raises(ValueError, match="val_auc"):
        fastnn.search(build, {"rate": [0.1]}, x, y, trials=1, monitor="val_auc", mode="min")
    with pytest.raises(ValueError, match=r"'val_los', did you mean 'val_loss'.*give mode"):
        fastnn.search(build, {"rate": [0.1]}, x, y, trials=1, monitor="val_los")
    with pytest.raises(ValueError, match="halving"):
        fastnn.search(build, {"rate": [0.1]}, x, y, halving=1)


def test_sparse_rows_and_what_is_not_taken() -> None:
    scipy_sparse = pytest.importorskip("scipy.sparse")
    x, y = data()
    given: dict[str, Any] = {"trials": 2, "epochs": 2, "halving": None}
    found = fastnn.search(build, {"rate": (1e-3, 1e-2)}, scipy_sparse.csr_matrix(x), y, **given)
    dense = fastnn.search(build, {"rate": (1e-3, 1e-2)}, x, y, **given)
    np.testing.assert_allclose(found.value, dense.value, rtol=1e-5)
    for limit in (None, 60):
        with pytest.raises(TypeError, match="callbacks: expected a function of a model's number"):
            fastnn.search(build, {"rate": [0.1]}, x, y, callbacks=[], time_limit=limit)
    with pytest.raises(TypeError, match="rows: search holds rows out itself"):
        fastnn.search(build, {"rate": [0.1]}, x, y, rows=[0, 1])


def test_classes_are_held_out_alike() -> None:
    x, y = data()
    labels = (y > np.median(y)).astype(int)

    def classes(rate: float) -> fastnn.Sequential:
        model = fastnn.Sequential([fastnn.Input(x.shape[1:]), layers.Dense(2)], seed=0)
        model.compile(
            fastnn.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
        )
        return model

    found = fastnn.search(classes, {"rate": [0.01, 0.1]}, x, labels, epochs=4, trials=4)
    assert found.value < 0.7


def test_a_limit_of_time_keeps_other_callbacks() -> None:
    x, y = data()
    seen: list[int] = []

    class Told(fastnn.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del logs
            seen.append(epoch)

    given: dict[str, Any] = {"trials": 2, "epochs": 2, "halving": None, "threads": 1}
    fastnn.search(
        build, {"rate": [1e-4]}, x, y, time_limit=60, callbacks=lambda _: [Told()], **given
    )
    assert seen == [0, 1, 0, 1]


def test_rounds_have_epochs() -> None:
    for count, epochs, ratio in ((9, 3, 1.01), (5, 2, 1.2), (20, 10, 3.0)):
        told = [stage.epochs for stage in search._stages(count, epochs, ratio)]
        assert told == sorted(set(told))
        assert told[-1] == epochs
