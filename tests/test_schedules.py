"""Schedules of the learning rate: their values, and that each step of a native run has its own."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, losses, optimizers
from fastnn.optimizers import schedules

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = np.arange(40) % 3


def cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))


# Values by the formulas of Keras's and PyTorch's documentation, written out.
VALUES: list[tuple[schedules.LearningRateSchedule, dict[int, float]]] = [
    (schedules.ExponentialDecay(0.1, 10, 0.5), {0: 0.1, 5: 0.1 * 0.5**0.5, 20: 0.025}),
    (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), {9: 0.1, 10: 0.05, 25: 0.025}),
    (schedules.InverseTimeDecay(0.1, 10, 0.5), {0: 0.1, 10: 0.1 / 1.5, 15: 0.1 / 1.75}),
    (schedules.InverseTimeDecay(0.1, 10, 0.5, staircase=True), {15: 0.1 / 1.5}),
    (
        schedules.PiecewiseConstantDecay([5, 9], [0.3, 0.2, 0.1]),
        {0: 0.3, 5: 0.3, 6: 0.2, 9: 0.2, 10: 0.1},
    ),
    (schedules.PolynomialDecay(0.1, 10, 0.02, power=2.0), {0: 0.1, 5: 0.04, 10: 0.02, 99: 0.02}),
    (schedules.PolynomialDecay(0.1, 10, 0.0, cycle=True), {10: 0.0, 11: 0.045, 15: 0.025, 20: 0.0}),
    (schedules.CosineDecay(0.1, 10), {0: 0.1, 3: 0.1 * cosine(0.3), 10: 0.0, 50: 0.0}),
    (
        schedules.CosineDecay(0.0, 10, alpha=0.1, warmup_target=0.2, warmup_steps=4),
        {0: 0.0, 1: 0.05, 4: 0.2, 9: 0.2 * (0.9 * cosine(0.5) + 0.1), 14: 0.02},
    ),
    (
        schedules.CosineDecayRestarts(0.1, 4, t_mul=2.0, m_mul=0.5, alpha=0.1),
        {0: 0.1, 2: 0.1 * (0.9 * 0.5 + 0.1), 4: 0.1 * (0.9 * 0.5 + 0.1), 8: 0.1 * 0.325},
    ),
    (
        schedules.CosineDecayRestarts(0.1, 4, t_mul=1.0),
        {1: 0.1 * cosine(0.25), 5: 0.1 * cosine(0.25)},
    ),
    (
        schedules.OneCycle(1.0, 21, pct_start=1 / 3, div_factor=4.0, final_div_factor=10.0),
        {0: 0.25, 3: 0.625, 6: 1.0, 13: 0.5125, 20: 0.025, 99: 0.025},
    ),
    (
        schedules.OneCycle(1.0, 21, 1 / 3, "linear", div_factor=4.0, final_div_factor=10.0),
        {0: 0.25, 2: 0.5, 6: 1.0, 20: 0.025},
    ),
]


@pytest.mark.parametrize(("schedule", "values"), VALUES, ids=lambda one: type(one).__name__)
def test_values(schedule: schedules.LearningRateSchedule, values: dict[int, float]) -> None:
    for step, value in values.items():
        assert float(schedule(step)) == pytest.approx(value, abs=1e-12)
    again = type(schedule).from_config(schedule.get_config())
    steps = np.arange(40)
    assert again.rates(steps).tolist() == schedule.rates(steps).tolist()
    assert schedules.deserialize(schedules.serialize(schedule)).get_config() == again.get_config()


def model(rate: Any, kind: str = "native") -> fastnn.Sequential:
    made = fastnn.Sequential([layers.Dense(8, "relu", input_shape=(4,)), layers.Dense(3)], seed=3)
    loss: Any = losses.SparseCategoricalCrossentropy()
    if kind == "taped":

        def own(y: Any, z: Any) -> Any:
            return fastnn.nn.sparse_softmax_cross_entropy_with_logits(
                fastnn.cast(fastnn.reshape(y, [-1]), "int32"), z
            )

        loss = own
    made.compile(optimizers.SGD(rate, momentum=0.9), loss)
    return made


def bits(made: fastnn.Sequential) -> list[bytes]:
    return [weight.tobytes() for weight in made.get_weights()]


class Sets(callbacks.Callback):
    """Sets the rate of each step by hand."""

    def __init__(self, schedule: Any) -> None:
        super().__init__()
        self.schedule = schedule

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        optimizer: Any = self.model.optimizer
        optimizer.learning_rate = float(self.schedule(optimizer.iterations))


@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
@pytest.mark.parametrize("kind", ["native", "taped"])
@pytest.mark.parametrize("schedule", [VALUES[0][0], VALUES[4][0], lambda step: 0.1 / (1 + step)])
def test_each_step_has_its_rate(schedule: Any, kind: str) -> None:
    """In one native call for all epochs, epoch by epoch, and batch by batch."""
    by_hand = model(0.5, kind)
    by_hand.fit(X, Y, epochs=3, batch_size=8, verbose=0, callbacks=[Sets(schedule)])
    listening = callbacks.LambdaCallback(on_epoch_begin=lambda *_: None)
    for hooks in ([], [listening], [callbacks.LambdaCallback(on_train_batch_end=lambda *_: None)]):
        made = model(schedule, kind)
        made.fit(X, Y, epochs=3, batch_size=8, verbose=0, callbacks=hooks)
        assert bits(made) == bits(by_hand)
        assert made.optimizer.iterations == 15
        assert float(made.optimizer.learning_rate) == pytest.approx(float(schedule(15)))
    plain = model(0.1, kind)
    plain.fit(X, Y, epochs=3, batch_size=8, verbose=0)
    assert bits(plain) != bits(by_hand)


def test_train_on_batch_and_a_rate_that_is_set_later() -> None:
    made, by_hand = model(VALUES[0][0]), model(0.1)
    for step in range(3):
        by_hand.optimizer.learning_rate = float(VALUES[0][0](step))
        assert made.train_on_batch(X, Y) == by_hand.train_on_batch(X, Y)
    assert bits(made) == bits(by_hand)
    made.optimizer.learning_rate = 0.01
    assert made.optimizer.schedule is None
    made.optimizer.learning_rate = VALUES[7][0]
    assert made.optimizer.schedule is VALUES[7][0]


def test_more_steps_than_one_call_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = model(VALUES[0][0])
    whole.fit(X, Y, epochs=6, batch_size=8, verbose=0)
    monkeypatch.setattr("fastnn.training.loops._MOST_RATES", 12)
    parts = model(VALUES[0][0])
    parts.fit(X, Y, epochs=6, batch_size=8, verbose=0)
    assert bits(parts) == bits(whole)
    assert parts.history is not None
    assert len(parts.history.epoch) == 6


def test_training_goes_on_in_the_middle_of_a_schedule(tmp_path: Path) -> None:
    whole = model(VALUES[9][0])
    whole.fit(X, Y, epochs=4, batch_size=8, verbose=0)
    half = model(VALUES[9][0])
    half.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    half.save(tmp_path / "half.safetensors")
    for made in (
        fastnn.load_model(tmp_path / "half.safetensors"),
        pickle.loads(pickle.dumps(half)),
        half,
    ):
        assert made.optimizer.get_config() == half.optimizer.get_config()
        made.fit(X, Y, epochs=2, batch_size=8, verbose=0)
        assert bits(made) == bits(whole)


def test_functions() -> None:
    assert float(optimizers.Adam(lambda: 0.25).learning_rate) == 0.25
    assert float(optimizers.Adam(lambda step: 0.5 + step).learning_rate) == 0.5
    with pytest.raises(TypeError, match=r"learning_rate: .*<lambda>.* has no name"):
        optimizers.Adam(lambda _: 0.5).get_config()


def test_wrong_ones() -> None:
    for wrong in (-1.0, math.nan, math.inf):
        made = model(lambda _step, wrong=wrong: wrong)
        before = bits(made)
        with pytest.raises(ValueError, match=r"^learning_rate: .* gives (-1|nan|inf)"):
            made.fit(X, Y, verbose=0)
        assert bits(made) == before
    with pytest.raises(TypeError, match="a schedule gives 'x'; expected a number"):
        model(lambda _step: "x").fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="values: expected one more than boundaries, got 2 values"):
        schedules.PiecewiseConstantDecay([1, 2], [0.1, 0.2])
    with pytest.raises(ValueError, match="boundaries: expected rising numbers"):
        schedules.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3])
    with pytest.raises(TypeError, match="expected a number or a schedule, got the class"):
        optimizers.SGD(schedules.CosineDecay)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="learning_rate: expected a number, got 'fast'"):
        optimizers.SGD("fast")  # type: ignore[arg-type]
