"""Where training goes back to when a loss is no longer a number, and what is known of it then."""

from __future__ import annotations

import signal
import time
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, optimizers


def bits(model: fastnn.Sequential) -> bytes:
    return b"".join(w.tobytes() for w in model.get_weights())


class Raised(callbacks.Callback):
    """Sets a learning rate that no training survives, and may waste time."""

    def __init__(self, epoch: int, seconds: float = 0.0) -> None:
        super().__init__()
        self.at, self.seconds = epoch, seconds

    def on_epoch_end(self, epoch: int, _logs: Any = None) -> None:
        time.sleep(self.seconds)
        if epoch == self.at:
            self.model.optimizer.learning_rate = 1e10


def regression(dtype: str = "float32") -> tuple[fastnn.Sequential, Any, Any]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2000, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.3
    model = fastnn.Sequential([layers.Dense(1, input_shape=(3,))], seed=1, dtype=dtype)
    model.compile(optimizers.SGD(0.05), "mse")
    return model, x, y


def test_a_divergence_goes_back_a_little_way() -> None:
    """Not to the beginning of `fit`, however short that was: at most some hundred steps."""
    model, x, y = regression()
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(x, y, epochs=1000, verbose=0, callbacks=[Raised(40)])
    assert model.evaluate(x, y, verbose=0) < 1e-4
    assert 63 * 41 - 200 < model.network.steps < 63 * 42


def test_a_divergence_does_not_depend_on_the_clock() -> None:
    """The weights are those after `network.steps` steps, and these follow from shapes alone."""
    found = []
    for seconds in (0.0, 0.15):
        model, x, y = regression()
        with pytest.raises(fastnn.TrainingDiverged, match=r"those of \d+ steps? earlier"):
            model.fit(x, y, epochs=1000, verbose=0, callbacks=[Raised(10, seconds)])
        found.append((int(model.network.steps), bits(model)))
    assert found[0] == found[1]
    steps = found[0][0]
    twin, x, y = regression()
    epochs, rest = divmod(steps, 63)
    twin.fit(x, y, epochs=epochs, verbose=0)

    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, _logs: Any = None) -> None:
            self.model.stop_training = batch + 1 == rest

    if rest:
        twin.fit(x, y, epochs=1, verbose=0, callbacks=[Stop()])
    assert bits(twin) == found[0][1]


def steps_on(model: fastnn.Sequential, x: Any, y: Any, count: int) -> None:
    for _ in range(count):
        model.train_on_batch(x, y)


def test_the_state_that_is_gone_back_to_was_followed_by_a_good_stretch() -> None:
    """A loss that grows for a while before it is infinite is not where training goes back to."""
    model = fastnn.Sequential([layers.Dense(1, use_bias=False, input_shape=(1,))], seed=0)
    model.compile(optimizers.SGD(0.1), "mse")
    x, y = np.ones((1, 1)), np.zeros(1)
    model.fit(x, y, epochs=500, verbose=0)
    rate = 3.0  # each step multiplies the weight by -5: some 60 steps to infinity
    for _ in range(5):
        model.set_weights([[[1.0]]])
        model.optimizer.learning_rate = 0.1
        steps_on(model, x, y, 400)
        model.optimizer.learning_rate = rate
        with pytest.raises(fastnn.TrainingDiverged):
            steps_on(model, x, y, 200)
        assert abs(model.get_weights()[0].item()) < 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("growth", [1.1, 1.3, 2.0, 5.0])
@pytest.mark.parametrize("learns", [0, 350])
def test_a_slow_divergence_goes_back_to_before_it(growth: float, learns: int, dtype: str) -> None:
    """The weight is multiplied by -growth at each step; a thousand steps may go by until infinity."""
    model = fastnn.Sequential(
        [layers.Dense(1, use_bias=False, input_shape=(1,))], seed=0, dtype=dtype
    )
    model.set_weights([[[1.0]]])
    model.compile(optimizers.SGD(0.001), "mse")
    x, y = np.ones((8, 1)), np.zeros(8)
    if learns:
        model.fit(x, y, batch_size=8, epochs=learns, verbose=0)
    before = abs(model.get_weights()[0].item())

    class Raise(callbacks.Callback):
        def on_epoch_end(self, epoch: int, _logs: Any = None) -> None:
            if epoch == 150:
                self.model.optimizer.learning_rate = (1 + growth) / 2

    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(x, y, batch_size=8, epochs=100_000, verbose=0, callbacks=[Raise()])
    assert abs(model.get_weights()[0].item()) <= before


