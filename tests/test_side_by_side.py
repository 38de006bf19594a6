"""Tasks on threads of their own: results in order, the same bits as alone, failures and Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import _core, layers
from fastnn.training.side_by_side import Stop, side_by_side


def trained(seed: int, threads_seen: set[int]) -> list[Any]:
    threads_seen.add(threading.get_ident())
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(400, 20)).astype(np.float32), rng.integers(0, 3, 400)
    hidden = layers.Dense(64, "relu")
    model = fastnn.Sequential(
        [fastnn.Input((20,)), hidden, layers.Dropout(0.2), layers.Dense(3)], seed=seed
    )
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 0.1, w.shape) for w in model.get_weights()])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(x, y, epochs=4, verbose=0, validation_split=0.2).history
    return [*model.get_weights(), *map(np.array, history.values())]


@pytest.mark.parametrize("threads", [2, 3, 8])
def test_networks_train_to_the_same_bits_as_alone(threads: int) -> None:
    seen: set[int] = set()
    found = side_by_side([lambda _, s=s: trained(s, seen) for s in range(5)], threads)
    assert threading.get_ident() not in seen
    for seed, parts in enumerate(found):
        for one, other in zip(parts, trained(seed, set()), strict=True):
            np.testing.assert_array_equal(one, other)


def test_results_stand_in_the_order_of_tasks() -> None:
    def task(number: int) -> int:
        time.sleep(0.01 * (5 - number))
        return number

    assert side_by_side([lambda _, n=n: task(n) for n in range(5)], 3) == list(range(5))
    assert side_by_side([], 3) == []


def test_one_thread_is_the_callers() -> None:
    seen: set[int] = set()
    side_by_side([lambda _: seen.add(threading.get_ident())] * 2, 1)
    assert seen == {threading.get_ident()}


def test_the_first_failure_ends_the_others() -> None:
    ended: list[bool] = []

    def waits(stop: Stop) -> None:
        until = time.monotonic() + 30
        while not stop and time.monotonic() < until:
            time.sleep(0.005)
        ended.append(bool(stop))

    def fails(_: Stop) -> None:
        raise ValueError("as it should")

    with pytest.raises(ValueError, match="as it should"):
        side_by_side([waits, fails, waits], 2)
    assert ended in ([True], [True, True])


@pytest.mark.usefixtures("hears_ctrl_c")
def test_an_interrupt_ends_all() -> None:
    ended: list[bool] = []

    def waits(stop: Stop) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        until = time.monotonic() + 30
        while not stop and time.monotonic() < until:
            time.sleep(0.005)
        ended.append(bool(stop))

    with pytest.raises(KeyboardInterrupt):
        side_by_side([waits, lambda _: None], 2)
    assert ended == [True]


def test_limits_of_threads_are_checked() -> None:
    with pytest.raises(ValueError, match="limit_threads: expected an integer in"):
        _core.limit_threads(-1)
    _core.limit_threads(1)
    try:
        assert fastnn.get_num_threads() >= 1
    finally:
        _core.limit_threads(0)


def test_a_fault_before_a_task_begins_is_raised(monkeypatch):
    """And leaves no caller waiting for tasks that no thread takes."""

    def fails(_: int) -> None:
        raise RuntimeError("no threads")

    monkeypatch.setattr(_core, "limit_threads", fails)
    with pytest.raises(RuntimeError, match="no threads"):
        side_by_side([lambda _: 1, lambda _: 2], threads=2)
