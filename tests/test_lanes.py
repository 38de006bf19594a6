"""Networks of one kind side by side in lanes: each to the bits of its own `fit`, whatever its rows, rates,
epochs and rules are, and whatever is in the other lanes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastnn
from fastnn import _core, layers
from fastnn.callbacks import EarlyStopping, LambdaCallback
from fastnn.training import abreast

pytestmark = [
    pytest.mark.isa,
    pytest.mark.cpu,
    pytest.mark.filterwarnings("ignore::fastnn.ConvergenceWarning"),  # of nonsense
]

ACTIVATIONS = [
    "relu",
    "tanh",
    "sigmoid",
    "gelu",
    "elu",
    "silu",
    "softplus",
    "linear",
    "relu6",
    "mish",
]
RULES: list[Any] = [
    lambda rate: fastnn.optimizers.Adam(rate),
    lambda rate: fastnn.optimizers.AdamW(rate, weight_decay=0.01),
    lambda rate: fastnn.optimizers.SGD(rate),
    lambda rate: fastnn.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    lambda rate: fastnn.optimizers.RMSprop(rate),
    lambda rate: fastnn.optimizers.Adagrad(rate),
    lambda rate: fastnn.optimizers.Nadam(rate),
    lambda rate: fastnn.optimizers.Lion(rate),
]
LOSSES = {
    "sparse_categorical_crossentropy": ("labels", ["accuracy"]),
    "categorical_crossentropy": ("classes", ["accuracy", "categorical_crossentropy"]),
    "binary_crossentropy": ("binary", ["accuracy"]),
    "mean_squared_error": ("numbers", ["mae"]),
    "huber": ("numbers", []),
    "log_cosh": ("numbers", ["mse"]),
}


def targets(kind: str, n: int, outputs: int, rng: Any) -> Any:
    if kind == "labels":
        return rng.integers(0, outputs, n)
    if kind == "classes":
        return np.eye(outputs)[rng.integers(0, outputs, n)]
    if kind == "binary":
        return rng.integers(0, 2, (n, outputs))
    return rng.normal(size=(n, outputs))


@st.composite
def plans(draw: Any) -> dict[str, Any]:
    """Layers, a loss and an optimizer, which all networks of a group have, and their data."""
    widths = draw(st.lists(st.integers(1, 20), min_size=0, max_size=3))
    loss = draw(st.sampled_from(sorted(LOSSES)))
    least = 2 if LOSSES[loss][0] in ("labels", "classes") else 1
    return {
        "columns": draw(st.integers(1, 19)),
        "hidden": [
            (width, draw(st.sampled_from(ACTIVATIONS)), draw(st.booleans())) for width in widths
        ],
        "outputs": draw(st.integers(least, 7)),
        "loss": loss,
        "rule": draw(st.sampled_from(RULES)),
        "dtype": draw(st.sampled_from(["float32", "float32", "float64"])),
        "head": draw(st.booleans()),
        "batch": draw(st.sampled_from([1, 3, 16, 31, 32, 100, 128, 129, 200])),
        "rows": draw(st.sampled_from([5, 33, 150, 260])),
        "seed": draw(st.integers(0, 99)),
    }


def made(plan: dict[str, Any], number: int) -> Any:
    stack: list[Any] = [
        layers.Dense(units, kind, use_bias=bias) for units, kind, bias in plan["hidden"]
    ]
    heads = {"labels": "softmax", "classes": "softmax", "binary": "sigmoid"}
    head = heads.get(LOSSES[plan["loss"]][0]) if plan["head"] else None
    stack.append(layers.Dense(plan["outputs"], head))
    model = fastnn.Sequential(
        [fastnn.Input((plan["columns"],)), *stack], seed=number, dtype=plan["dtype"]
    )
    rate = 1e-3 * (1 + number % 3)
    model.compile(plan["rule"](rate), plan["loss"], metrics=LOSSES[plan["loss"]][1])
    return model


def same(model: Any, history: Any, alone: Any, wanted: Any) -> None:
    assert history.history == wanted.history or str(history.history) == str(wanted.history)
    for one, other in zip(model.get_weights(), alone.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    states = zip(model.network.optimizer_state, alone.network.optimizer_state, strict=True)
    for one, other in states:
        assert one.tobytes() == other.tobytes()


@pytest.fixture(autouse=True)
def _in_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lanes are used for any number of networks, so that few show what many do."""
    monkeypatch.setattr(abreast, "FEWEST", 1)


@settings(max_examples=25)
@given(plan=plans(), count=st.sampled_from([1, 2, 5]), threads=st.integers(1, 3))
def test_any_plan(plan: dict[str, Any], count: int, threads: int) -> None:
    rng = np.random.default_rng(plan["seed"])
    x = rng.normal(size=(plan["rows"], plan["columns"]))
    y = targets(LOSSES[plan["loss"]][0], len(x), plan["outputs"], rng)
    models = [made(plan, number) for number in range(count)]
    given = {"epochs": 2, "batch_size": plan["batch"]}
    found = fastnn.fit_many(models, x, y, threads=threads, **given)
    for number, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = made(plan, number)
        same(model, history, alone, alone.fit(x, y, verbose=0, **given))


