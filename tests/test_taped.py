"""`fit` over the tape: against the native `fit`, against loops by hand, and what it promises."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import weakref
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, losses, metrics, optimizers
from fastnn import math as f

RNG = np.random.default_rng(0)
N = 70
X = RNG.normal(size=(N, 5))
LABELS = RNG.integers(0, 3, N)
ONE_HOT = np.eye(3)[LABELS]
YES = np.where(RNG.random((N, 3)) < 0.2, np.nan, RNG.random((N, 3)) < 0.5)
NUMBERS = RNG.normal(size=(N, 3))
WEIGHTS = RNG.random(N)


class Forced(fastnn.Sequential):
    """The native steps, over the tape."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


class Loose(fastnn.Model):
    """Computes with numbers: no graph of layers."""

    def __init__(self, units: int = 3, **how: Any) -> None:
        super().__init__(seed=1, **how)
        self.dense, self.head = layers.Dense(6, "tanh"), layers.Dense(units)

    def call(self, inputs: Any) -> Any:
        h = self.dense(inputs)
        return self.head(h * f.rsqrt(1 + f.square(h)))


def chain(cls: Any, end: str | None = None, **how: Any) -> Any:
    return cls(
        [layers.Dense(8, "tanh"), layers.Dropout(0.2), layers.Dense(3, end)],
        seed=1,
        dtype="float64",
        **how,
    )


def same(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=tolerance, atol=1e-12, err_msg=name)


def same_weights(a: Any, b: Any, tolerance: float = 1e-9) -> None:
    for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(v, w, rtol=tolerance, atol=1e-10)


