"""A change of a model that is interrupted at any line is made, or is not: nothing is in between."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from interrupted import everywhere

import fastnn
from fastnn import layers

# An exception in a generator that is about to be thrown away is told, and goes on nowhere.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.arange(40) % 3
HOW = ("adam", "sparse_categorical_crossentropy")


def model(*, built: bool = True, compiled: bool = False) -> fastnn.Sequential:
    shape: dict[str, Any] = {"input_shape": (4,)} if built else {}
    made = fastnn.Sequential(
        [layers.Dense(5, **shape), layers.Dropout(0.5), layers.Dense(3)], seed=3
    )
    if compiled:
        made.compile(*HOW, metrics=["accuracy"])
    return made


def state(made: fastnn.Sequential) -> dict[str, Any]:
    """All that a change may replace, as its user sees it; whatever does not fit together fails."""
    weights = made.get_weights()
    assert made.built == bool(weights)
    names = [layer.name for layer in made.layers]
    assert len(set(names)) == len(names)
    for layer in made.layers:
        assert layer.owner is made
        assert layer.built == made.built
        for variable in layer.variables:
            assert variable.path == f"{made.name}/{layer.name}/{variable.name}"
    seen: dict[str, Any] = {
        "names": names,
        "weights": [w.tobytes() for w in weights],
        "compiled": made.compiled,
    }
    if made.compiled:
        seen |= {"metrics": made.metrics_names, "loss": made.loss.name}
        seen["optimizer"] = type(made.optimizer).__name__
    if made.compiled and made.built:
        seen["evaluated"] = made.evaluate(X, Y, verbose=0)
        seen["device"] = made.network.optimizer_state[0].shape if made.metrics else None
    if made.built:
        seen["outputs"] = made.predict(X).tobytes()
    return seen


def add(made: fastnn.Sequential) -> None:
    made.add(layers.Dense(3, name="last"))


def pop(made: fastnn.Sequential) -> None:
    made.pop()


def compile_again(made: fastnn.Sequential) -> None:
    made.compile("sgd", "mean_squared_error" if made.layers[-1].units == 3 else "mae")


CHANGES: dict[str, tuple[Callable[[], fastnn.Sequential], Callable[[Any], object]]] = {
    "add": (model, add),
    "add-compiled": (lambda: model(compiled=True), add),
    "pop": (model, pop),
    "pop-compiled": (lambda: model(compiled=True), pop),
    "build": (lambda: model(built=False), lambda made: made.build((None, 4))),
    "build-compiled": (
        lambda: model(built=False, compiled=True),
        lambda made: made.build((None, 4)),
    ),
    "compile": (model, lambda made: made.compile(*HOW, metrics=["accuracy"])),
    "compile-late": (lambda: model(built=False), lambda made: made.compile(*HOW)),
    "predict": (lambda: model(built=False, compiled=True), lambda made: made.predict(X)),
    "evaluate": (
        lambda: model(built=False, compiled=True),
        lambda made: made.evaluate(X, Y, verbose=0),
    ),
    "set_weights": (
        model,
        lambda made: made.set_weights([np.full(v.shape, 2.0) for v in made.weights]),
    ),
}


# They go through the same lines as others of the list, each time that they come there; the others
# are interrupted at each line the first two times.
LONG = {"add-compiled", "build-compiled", "evaluate", "pop-compiled"}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(change, marks=pytest.mark.slow) if change in LONG else change
        for change in CHANGES
    ],
)
def test_all_old_or_all_new(change: str) -> None:
    start, call = CHANGES[change]
    done = start()
    before = state(done)
    call(done)
    after = state(done)
    assert before != after
    found = []
    for made in everywhere(start, call, times=None if change in LONG else 2):
        now = state(made)
        assert now in (before, after)
        found.append(now == after)
        if now == before:
            call(made)  # the model can be changed still
            assert state(made) == after
    assert not found[0]
    assert found[-1]


def test_a_first_fit() -> None:
    """The model is not built, or trains as one that was not interrupted from where it is."""
    for made in everywhere(
        lambda: model(built=False, compiled=True),
        lambda made: made.fit(X, Y, verbose=0),
        step=3,
        times=2,
    ):
        if made.built:
            twin = model(built=False, compiled=True)
            twin.build((None, 4))
            twin.set_weights(made.get_weights())
            twin.network.set_optimizer_state(made.network.optimizer_state)
            for count in ("steps", "updates", "epochs"):
                setattr(twin.network, count, getattr(made.network, count))
        else:
            twin = model(built=False, compiled=True)
        for trained in (made, twin):
            trained.fit(X, Y, epochs=2, verbose=0)
        pairs = zip(made.get_weights(), twin.get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)


def test_layers_of_a_model_that_was_not_made() -> None:
    """They are free for another model."""
    for chain in everywhere(
        lambda: [layers.Dense(5, input_shape=(4,)), layers.Dense(3)],
        lambda chain: fastnn.Sequential(chain),
        times=2,
    ):
        made = fastnn.Sequential(chain)
        assert [layer.owner for layer in chain] == [made, made]
        assert made.predict(X).shape == (40, 3)


def test_a_layer_alone() -> None:
    for layer in everywhere(lambda: layers.Dense(3), lambda layer: layer.build((None, 4))):
        assert layer.built == bool(layer.variables)
        layer.build((None, 4))
        assert layer.kernel.shape == (4, 3)


def test_between_any_two_instructions() -> None:
    """The same at the instructions of the byte code, some of them."""
    with warnings.catch_warnings():
        for change in ("add-compiled", "build-compiled", "compile"):
            start, call = CHANGES[change]
            done = start()
            before = state(done)
            call(done)
            after = state(done)
            for made in everywhere(start, call, opcodes=True, step=37, times=2):
                assert state(made) in (before, after)
                made.compile(*HOW)