def plan_of(**more: Any) -> dict[str, Any]:
    return {
        "columns": 4,
        "hidden": [(10, "relu", True)],
        "outputs": 3,
        "loss": "sparse_categorical_crossentropy",
        "rule": RULES[0],
        "dtype": "float32",
        "head": False,
        **more,
    }


def data(n: int = 150) -> tuple[Any, Any]:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)


def test_narrow_networks_take_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this the other tests would hold where nothing is side by side."""
    entered = []

    class Lanes(_core.Lanes):
        def add(self, run: Any) -> None:
            entered.append(run)
            super().add(run)

    monkeypatch.setattr(_core, "Lanes", Lanes)
    x, y = data()
    fastnn.fit_many([made(plan_of(), number) for number in range(20)], x, y, threads=1)
    assert len(entered) == 20
    # A wide one goes alone, and one with layers that lanes do not have.
    wide = plan_of(hidden=[(300, "relu", True)])
    fastnn.fit_many([made(wide, number) for number in range(6)], x, y, threads=1)
    assert len(entered) == 20


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_more_than_lanes(threads: int) -> None:
    """Each has its own folds, weights, rates, epochs and rules; a network that stops early leaves its lane."""
    x, y = data()
    count = 37
    folds = [np.flatnonzero(np.arange(150) % 5 != number % 5) for number in range(count)]
    held = [np.flatnonzero(np.arange(150) % 5 == number % 5) for number in range(count)]
    weights = np.random.default_rng(2).random(150)
    each = [{"epochs": 3 + number % 7, "batch_size": 32} for number in range(count)]
    stop = lambda number: [
        EarlyStopping("val_loss", patience=1 + number % 3, restore_best_weights=number % 2 == 0)
    ]
    models = [made(plan_of(), number) for number in range(count)]
    found = fastnn.fit_many(
        models,
        x,
        y,
        rows=folds,
        validation_rows=held,
        sample_weight=weights,
        each=each,
        callbacks=stop,
        threads=threads,
    )
    for number, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = made(plan_of(), number)
        mine, other = folds[number], held[number]
        wanted = alone.fit(
            x[mine],
            y[mine],
            sample_weight=weights[mine],
            validation_data=(x[other], y[other]),
            callbacks=stop(number),
            verbose=0,
            **each[number],
        )
        same(model, history, alone, wanted)


def test_schedules_and_fits_that_go_on() -> None:
    x, y = data(101)

    def model(number: int) -> Any:
        own = made(plan_of(), number)
        rate = fastnn.optimizers.schedules.ExponentialDecay(1e-2, 3, 0.9)
        own.compile(
            fastnn.optimizers.SGD(rate, momentum=0.1 * (number % 2)),
            "sparse_categorical_crossentropy",
        )
        return own

    models, alone = [[model(number) for number in range(6)] for _ in range(2)]
    for epochs in (2, 1, 3):
        found = fastnn.fit_many(models, x, y, epochs=epochs, threads=1)
        for one, history, other in zip(models, found, alone, strict=True):
            same(one, history, other, other.fit(x, y, epochs=epochs, verbose=0))


def test_callbacks_between_epochs() -> None:
    """Python code between epochs takes a network out of its lane, and back."""
    x, y = data()
    seen: list[Any] = []

    def callbacks(number: int) -> list[Any]:
        return [
            LambdaCallback(
                on_epoch_end=lambda epoch, logs: seen.append((number, epoch, logs["loss"]))
            )
        ]

    models = [made(plan_of(), number) for number in range(3)]
    found = fastnn.fit_many(models, x, y, epochs=4, callbacks=callbacks, threads=1)
    assert len(seen) == 12
    for number, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = made(plan_of(), number)
        same(model, history, alone, alone.fit(x, y, epochs=4, verbose=0))


def test_one_diverges() -> None:
    """It is told as its own `fit` tells it, with its weights; the others keep theirs."""
    x, y = data()
    plan = plan_of(loss="mean_squared_error", outputs=1, hidden=[(6, "linear", True)])

    def model(number: int) -> Any:
        own = made(plan, number)
        own.compile(fastnn.optimizers.SGD(1e12 if number == 3 else 1e-3), "mean_squared_error")
        return own

    models = [model(number) for number in range(6)]
    with pytest.raises(fastnn.TrainingDiverged) as told:
        fastnn.fit_many(models, x, y[:, None] * 1.0, epochs=50, threads=1)
    assert told.value.__notes__ == ["in model 3 of fit_many"]
    alone = model(3)
    with pytest.raises(fastnn.TrainingDiverged) as wanted:
        alone.fit(x, y[:, None] * 1.0, epochs=50, verbose=0)
    assert str(told.value) == str(wanted.value)
    for one, other in zip(models[3].get_weights(), alone.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    for number in (0, 5):
        assert np.isfinite(models[number].get_weights()[0]).all()


def test_the_last_ones_go_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where few are left, each goes on by a session of its own, in the middle of its call."""
    monkeypatch.setattr(abreast, "FEWEST", 4)
    x, y = data()
    each = [{"epochs": 2 if number < 4 else 9} for number in range(6)]
    models = [made(plan_of(), number) for number in range(6)]
    found = fastnn.fit_many(models, x, y, each=each, threads=1)
    for number, (model, history) in enumerate(zip(models, found, strict=True)):
        alone = made(plan_of(), number)
        same(model, history, alone, alone.fit(x, y, verbose=0, **each[number]))


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize("threads", [1, 2])
def test_ctrl_c_ends_all(threads: int) -> None:
    """Within some 0.1 s; weights stay as they are, and the networks may be trained again."""
    x, y = data()
    models = [made(plan_of(), number) for number in range(20)]
    timer = threading.Timer(0.4, signal.raise_signal, [signal.SIGINT])
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            fastnn.fit_many(models, x, y, epochs=10**7, threads=threads)
        ended = time.monotonic()
    finally:
        timer.join()
    assert time.monotonic() - ended < 2
    steps = [model.network.steps for model in models if model.built]
    time.sleep(0.2)
    assert [model.network.steps for model in models if model.built] == steps  # no thread goes on
    began = [model for model in models if model.history is not None]
    epochs = [len(model.history.epoch) for model in began]
    if threads == 1:  # of two, one may have too few for lanes, which it trains one after another
        assert min(epochs[:16]) > 0
    assert max(epochs) > 0
    for model, count in zip(began, epochs, strict=True):
        assert len(model.history.history["loss"]) == count
        assert np.isfinite(model.get_weights()[0]).all()
    fastnn.fit_many(models, x, y, threads=threads)