LOSSES: dict[str, tuple[Any, Any, str | None, list[Any]]] = {
    "sparse": ("sparse_categorical_crossentropy", LABELS, None, ["accuracy"]),
    "ignored": (
        losses.SparseCategoricalCrossentropy(ignore_class=1),
        LABELS,
        "softmax",
        ["accuracy", "sparse_categorical_crossentropy"],
    ),
    "categorical": (losses.CategoricalCrossentropy(label_smoothing=0.1), ONE_HOT, "softmax", []),
    "binary": (
        losses.BinaryCrossentropy(pos_weight=[1, 2, 3]),
        YES,
        "sigmoid",
        ["accuracy", "binary_crossentropy"],
    ),
    "logits": ("binary_crossentropy", YES, None, ["accuracy"]),
    "mse": ("mse", NUMBERS, None, ["mae", "r2_score", "root_mean_squared_error"]),
    "by batch": (losses.Huber(reduction="mean_with_sample_weight"), NUMBERS, "tanh", ["mse"]),
    "mae": ("mae", NUMBERS, None, []),
    "poisson": ("poisson", np.abs(NUMBERS), "softplus", ["poisson"]),
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("optimizer", [optimizers.SGD(0.1, momentum=0.9), optimizers.Adam(0.02)])
@pytest.mark.parametrize("name", LOSSES)
def test_it_follows_the_native_fit(name: str, optimizer: Any, weighted: bool) -> None:
    """Rows in the same order, the same dropout, weights, metrics and validation."""
    loss, y, end, counted = LOSSES[name]
    how: dict[str, Any] = {"sample_weight": WEIGHTS} if weighted else {}
    if weighted and name in ("sparse", "categorical"):
        how["class_weight"] = {0: 2.0, 2: 0.5}
    made = [chain(cls, end) for cls in (fastnn.Sequential, Forced)]
    found = []
    for model in made:
        own = optimizer.from_config(optimizer.get_config())
        model.compile(own, loss, metrics=counted, weighted_metrics=counted)
        found.append(model.fit(X, y, 16, 3, verbose=0, validation_split=0.2, **how).history)
    same(found[0], found[1])
    same_weights(*made)
    assert made[0].optimizer.iterations == made[1].optimizer.iterations
    data = (X[:30], y[:30], WEIGHTS[:30])
    for model in made:
        native = model is made[0]
        loss_before = model.train_on_batch(*data, return_dict=True)
        model.fit(X, y, 16, 1, 0, validation_data=data, shuffle=False)
        tested = model.evaluate(X, y, 7, 0, sample_weight=WEIGHTS, return_dict=True)
        if native:
            wanted = loss_before, tested
        else:
            same(wanted[0], loss_before)
            same(wanted[1], tested)
    same_weights(*made)
    np.testing.assert_allclose(made[0].predict(X), made[1].predict(X), rtol=1e-9)


def test_clipping_decay_averages_and_frozen_layers() -> None:
    how: list[Any] = [
        lambda: optimizers.SGD(0.3, clipnorm=0.1),
        lambda: optimizers.Adam(0.1, global_clipnorm=0.2),
        lambda: optimizers.AdamW(0.1, clipvalue=0.01),
        lambda: optimizers.SGD(0.3, use_ema=True, ema_momentum=0.9),
    ]
    for optimizer in how:
        made = [chain(cls) for cls in (fastnn.Sequential, Forced)]
        for model in made:
            model.build((None, 5))
            model.layers[0].trainable = False
            model.compile(optimizer(), "mse")
            model.layers[0].trainable = True  # from the next `compile` on
            model.layers[2].trainable = False
            first = model.get_weights()[0]
            model.fit(X, NUMBERS, 16, 3, 0)
            np.testing.assert_array_equal(model.get_weights()[0], first)
            model.layers[2].trainable = True
        same_weights(*made)


# -- losses and metrics of one's own ---------------------------------------------------------------


def by_function(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_mean(f.square(y_true - y_pred), axis=-1)


def by_number(y_true: Any, y_pred: Any) -> Any:
    return f.square(y_true - y_pred)


def as_a_whole(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_mean(f.square(y_true - y_pred))


class ByClass(losses.Loss):
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return f.square(y_true - y_pred)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("own", [by_function, by_number, as_a_whole, ByClass, ByClass()])
def test_an_own_loss_is_the_native_one(own: Any, weighted: bool) -> None:
    how = {"sample_weight": WEIGHTS, "validation_split": 0.3} if weighted else {}
    if weighted and own is as_a_whole:
        pytest.skip("a single number has no weights")
    made = [chain(fastnn.Sequential) for _ in range(2)]
    made[0].compile("adam", "mse", metrics=["mae"])
    made[1].compile("adam", own, metrics=["mae"])
    wanted = made[0].fit(X, NUMBERS, 16, 3, 0, **how).history
    with pytest.warns(fastnn.TapeWarning, match="the loss '.*' is Python code") as told:
        found = made[1].fit(X, NUMBERS, 16, 3, 0, **how).history
    assert told[0].filename == __file__
    same(wanted, found)
    same_weights(*made)
    made[1].fit(X, NUMBERS, verbose=0)  # it is said once


def test_targets_of_one_axis_are_not_broadcast() -> None:
    """Also integers, and float64 beside float32."""
    y = (X[:, 0] > 0).astype(int)
    made = [fastnn.Sequential([layers.Dense(1)], seed=2) for _ in range(2)]
    made[0].compile("sgd", "mse")
    made[1].compile("sgd", lambda t, p: f.square(t - p), metrics=[lambda t, p: f.abs(t - p)])
    wanted = made[0].fit(X, y, epochs=2, verbose=0).history
    with pytest.warns(fastnn.TapeWarning, match="lambda"):
        found = made[1].fit(X, y, epochs=2, verbose=0).history
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)
    assert list(found) == ["loss", "lambda"]


def test_wrong_losses() -> None:
    def model(loss: Any) -> Any:
        made = chain(fastnn.Sequential)
        made.compile("sgd", loss)
        return made

    def by_numpy(y_true: Any, y_pred: Any) -> Any:
        return np.mean((np.asarray(y_true) - np.asarray(y_pred)) ** 2)

    def by_constant(y_true: Any, y_pred: Any) -> Any:  # noqa: ARG001
        return fastnn.constant(np.ones(len(y_pred)))

    def too_few(y_true: Any, y_pred: Any) -> Any:  # noqa: ARG001
        return f.reduce_mean(y_pred, axis=0)

    for loss, error, message in (
        (by_numpy, TypeError, "loss by_numpy: .*does not depend on Tensors"),
        (by_constant, ValueError, "loss by_constant: it does not depend on Tensors"),
        (too_few, ValueError, r"loss too_few: expected a loss for each row, shape \(32,\)"),
    ):
        made = model(loss)
        made.build((None, 5))
        before = made.get_weights()
        with pytest.warns(fastnn.TapeWarning), pytest.raises(error, match=message):
            made.fit(X, NUMBERS, verbose=0)
        for a, b in zip(before, made.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        assert made.history is None
        assert (made.network.steps, made.network.epochs) == (0, 0)
    for how in ({"sample_weight": WEIGHTS}, {"class_weight": {0: 2.0}}):
        with pytest.warns(fastnn.TapeWarning), pytest.raises(ValueError, match="for each row"):
            model(as_a_whole).fit(X, ONE_HOT, verbose=0, **how)
    with pytest.raises(NotImplementedError, match="Loss: define `call"):
        losses.Loss("x")(NUMBERS, NUMBERS)


def test_an_own_loss_called() -> None:
    loss = ByClass()
    assert loss.name == "by_class"
    assert float(loss(NUMBERS, 0 * NUMBERS)) == pytest.approx(np.mean(NUMBERS**2))
    value = loss(NUMBERS, 0 * NUMBERS, sample_weight=WEIGHTS)
    assert float(value) == pytest.approx(
        float(np.average(np.mean(NUMBERS**2, axis=1), weights=WEIGHTS))
    )
    assert losses.get(by_function).name == "by_function"
    with pytest.raises(ValueError, match="sample_weight"):
        loss(NUMBERS, NUMBERS, sample_weight=WEIGHTS[:3])


class Largest(metrics.Metric):
    """The largest error, which is no mean."""

    def __init__(self, name: str = "largest") -> None:
        super().__init__(name)
        self.found = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        error = np.abs(np.asarray(y_true) - np.asarray(y_pred)).max()
        self.found = max(self.found, float(error))

    def result(self) -> Any:
        return self.found

    def reset_state(self) -> None:
        self.found = 0.0


def errors(y_true: Any, y_pred: Any) -> Any:
    return f.abs(y_true - y_pred)


def test_own_metrics() -> None:
    made = [chain(fastnn.Sequential) for _ in range(2)]
    made[0].compile("adam", "mse", metrics=["mae"], weighted_metrics=["mae"])
    made[1].compile("adam", "mse", metrics=[errors, Largest()], weighted_metrics=[errors])
    wanted = made[0].fit(X, NUMBERS, 16, 2, 0, sample_weight=WEIGHTS, validation_split=0.2)
    history = made[1].fit(X, NUMBERS, 16, 2, 0, sample_weight=WEIGHTS, validation_split=0.2)
    found = history.history
    assert set(found) == {
        f"{v}{n}" for v in ("", "val_") for n in ("loss", "errors", "largest", "weighted_errors")
    }
    for a, b in (("mae", "errors"), ("weighted_mae", "weighted_errors"), ("val_mae", "val_errors")):
        np.testing.assert_allclose(wanted.history[a], found[b], rtol=1e-9)
    got = made[1].evaluate(X, NUMBERS, verbose=0, return_dict=True)
    assert got["largest"] == pytest.approx(np.abs(made[1].predict(X) - NUMBERS).max())
    assert [metric.name for metric in made[1].metrics] == ["errors", "largest", "errors"]


class TruePositives(metrics.Metric):
    """As Keras's programs write metrics: Variables that count."""

    def __init__(self, name: str = "true_positives", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.found = self.add_weight(name="found", initializer="zeros")
        self.seen = self.add_variable(shape=(2,), initializer="ones", name="seen")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        hits = (np.asarray(y_true) == 1) & (np.asarray(y_pred).argmax(axis=1) == 1)
        weights = 1.0 if sample_weight is None else np.asarray(sample_weight)
        self.found.assign_add(f.reduce_sum(hits * weights))
        self.seen.assign_add(np.ones(2) * len(y_true))

    def result(self) -> Any:
        return self.found.value


def test_metrics_that_count_in_variables() -> None:
    model = chain(fastnn.Sequential)
    model._told = True
    metric = TruePositives()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=[metric])
    history = model.fit(X, LABELS, 16, 3, 0, validation_data=(X, LABELS)).history
    wanted = ((model.predict(X).argmax(axis=1) == 1) & (LABELS == 1)).sum()
    assert history["val_true_positives"][-1] == wanted
    assert metric.seen.numpy().tolist() == [N, N]  # of zeros: each pass begins anew
    assert [v.trainable for v in metric.variables] == [False, False]
    assert model.get_weights()[0].shape == (5, 8)
    other = pickle.loads(pickle.dumps(model))
    assert other.evaluate(X, LABELS, verbose=0)[1] == wanted
    assert TruePositives(dtype="float64").found.dtype == "float64"
    assert metrics.Metric().name == "metric"


def by_classes(y_true: Any, y_pred: Any) -> Any:
    return -f.reduce_sum(f.one_hot(y_true, 3) * f.log_softmax(y_pred), axis=-1)


@pytest.mark.parametrize("weights", [{0: 2.0, 2: 0.5}, [1, 2, 3], "balanced"])
def test_class_weights_of_an_own_loss(weights: Any) -> None:
    made = [chain(fastnn.Sequential) for _ in range(3)]
    found = []
    for model, loss, y in zip(
        made,
        (
            "sparse_categorical_crossentropy",
            by_classes,
            lambda t, p: -f.reduce_sum(t * f.log_softmax(p), -1),
        ),
        (LABELS, LABELS, ONE_HOT),
        strict=True,
    ):
        model._told = True
        model.compile("adam", loss)
        found.append(model.fit(X, y, 16, 2, 0, class_weight=weights, shuffle=False).history)
    same(found[0], found[1])
    same(found[0], found[2])
    same_weights(made[0], made[1])


# -- calls that are no graph -----------------------------------------------------------------------


def test_a_call_that_is_no_graph_trains_as_a_loop_by_hand() -> None:
    model, other = Loose(), Loose()
    fastnn.utils.set_random_seed(3)
    model(X[:1])
    fastnn.utils.set_random_seed(3)
    other(X[:1])
    same_weights(model, other, 0)
    model.compile(optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    with pytest.warns(
        fastnn.TapeWarning, match="Loose trains .* its `call` is no graph of layers: "
    ):
        history = model.fit(X, LABELS, 16, 3, 0, shuffle=False).history
    optimizer, loss_of = optimizers.Adam(0.01), losses.SparseCategoricalCrossentropy()
    for _ in range(3):
        sums, hits = 0.0, 0
        for begin in range(0, N, 16):
            x, y = X[begin : begin + 16].astype(np.float32), LABELS[begin : begin + 16]
            with fastnn.GradientTape() as tape:
                outputs = other(x, training=True)
                loss = loss_of(y, outputs)
            variables = other.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            sums += float(loss) * len(y)
            hits += int((outputs.numpy().argmax(axis=1) == y).sum())
    same_weights(model, other, 0)
    assert history["loss"][-1] == pytest.approx(sums / N)
    assert history["accuracy"][-1] == pytest.approx(hits / N)
    np.testing.assert_array_equal(
        model.predict(X, batch_size=9).argmax(1), model(X).numpy().argmax(1)
    )
    np.testing.assert_allclose(model.predict(X, 9), model.predict(X, 70), rtol=1e-5, atol=1e-6)
    a, b = (model.evaluate(X, LABELS, size, 0) for size in (9, 70))
    np.testing.assert_allclose(a, b, rtol=1e-6)


class Summed(fastnn.Model):
    """Takes a dictionary, and draws dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.drop = layers.Dense(4), layers.Dense(4), layers.Dropout(0.5)
        self.out = layers.Dense(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        h = f.tanh(self.a(inputs["left"])) + self.b(inputs["right"])
        return self.out(self.drop(h, training=training))


def test_several_inputs_and_dropout_by_the_seed() -> None:
    x = {"left": X, "right": X[:, :2]}
    found = []
    for _ in range(2):
        fastnn.utils.set_random_seed(5)
        model = Summed()
        model.compile("adam", "mse")
        with pytest.warns(fastnn.TapeWarning, match="several inputs"):
            history = model.fit(x, NUMBERS[:, 0], 16, 3, 0, validation_split=0.25)
        found.append((history.history, model.get_weights()))
        assert model.predict(x).shape == (N, 1)
    same(found[0][0], found[1][0], 0)
    for a, b in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="inputs of 70 and 3 rows"):
        model.predict({"left": X, "right": X[:3, :2]})
    with pytest.raises(ValueError, match=r"x\[1\]: expected finite numbers, got nan at row 2"):
        model.predict({"left": X, "right": np.where(np.arange(N)[:, None] == 2, np.nan, X[:, :2])})


# -- the promises of `fit` -------------------------------------------------------------------------


def loose(**how: Any) -> Any:
    model = Loose(**how)
    model._told = True  # warnings are errors here
    model.compile(optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize(
    ("x", "y", "how", "message"),
    [
        (np.where(X > 2, np.nan, X), LABELS, {}, "x: expected finite numbers, got nan at row"),
        (np.where(X > 2, np.inf, X), LABELS, {}, "x: expected finite numbers, got inf at row"),
        (X, np.where(LABELS == 1, 7, LABELS), {}, r"y: expected integers in \[0, 3\), got 7"),
        (X, LABELS[:5], {}, r"y: expected"),
        (X, ONE_HOT, {}, r"one-hot"),
        (X, LABELS, {"sample_weight": -WEIGHTS}, "sample_weight: "),
        (X, LABELS, {"sample_weight": WEIGHTS[:2]}, "sample_weight: expected one weight a row"),
        (X, LABELS, {"sample_weight": 0 * WEIGHTS}, "fit: nothing counts"),
        (X, LABELS, {"class_weight": {5: 1}}, "class_weight: expected classes"),
        (X, None, {}, "fit: expected x and y, got None for y"),
        (X, LABELS, {"validation_data": (X, LABELS + 1)}, "validation_data: y: expected integers"),
        (X, LABELS, {"validation_data": (X[:, :2], LABELS)}, "validation_data: x: expected"),
        (X, LABELS, {"validation_data": (X,)}, "validation_data: expected"),
        (X, LABELS, {"validation_split": 0.999}, "validation_split: "),
        (X[:0], LABELS[:0], {}, "x is empty"),
    ],
)
def test_bad_data_are_refused_before_any_step(x: Any, y: Any, how: Any, message: str) -> None:
    model = loose()
    model(X[:1])
    before = model.get_weights()
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, verbose=0, **how)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.history is None
    assert model.optimizer.iterations == 0


def test_callbacks_and_the_progress_line(capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []

    class Noting(callbacks.Callback):
        def __getattribute__(self, name: str) -> Any:
            if name.startswith("on_"):
                calls.append(name)
            return super().__getattribute__(name)

    class Stopping(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            assert set(logs or {}) == {"loss", "accuracy"}
            if batch == 2:
                self.model.stop_training = True

    native = chain(Forced.__base__)
    native.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    native.fit(X, LABELS, 32, 2, 2, [Noting()], validation_data=(X, LABELS))
    lines, wanted = capsys.readouterr().out, list(calls)
    calls.clear()
    model = chain(Forced)
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, LABELS, 32, 2, 2, [Noting()], validation_data=(X, LABELS))
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == len(lines.splitlines()) == 2
    assert [part.split(":")[0] for part in shown.splitlines()[0].split(" - ")[2:]] == [
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
    ]
    kept = [name for name in calls if name != "on_batch_begin"]
    for name in set(wanted):
        assert name in kept or name.startswith("on_batch"), name
    assert history.epoch == [0, 1]
    model.fit(X, LABELS, 8, 5, 0, [Stopping()])
    assert model.history is not None
    assert model.history.epoch == [0]
    stop = callbacks.EarlyStopping("val_loss", patience=2, min_delta=10, restore_best_weights=True)
    assert len(model.fit(X, LABELS, 8, 9, 0, [stop], validation_split=0.2).epoch) == 3
    assert model.fit(
        X, LABELS, 8, 6, 0, initial_epoch=4, validation_data=(X, LABELS), validation_freq=2
    ).epoch == [4, 5]
    assert len(model.history.history["val_loss"]) == 1


def test_fit_goes_on_and_compile_begins_anew() -> None:
    made = [chain(cls) for cls in (fastnn.Sequential, Forced)]
    for model in made:
        model.compile(optimizers.Adam(0.05), "mse")
        model.fit(X, NUMBERS, 16, 2, 0)
        model.fit(X, NUMBERS, 16, 2, 0)
        model.compile(model.optimizer, "mse")
        model.fit(X, NUMBERS, 16, 2, 0)
    same_weights(*made)


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("made", [lambda: chain(Forced), Loose])
def test_copies_train_on_alike(made: Any, way: Any) -> None:
    model = made()
    model._told = True
    model.compile(optimizers.Adam(0.05), by_number, metrics=[errors])
    model.fit(X, NUMBERS, 16, 2, 0, validation_split=0.2)
    other = way(model)
    found = [m.fit(X, NUMBERS, 16, 2, 0, validation_split=0.2).history for m in (model, other)]
    same(*found, 0)
    same_weights(model, other, 0)
    assert model.optimizer is not other.optimizer


def test_divergence_goes_back() -> None:
    def by_squares() -> Any:
        model = loose()
        model.compile(optimizers.SGD(0.01), "mse")
        model(X[:1])
        return model

    model = by_squares()

    class Breaking(callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            if epoch == 40:
                self.model.optimizer.learning_rate = 1e30

    with pytest.raises(fastnn.TrainingDiverged, match=r"the loss became|a weight became") as error:
        model.fit(X, NUMBERS, 16, 60, 0, [Breaking()])
    assert error.value.epoch in (40, 41)
    assert np.isfinite(model.evaluate(X, NUMBERS, verbose=0))
    assert model.history is not None
    assert model.history.epoch[-1] >= 39
    assert 100 <= model.optimizer.iterations <= 200
    # A loss that is bad in the first step leaves the weights of the beginning.
    model = by_squares()
    before = model.get_weights()
    model.optimizer.learning_rate = 1e30
    with pytest.raises(fastnn.TrainingDiverged):
        model.fit(X, NUMBERS, 16, 1, 0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_error_in_the_first_step_changes_nothing() -> None:
    class Failing(metrics.Metric):
        def update_state(self, *_: Any) -> None:
            raise OSError("no disk")

        def result(self) -> Any:
            return 0.0

        def reset_state(self) -> None: ...

    model = loose()
    model(X[:1])
    model.compile("adam", "mse", metrics=[Failing()])
    before = model.get_weights()
    with pytest.raises(OSError, match="no disk"):
        model.fit(X, NUMBERS, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 0
    model.compile("adam", "mse")
    model.fit(X, NUMBERS, verbose=0)


def test_an_interruption_keeps_weights_and_epochs() -> None:
    class Interrupting(callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            if batch == 2 and self.model.history.epoch == [0]:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

    model = loose()
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, LABELS, 16, 3, 0, [Interrupting()])
    assert model.history.epoch == [0]
    assert model.optimizer.iterations == 7


def test_another_thread_is_refused_while_it_trains() -> None:
    model = loose()
    seen: list[str] = []

    def other() -> None:
        for call in (
            lambda: model.fit(X, LABELS, verbose=0),
            lambda: model.predict(X),
            lambda: model.evaluate(X, LABELS, verbose=0),
            lambda: model.compile("sgd", "mse"),
        ):
            try:
                call()
            except RuntimeError as error:
                seen.append(str(error))

    class Asking(callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    model.fit(X, LABELS, verbose=0, callbacks=[Asking()])
    assert len(seen) == 4


def test_a_callback_may_evaluate_in_the_middle() -> None:
    class Evaluating(callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            model.evaluate(X[:9], LABELS[:9], verbose=0)

    found = []
    for listening in ([], [Evaluating()]):
        fastnn.utils.set_random_seed(1)
        model = loose()
        found.append(model.fit(X, LABELS, 16, 2, 0, listening).history)
    same(*found, 0)


def test_float64_models_stay_in_float64() -> None:
    model = Loose(dtype="float64")
    model._told = True
    model.compile("sgd", by_number)
    model.fit(X, NUMBERS, verbose=0)
    assert model.predict(X).dtype == np.float64
    assert model(X).dtype == np.float64


def test_value_and_grad_over_the_tape() -> None:
    made = [chain(fastnn.Sequential) for _ in range(2)]
    made[0].compile("sgd", "mse")
    made[1].compile("sgd", by_number)
    wanted = made[0].value_and_grad(X, NUMBERS, WEIGHTS)
    found = made[1].value_and_grad(X, NUMBERS, WEIGHTS)
    assert found[0] == pytest.approx(wanted[0])
    for a, b in zip(wanted[1], found[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-15)


def test_loss_weights_of_one_output() -> None:
    model = chain(fastnn.Sequential)
    model.compile("sgd", "mse", loss_weights=3.0)
    model._told = True
    other = chain(fastnn.Sequential)
    other.compile(optimizers.SGD(0.03), "mse")
    a, b = (m.fit(X, NUMBERS, verbose=0).history["loss"] for m in (model, other))
    np.testing.assert_allclose(a, 3 * np.array(b), rtol=1e-9)
    same_weights(model, other)
    with pytest.raises(ValueError, match="loss_weights: expected a finite number"):
        model.compile("sgd", "mse", loss_weights=-1.0)


def test_models_without_a_loss() -> None:
    with pytest.raises(ValueError, match="compile: expected a loss"):
        chain(fastnn.Sequential).compile("sgd")
    model = Loose()
    model.compile("sgd")  # its `call` may add losses
    with pytest.raises(ValueError, match="compile: expected a loss"):
        model.fit(X, NUMBERS, verbose=0)


def test_a_trained_model_is_freed() -> None:
    model = chain(Forced)
    model.compile("adam", by_number, metrics=[errors])
    model.fit(X, NUMBERS, verbose=0, validation_split=0.2, callbacks=[callbacks.History()])
    model.evaluate(X, NUMBERS, verbose=0)
    kept = weakref.ref(model)
    gc.disable()
    try:
        del model
        assert kept() is None
    finally:
        gc.enable()


def test_threads_that_evaluate_do_so_in_turn() -> None:
    model = loose()
    wanted = model.evaluate(X, LABELS, verbose=0)
    found: list[Any] = []

    def evaluate() -> None:
        for _ in range(10):
            found.append(model.evaluate(X, LABELS, 16, 0))

    threads = [threading.Thread(target=evaluate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 30
    for values in found:
        np.testing.assert_allclose(values, wanted, rtol=1e-6)


def test_summary_says_that_it_trains_over_a_tape() -> None:
    model = chain(fastnn.Sequential)
    model.compile("adam", by_number)
    model.build((None, 5))
    lines: list[str] = []
    model.summary(print_fn=lines.append, batch_size=32)
    assert lines[-1] == "Trains over a tape, since the loss 'by_number' is Python code"


class Shaped(fastnn.Model):
    """Outputs of rows of this shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__(dtype="float64")
        self.dense, self.shape = layers.Dense(6), shape
        self._told = True

    def call(self, inputs: Any) -> Any:
        return f.reshape(self.dense(inputs)[:, : int(np.prod(self.shape))], (-1, *self.shape))


@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 3), (1, 2, 3)])
def test_rows_of_outputs_of_any_shape(shape: tuple[int, ...]) -> None:
    y = RNG.normal(size=(N, *shape))
    model = Shaped(shape)
    model.compile("adam", "mse", metrics=["mae", errors, "r2_score"])
    history = model.fit(X, y, 16, 2, 0, sample_weight=WEIGHTS, validation_split=0.2).history
    np.testing.assert_allclose(history["errors"], history["mae"], rtol=1e-9)
    tested = model.evaluate(X, y, verbose=0, return_dict=True)
    predicted = model.predict(X)
    assert predicted.shape == y.shape
    assert tested["loss"] == pytest.approx(np.mean((predicted - y) ** 2))
    assert tested["mae"] == pytest.approx(np.mean(np.abs(predicted - y)))


@pytest.mark.parametrize(
    ("end", "loss", "y", "kind"),
    [
        (None, by_classes, LABELS, "sparse_categorical_accuracy"),
        ("softmax", by_number, ONE_HOT, "categorical_accuracy"),
        ("sigmoid", by_number, YES, "binary_accuracy"),
    ],
)
def test_accuracy_with_an_own_loss(end: Any, loss: Any, y: Any, kind: str) -> None:
    y = np.nan_to_num(y)
    model = chain(fastnn.Sequential, end)
    model._told = True
    model.compile("adam", loss, metrics=["accuracy", kind])
    found = model.fit(X, y, verbose=0).history
    assert found["accuracy"] == found[kind]


def test_outputs_that_are_no_tensors() -> None:
    class Wrong(fastnn.Model):
        def __init__(self, made: Any) -> None:
            super().__init__()
            self.dense, self.made = layers.Dense(3), made
            self._told = True

        def call(self, inputs: Any) -> Any:
            return self.made(self.dense(inputs))

    for made, error, message in (
        (np.asarray, TypeError, "Wrong: `call`: expected Tensors, got ndarray"),
        (lambda y: [y, [f.exp(y)]], TypeError, "Wrong: `call`: expected Tensors, got list"),
        (lambda y: f.reduce_mean(y, 0), ValueError, "Wrong: `call`: expected outputs of 32 rows"),
    ):
        model = Wrong(made)
        model.compile("sgd", "mse")
        with pytest.raises(error, match=message):
            model.fit(X, NUMBERS, verbose=0)


def test_forms_of_numbers() -> None:
    """Lists, integers, float16 and bools, as natively."""
    made = [chain(fastnn.Sequential) for _ in range(2)]
    for x, y in (
        (X.tolist(), NUMBERS.tolist()),
        (np.abs(X * 10).astype(np.uint8), NUMBERS > 0),
        (X.astype(np.float16), NUMBERS.astype(np.float16)),
        (np.asfortranarray(X)[::2], NUMBERS[::2]),
    ):
        for model, loss in zip(made, ("mse", by_number), strict=True):
            model._told = True
            model.compile("adam", loss)
            model.fit(x, y, 16, 2, 0)
        same_weights(*made)


def test_another_kind_of_targets_has_another_accuracy() -> None:
    model = chain(fastnn.Sequential)
    model._told = True

    def either(y_true: Any, y_pred: Any) -> Any:
        one_hot = y_true if y_true.ndim == 2 else f.one_hot(y_true, 3)
        return -f.reduce_sum(one_hot * f.log_softmax(y_pred), axis=-1)

    model.compile(optimizers.SGD(0.0), either, metrics=["accuracy"])
    a, b = (model.evaluate(X, y, verbose=0, return_dict=True) for y in (LABELS, ONE_HOT))
    same(a, b)


def test_logits_that_are_none_warn() -> None:
    model = chain(fastnn.Sequential, "softmax")
    model._told = True
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True), loss_weights=2.0)
    with pytest.warns(UserWarning, match="from_logits=True, but the model ends in softmax"):
        model.fit(X, LABELS, verbose=0)