# -- sums of finished epochs -----------------------------------------------------------------------


class Listener(callbacks.Callback):
    def on_epoch_end(self, epoch: int, _logs: Any = None) -> None:
        pass


@pytest.mark.parametrize("validates", [False, True])
def test_a_divergence_keeps_the_history(validates: bool) -> None:
    """The same with and without a callback."""
    found = []
    for listeners in ([], [Listener()]):
        model = fastnn.Sequential([layers.Dense(1, use_bias=False, input_shape=(1,))], seed=0)
        model.set_weights([[[1.0]]])
        model.compile(optimizers.SGD(1.5), "mse", metrics=["mae"])
        data = np.ones((1, 1)), np.zeros(1)
        validation = {"validation_data": data} if validates else {}
        with pytest.raises(fastnn.TrainingDiverged) as caught:
            model.fit(*data, epochs=1000, verbose=0, callbacks=listeners, **validation)
        assert model.history is not None
        found.append((model.history.epoch, model.history.history, caught.value.epoch))
    assert found[0] == found[1]
    epoch, history, at = found[0]
    assert epoch == list(range(at))
    assert at > 20
    assert set(history) == (
        {"loss", "mae", "val_loss", "val_mae"} if validates else {"loss", "mae"}
    )
    assert all(len(values) == at for values in history.values())
    assert history["loss"][0] == 1.0


def fit_until_a_signal(
    model: fastnn.Sequential, x: Any, y: Any, handler: Any, seconds: float
) -> None:
    """A `fit` without end, into which a signal comes whose handler raises KeyboardInterrupt."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        with pytest.raises(KeyboardInterrupt):
            model.fit(x, y, epochs=1_000_000, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_keeps_the_history() -> None:
    model, x, y = regression()
    fit_until_a_signal(model, x, y, signal.default_int_handler, 0.3)
    assert model.history is not None
    done = len(model.history.history["loss"])
    assert done >= 1
    assert model.history.epoch == list(range(done))
    # The epoch that was under way may have begun, and is not in it.
    assert done <= model.network.epochs <= done + 1
    assert model.optimizer.iterations == model.network.steps >= 63 * done


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_epoch_whose_callbacks_fail_is_in_the_history(error: type[BaseException]) -> None:
    class Fails(callbacks.Callback):
        def on_epoch_end(self, epoch: int, _logs: Any = None) -> None:
            if epoch == 2:
                raise error

    model, x, y = regression()
    with pytest.raises(error):
        model.fit(x, y, epochs=5, verbose=0, callbacks=[Fails()])
    assert model.history is not None
    assert model.history.epoch == [0, 1, 2]
    assert len(model.history.history["loss"]) == 3


# -- the last update -------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_a_batch_hook_that_stops_does_not_skip_the_check_of_the_last_update(at: int) -> None:
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch: int, _logs: Any = None) -> None:
            if batch == at:
                self.model.stop_training = True

        def on_train_batch_begin(self, batch: int, _logs: Any = None) -> None:
            if batch == at:
                self.model.optimizer.learning_rate = 1e38

    model, x, y = regression()
    before = bits(model)
    with pytest.raises(fastnn.TrainingDiverged, match="a weight became nan or infinite") as caught:
        model.fit(x[:128] * 1e3, y[:128], epochs=3, verbose=0, callbacks=[Stop()])
    assert (caught.value.epoch, caught.value.step) == (0, at)
    assert np.isfinite(model.get_weights()[0]).all()
    assert at > 0 or bits(model) == before


def test_a_signal_handler_that_uses_the_model_is_told_so() -> None:
    model, x, y = regression()
    told = []

    def handler(*_: Any) -> None:
        for use in (lambda: model.predict(x), lambda: model.set_weights(model.get_weights())):
            try:
                use()
            except RuntimeError as error:
                told.append(str(error))
        raise KeyboardInterrupt

    fit_until_a_signal(model, x, y, handler, 0.2)
    assert len(told) == 2
    assert all("this signal handler interrupted" in text for text in told)