def test_a_fault_ends_the_others() -> None:
    x, y = data()

    def callbacks(number: int) -> list[Any]:
        def fails(*_: Any) -> None:
            if number == 2:
                raise ValueError("as it should")

        return [LambdaCallback(on_train_end=fails)]

    models = [made(plan_of(), number) for number in range(6)]
    each = [{"epochs": 1 if number == 2 else 10**7} for number in range(6)]
    with pytest.raises(ValueError, match="as it should") as told:
        fastnn.fit_many(models, x, y, each=each, callbacks=callbacks, threads=1)
    assert told.value.__notes__ == ["in model 2 of fit_many"]
    assert all(model.history.epoch for model in models)
    fastnn.fit_many(models, x, y, threads=1)


def test_those_that_wait_for_lanes_are_not_trained_after_a_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would take some 0.1 s each, one after another."""
    monkeypatch.setattr(abreast, "FEWEST", 8)
    x, y = data()

    def callbacks(number: int) -> list[Any]:
        def fails(*_: Any) -> None:
            raise ValueError("as it should")

        return [LambdaCallback(on_epoch_end=fails)] if number == 0 else []

    models = [made(plan_of(hidden=[(5 + k, "relu", True)]), k) for k in range(6)]
    with pytest.raises(ValueError, match="as it should"):
        fastnn.fit_many(models, x, y, epochs=10**7, callbacks=callbacks, threads=1)
    assert [model.network.steps > 0 for model in models] == [True] + [False] * 5
    assert all(model.history.epoch == [] for model in models[1:])
    fastnn.fit_many(models, x, y, threads=1)


def test_a_callback_that_uses_another_network_is_told_so() -> None:
    x, y = data()
    models = [made(plan_of(), number) for number in range(3)]

    def callbacks(number: int) -> list[Any]:
        uses = LambdaCallback(on_epoch_end=lambda *_: models[2].predict(x))
        return [uses] if number == 0 else []

    with pytest.raises(RuntimeError, match="beside the model that this callback is of"):
        fastnn.fit_many(models, x, y, epochs=10**7, callbacks=callbacks, threads=1)


@pytest.mark.parametrize("kinds", [1, 6])
def test_too_few_for_lanes_are_shared_by_threads(
    monkeypatch: pytest.MonkeyPatch, kinds: int
) -> None:
    """Who holds them all would train them one after another, and leave the other threads idle."""
    monkeypatch.setattr(abreast, "FEWEST", 8)
    together = threading.Barrier(2, timeout=5)
    x, y = data()

    class Waits(abreast._Thread[Any]):
        def _advance(self, *call: Any) -> None:
            if threading.get_ident() not in seen:
                seen.add(threading.get_ident())
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.wait()  # for another thread that has one to make, too
            super()._advance(*call)

    seen: set[int] = set()
    monkeypatch.setattr(abreast, "_Thread", Waits)
    models = [made(plan_of(hidden=[(5 + k % kinds, "relu", True)]), k) for k in range(6)]
    fastnn.fit_many(models, x, y, threads=2)
    assert len(seen) == 2
