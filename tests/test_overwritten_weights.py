"""ema_overwrite_frequency: the average becomes the weights again and again, natively and in loops."""

from __future__ import annotations

from typing import Any

import pytest
from numpy.typing import NDArray
from test_accumulation import BATCH, MAKE, ROWS, assert_close, compiled, fitted, problem

import fastnn
from fastnn import _core, optimizers

Array = NDArray[Any]
EPOCHS, MOMENTUM, OFTEN = 2, 0.6, 5
HOW: dict[str, Any] = {
    "use_ema": True,
    "ema_momentum": MOMENTUM,
    "ema_overwrite_frequency": OFTEN,
}
NAMES = ("sgd", "adam", "lamb", "clipped")


def by_hand(name: str) -> list[Array]:
    """The same by train_on_batch, which leaves averages to the program."""
    model = compiled(MAKE[name]())
    x, y = problem()
    average: list[Array] = []
    steps = EPOCHS * ROWS // BATCH
    for step in range(steps):
        rows = slice(step * BATCH % ROWS, step * BATCH % ROWS + BATCH)
        model.train_on_batch(x[rows], y[rows])
        weights = model.get_weights()
        if step:
            weights = [
                MOMENTUM * a + (1 - MOMENTUM) * w for a, w in zip(average, weights, strict=True)
            ]
        average = weights
        if (step + 1) % OFTEN == 0:
            model.set_weights(average)
    return average


@pytest.mark.parametrize("name", NAMES)
def test_as_by_hand(name: str) -> None:
    assert_close(fitted(compiled(MAKE[name](**HOW)), BATCH, EPOCHS), by_hand(name), 1e-10)


def test_updates_of_several_batches_count() -> None:
    small = compiled(MAKE["adam"](**HOW, gradient_accumulation_steps=2))
    large = compiled(MAKE["adam"](**HOW))
    assert_close(fitted(small, BATCH // 2, EPOCHS), fitted(large, BATCH, EPOCHS), 1e-10)


def test_over_the_tape() -> None:
    taped = compiled(MAKE["adam"](**HOW), loss=lambda y, p: fastnn.math.square(y - p))
    with pytest.warns(UserWarning, match="Python code"):
        found = fitted(taped, BATCH, EPOCHS)
    assert_close(found, by_hand("adam"), 1e-9)


def test_in_a_loop_of_ones_own() -> None:
    w = fastnn.Variable([0.0])
    optimizer = optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=2)
    seen = []
    for _ in range(4):
        optimizer.apply([[-1.0]], [w])
        seen.append(float(w.numpy()[0]))
    # 1; 2 is overwritten by (1 + 2) / 2; 2.5; 3.5 by ((1.5 + 2.5) / 2 + 3.5) / 2
    assert seen == [1.0, 1.5, 2.5, 2.75]


def test_on_the_device(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    model = compiled(MAKE["adam"](**HOW), "float32", "cuda")
    assert_close(fitted(model, BATCH, EPOCHS), by_hand("adam"), 1e-4)


def test_sessions_that_step_early_refuse_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTNN_SESSION", "tiled")
    model = compiled(MAKE["sgd"](**HOW), "float32")
    with pytest.raises(ValueError, match="which ema_overwrite_frequency needs"):
        fitted(model, BATCH)


def test_bad_frequencies() -> None:
    with pytest.raises(ValueError, match="ema_overwrite_frequency"):
        optimizers.SGD(ema_overwrite_frequency=0)
    # Without averages there is nothing to overwrite by, as in Keras.
    assert_close(
        fitted(compiled(optimizers.SGD(0.1, ema_overwrite_frequency=2)), BATCH),
        fitted(compiled(optimizers.SGD(0.1)), BATCH),
        0.0,
    )
