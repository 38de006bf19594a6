"""Callbacks: Keras's hooks, in Keras's order, with its arguments; listening changes no number."""

from __future__ import annotations

from pathlib import Path

import networks
import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, metrics
from fastnn.registry import FAMILIES

HOOKS = [
    f"on_{what}_{when}"
    for what in (
        "train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch"
    )
    for when in ("begin", "end")
]  # fmt: skip


class Recorder(callbacks.Callback):
    """Writes down every hook with its index and the names in its logs."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.logs = []


def _hook(name):
    def hook(self, *args, **kwargs):
        index = args[:1] if "epoch" in name or "batch" in name else ()
        logs = kwargs.get("logs", args[len(index)] if len(args) > len(index) else None)
        self.calls.append((name, *index))
        self.logs.append((name, dict(logs or {})))

    return hook


for _name in HOOKS:
    setattr(Recorder, _name, _hook(_name))


def compiled(**options):
    model = networks.sequential((4, 8, 3), ("relu", "softmax"))
    model.compile(
        optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], **options
    )
    return model


def data(n=10):
    rng = np.random.default_rng(4)
    return rng.normal(size=(n, 4)), rng.integers(0, 3, n)


def batches(what, count):
    return [(f"on_{what}_batch_{when}", i) for i in range(count) for when in ("begin", "end")]


def test_order_in_fit():
    x, y = data(10)
    recorder, model = Recorder(), compiled()
    model.fit(
        x, y, batch_size=4, epochs=2, verbose=0, validation_data=data(5), callbacks=[recorder]
    )
    expected = [("on_train_begin",)]
    for epoch in range(2):
        expected += [("on_epoch_begin", epoch), *batches("train", 3)]
        expected += [("on_test_begin",), *batches("test", 2), ("on_test_end",)]
        expected += [("on_epoch_end", epoch)]
    assert recorder.calls == [*expected, ("on_train_end",)]
    assert recorder.model is model
    assert recorder.params["epochs"] == 2
    assert recorder.params["steps"] == 3
    assert recorder.params["verbose"] == 0


def test_order_in_evaluate_and_predict():
    x, y = data(10)
    recorder, model = Recorder(), compiled()
    model.evaluate(x, y, batch_size=4, verbose=0, callbacks=[recorder])
    assert recorder.calls == [("on_test_begin",), *batches("test", 3), ("on_test_end",)]
    recorder.calls.clear()
    model.predict(x, batch_size=5, verbose=0, callbacks=[recorder])
    assert recorder.calls == [("on_predict_begin",), *batches("predict", 2), ("on_predict_end",)]


def test_logs():
    x, y = data(10)
    recorder, model = Recorder(), compiled()
    history = model.fit(
        x, y, batch_size=4, epochs=2, verbose=0, validation_data=data(5), callbacks=[recorder]
    ).history
    by_name = {}
    for name, logs in recorder.logs:
        by_name.setdefault(name, []).append(logs)
    everything = {k: v[-1] for k, v in history.items()}
    assert by_name["on_epoch_end"][-1] == everything
    assert by_name["on_train_end"][-1] == everything
    assert set(everything) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    assert [set(b) for b in by_name["on_train_batch_end"]] == [{"loss", "accuracy"}] * 6
    # what a batch reports is the value over the epoch so far: the last is the epoch's
    last = by_name["on_train_batch_end"][2]
    assert last["loss"] == pytest.approx(history["loss"][0], rel=1e-6)
    assert by_name["on_test_end"][-1] == pytest.approx(
        {"loss": everything["val_loss"], "accuracy": everything["val_accuracy"]}, rel=1e-6
    )


class EpochOnly(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.losses = []

    def on_epoch_end(self, *args):
        self.losses.append(args[1]["loss"])


class BatchOnly(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.count = 0

    def on_train_batch_end(self, *_):
        self.count += 1


@pytest.mark.parametrize("listeners", [[EpochOnly], [BatchOnly], [Recorder], [EpochOnly, Recorder]])
def test_listening_changes_no_bit(listeners):
    x, y = data(37)
    results = []
    for given in (None, [kind() for kind in listeners]):
        fastnn.utils.set_random_seed(1)
        model = compiled()
        history = model.fit(
            x, y, batch_size=4, epochs=3, verbose=0, validation_split=0.2, callbacks=given
        )
        results.append((history.history, model.get_weights()))
    assert results[0][0] == results[1][0]
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


class Listening(callbacks.Callback):
    """Listens to all batches, and to nothing else."""

    def __init__(self):
        super().__init__()
        self.train, self.test, self.ends = [], [], []

    def on_train_batch_end(self, batch, logs=None):
        self.train.append((batch, logs))

    def on_test_batch_end(self, batch, logs=None):
        self.test.append((batch, logs))

    def on_test_end(self, logs=None):
        self.ends.append(logs)


@pytest.mark.cpu
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("session", ["plain", "streaming", "tiled"])
def test_batch_hooks_change_no_digit(session, dtype, monkeypatch):
    """In batches of several groups of rows, weighted, with metrics of every kind of count."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    check_digits(dtype)


def check_digits(dtype, named=("accuracy", "mse", "r2_score", "bce", "huber"), batch=384):
    """History, evaluate and the last logs are the same with and without batch hooks."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1000, 6)).astype(dtype)
    y = rng.integers(0, 2, (1000, 5)).astype(float)
    y[rng.random(y.shape) < 0.2] = np.nan
    w = rng.uniform(0, 3, 1000)
    results = []
    for given in (None, Listening()):
        fastnn.utils.set_random_seed(1)
        model = networks.sequential((6, 9, 5), ("tanh", "sigmoid"), dtype=dtype)
        model.compile("adam", "bce", metrics=list(named), weighted_metrics=["accuracy"])
        words = {"sample_weight": w, "verbose": 0, "callbacks": given}
        history = model.fit(
            x, y, batch_size=batch, epochs=2, validation_data=(x[:700], y[:700], w[:700]), **words
        ).history
        every = model.evaluate(x, y, batch_size=37, return_dict=True, **words)
        one = model.evaluate(x, y, batch_size=1000, return_dict=True, **words)
        results.append((history, every, one, [a.tobytes() for a in model.get_weights()]))
    assert results[0] == results[1]
    history, every, one, _ = results[1]
    assert every == one
    steps = -(-1000 // batch)
    assert [step for step, _ in given.train] == [*range(steps)] * 2
    for epoch in range(2):
        assert given.train[(epoch + 1) * steps - 1][1] == {k: history[k][epoch] for k in every}
        assert given.ends[epoch] == {k: history[f"val_{k}"][epoch] for k in every}
    assert given.ends[2] == every
    # Batches so far: their last logs are those of all rows but for the order of sums.
    assert len(given.test) == 2 * -(-700 // batch) + 28 + 1
    assert given.test[-1][1] == pytest.approx(every, rel=1e-9)


@pytest.mark.parametrize("epochs", [1, 3])
def test_counts(epochs):
    x, y = data(10)
    epoch, batch = EpochOnly(), BatchOnly()
    compiled().fit(x, y, batch_size=3, epochs=epochs, verbose=0, callbacks=[epoch, batch])
    assert len(epoch.losses) == epochs
    assert batch.count == 4 * epochs


def test_stop_training_after_an_epoch():
    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, *_):
            if epoch == 1:
                self.model.stop_training = True

    x, y = data(10)
    model = compiled()
    for _ in range(2):  # a later fit begins anew
        recorder = Recorder()
        history = model.fit(x, y, epochs=10, verbose=0, callbacks=[Stop(), recorder])
        assert history.epoch == [0, 1]
        assert recorder.calls[-1] == ("on_train_end",)


def test_stop_training_within_an_epoch():
    class Stop(callbacks.Callback):
        def on_train_batch_end(self, batch, *_):
            if batch == 1:
                self.model.stop_training = True

    x, y = data(40)
    history = compiled().fit(x, y, batch_size=4, epochs=5, verbose=0, callbacks=[Stop()])
    assert history.epoch == [0]


def test_initial_epoch_is_seen():
    recorder = Recorder()
    x, y = data(4)
    compiled().fit(x, y, epochs=4, initial_epoch=2, verbose=0, callbacks=[recorder])
    assert [c for c in recorder.calls if "epoch" in c[0]] == [
        ("on_epoch_begin", 2),
        ("on_epoch_end", 2),
        ("on_epoch_begin", 3),
        ("on_epoch_end", 3),
    ]


def test_a_callback_may_look_and_write():
    """Weights can be read and set between epochs, and the learning rate changed."""
    seen = []

    class Meddle(callbacks.Callback):
        def on_epoch_end(self, epoch, *_):
            seen.append([w.copy() for w in self.model.get_weights()])
            if epoch == 0:
                self.model.optimizer.learning_rate = 0.0
            if epoch == 1:
                self.model.set_weights([np.zeros_like(w) for w in self.model.get_weights()])

    x, y = data(10)
    model = compiled()
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Meddle()])
    for a, b in zip(seen[0], seen[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert all((w == 0).all() for w in seen[2])


def test_what_a_callback_raises_comes_out():
    """With the weights as they are then, and the model usable."""

    class Fail(callbacks.Callback):
        def on_train_batch_end(self, batch, *_):
            if batch == 1:
                raise LookupError("mine")

    x, y = data(40)
    model = compiled()
    before = model.get_weights()
    with pytest.raises(LookupError, match="mine"):
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[Fail()])
    assert not np.array_equal(model.get_weights()[0], before[0])
    model.fit(x, y, verbose=0)


def test_lambda_callback():
    calls = []
    watch = callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, *_: calls.append(("begin", epoch)),
        on_epoch_end=lambda epoch, *_: calls.append(("end", epoch)),
        on_train_end=lambda *_: calls.append(("done",)),
    )
    x, y = data(4)
    compiled().fit(x, y, epochs=2, verbose=0, callbacks=[watch])
    assert calls == [("begin", 0), ("end", 0), ("begin", 1), ("end", 1), ("done",)]


@pytest.mark.parametrize("bad", ["history", 3, object()], ids=str)
def test_not_a_callback(bad):
    x, y = data(4)
    with pytest.raises(TypeError, match=r"(?i)callback"):
        compiled().fit(x, y, verbose=0, callbacks=[bad])


def test_a_callback_may_use_its_model():
    """evaluate, predict and value_and_grad between batches, as is usual; a second fit is not."""
    x, y = data(20)
    seen = []

    class Look(callbacks.Callback):
        def on_train_batch_end(self, *_):
            seen.append(self.model.predict(x, verbose=0).sum())

        def on_epoch_end(self, *_):
            self.model.evaluate(x, y, verbose=0)
            self.model.value_and_grad(x, y)

    results = []
    for given in (None, [Look()]):
        fastnn.utils.set_random_seed(1)
        model = compiled()
        model.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=given)
        results.append(model.get_weights())
    assert len(seen) == 10
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_threads_may_change_while_it_trains():
    class Change(callbacks.Callback):
        def on_train_batch_end(self, batch, *_):
            fastnn.set_num_threads(1 + batch % 3)

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 64)).astype(np.float32), rng.integers(0, 3, 3000)
    results = []
    for given in (None, [Change()]):
        fastnn.utils.set_random_seed(1)
        model = networks.sequential((64, 256, 3), ("relu", "softmax"))
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=500, epochs=2, verbose=0, callbacks=given)
        results.append(model.get_weights())
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_fit_within_a_fit_says_so():
    errors = []

    class Again(callbacks.Callback):
        def on_epoch_end(self, *_):
            with pytest.raises(RuntimeError, match=r"(?i)train|fit") as caught:
                self.model.fit(*data(4), verbose=0)
            errors.append(caught.value)

    compiled().fit(*data(10), epochs=2, verbose=0, callbacks=[Again()])
    assert len(errors) == 2


@pytest.mark.parametrize("verbose", [1, 2])
def test_progress_changes_no_bit(verbose, capsys):
    """Long enough that the line is drawn while an epoch runs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20_000, 200)).astype(np.float32), rng.integers(0, 3, 20_000)
    results = []
    for how in (0, verbose):
        fastnn.utils.set_random_seed(1)
        model = networks.sequential((200, 256, 3), ("relu", "softmax"))
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, batch_size=64, epochs=2, verbose=how)
        results.append(model.get_weights())
    assert "2/2" in capsys.readouterr().out
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


# -- early stopping ---------------------------------------------------------------------------


class Scripted(callbacks.Callback):
    """Puts chosen values into the logs before others read them."""

    def __init__(self, name, values):
        super().__init__()
        self.name, self.values = name, values

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.values[epoch]


def test_early_stopping_waits_for_epochs_that_validate(rng):
    """Epochs without validation neither count nor are an error."""
    x, y = rng.normal(size=(40, 3)), rng.integers(0, 2, 40)
    model = fastnn.Sequential([layers.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    stop = callbacks.EarlyStopping("val_loss", patience=1)
    history = model.fit(
        x, y, epochs=6, validation_split=0.2, validation_freq=2, callbacks=[stop], verbose=0
    )
    assert len(history.history["val_loss"]) >= 1


# How `fit` is called, and what the warning says of it.
NEVER_THERE = {
    "no validation": ({}, "'val_loss', it has no validation"),
    "too rare": ({"validation_split": 0.2, "validation_freq": 9}, "'val_loss', it has no"),
    "later": ({"validation_split": 0.2, "validation_freq": [1, 7], "initial_epoch": 2}, "no val"),
}


@pytest.mark.parametrize("case", NEVER_THERE)
def test_a_value_that_fit_will_not_produce_warns_at_its_line(case):
    """Also through a subclass that calls the hooks of its base class, and a fit within a fit."""
    options, text = NEVER_THERE[case]
    x, y = data(20)

    class Stop(callbacks.EarlyStopping):
        def on_train_begin(self, logs=None):
            super().on_train_begin(logs)

    class Within(callbacks.Callback):
        def on_epoch_end(self, *_):
            model.fit(x, y, epochs=4, callbacks=[stop], verbose=0, **options)

    for stop in (callbacks.EarlyStopping(), Stop()):
        model = compiled()
        with pytest.warns(UserWarning, match=text) as caught:
            model.fit(x, y, epochs=4, callbacks=[stop], verbose=0, **options)
        outer = compiled()
        with pytest.warns(UserWarning, match=text) as nested:
            outer.fit(x, y, verbose=0, callbacks=[Within()])
        lines = Path(__file__).read_text(encoding="utf-8").splitlines()
        for warning in (*caught, *nested):
            assert warning.filename == __file__
            assert "model.fit(x, y, epochs=4" in lines[warning.lineno - 1]


def test_a_name_that_fit_has_not_is_said_when_it_begins():
    x, y = data(20)
    model = compiled()
    with pytest.raises(ValueError, match=r"monitor: unknown name 'val_acuracy', did you mean"):
        model.fit(x, y, validation_split=0.2, callbacks=[callbacks.EarlyStopping("val_acuracy")])
    stop = callbacks.EarlyStopping("val_acuracy", mode="max")
    with pytest.warns(UserWarning, match="its logs have loss, accuracy, val_loss, val_accuracy"):
        model.fit(x, y, validation_split=0.2, callbacks=[stop], verbose=0)


def test_a_direction_that_nothing_tells_is_asked_for():
    """Of a value that a callback makes, and of a metric whose class does not say it."""

    class Own(metrics.Metric):
        counts = "matches"
        goes_with = frozenset({"labels"})

    x, y = data(20)
    model = compiled()
    stop = callbacks.EarlyStopping("mine")
    with pytest.raises(ValueError, match=r"'mine'.* give mode='min' or mode='max'"):
        model.fit(x, y, verbose=0, callbacks=[Scripted("mine", [1.0]), stop])
    assert model.network.steps == 0
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=[Own("own_accuracy")])
    with pytest.raises(ValueError, match=r"^EarlyStopping: monitor: Whether more of 'own_acc"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.EarlyStopping("own_accuracy")])
    Own.more_is_better = True
    model.fit(x, y, verbose=0, callbacks=[callbacks.EarlyStopping("own_accuracy")])


# The loss, metrics, weighted metrics, and the direction of each name.
DIRECTIONS = [
    (
        "binary_crossentropy",
        [metrics.BinaryAccuracy(name="hit_rate"), "accuracy", "accuracy", "mse", "r2_score", "bce"],
        ["accuracy", "huber"],
        {
            "loss": False,
            "hit_rate": True,
            "accuracy": True,
            "accuracy_1": True,
            "mse": False,
            "r2_score": True,
            "bce": False,
            "weighted_accuracy": True,
            "huber": False,
        },
    ),
    (
        "sparse_categorical_crossentropy",
        [metrics.SparseTopKCategoricalAccuracy(2, name="loss_of_two"), "acc"],
        [metrics.MeanOf("sparse_categorical_crossentropy", name="auc")],
        {"loss": False, "loss_of_two": True, "acc": True, "auc": False},
    ),
]


@pytest.mark.parametrize("case", DIRECTIONS, ids=lambda case: case[0])
def test_auto_asks_the_metric_for_its_direction(case):
    loss, given, weighted, directions = case
    model = networks.sequential((4, 3), ("linear",))
    model.compile("sgd", loss, metrics=given, weighted_metrics=weighted)
    x, y = data(20)
    y = np.eye(3)[y] if loss == "binary_crossentropy" else y
    assert list(directions) == model.metrics_names
    for name, expected in directions.items():
        for key in (name, f"val_{name}"):
            stop = callbacks.EarlyStopping(key)
            model.fit(x, y, validation_data=(x, y), callbacks=[stop], verbose=0)
            assert stop.more_is_better() is expected
            assert stop.improves(2.0, 1.0) is expected
            assert stop.improves(1.0, 2.0) is not expected


def test_every_metric_says_its_direction():
    for cls in FAMILIES["metric"].classes.values():
        if cls.goes_with:  # or it is for a loop of one's own
            assert cls.more_is_better in (True, False), cls


def test_a_renamed_accuracy_keeps_its_best_epoch():
    """With the wrong direction the worst epoch would come back."""
    x, _ = data(60)
    model = networks.sequential((4, 1), ("sigmoid",))
    hit_rate = metrics.BinaryAccuracy(name="hit_rate")
    model.compile("adam", "binary_crossentropy", metrics=[hit_rate])
    target = (x[:, 0] > 0).astype(float)
    stop = callbacks.EarlyStopping("val_hit_rate", patience=40, restore_best_weights=True)
    history = model.fit(
        x, target, epochs=40, validation_data=(x, target), callbacks=[stop], verbose=0
    ).history["val_hit_rate"]
    assert max(history) > min(history)
    assert stop.best == max(history)
    assert model.evaluate(x, target, verbose=0)[1] == max(history)


# name: (options, the monitored values, epochs that are run, the best epoch)
STOPPING = {
    "no patience": ({}, [3, 2, 2.5, 1], 3, 1),
    "patience": ({"patience": 2}, [3, 2, 2.5, 1.5, 1.6, 1.7, 1], 6, 3),
    "equal is no improvement": ({"patience": 1}, [3, 3, 1], 2, 0),
    "min_delta": ({"min_delta": 0.5, "patience": 1}, [3, 2.7, 1], 2, 0),
    "max": ({"mode": "max"}, [1, 2, 1.5, 9], 3, 1),
    "start_from_epoch": ({"start_from_epoch": 2}, [1, 2, 3, 2.5, 2.6, 1], 5, 3),
    "never": ({"patience": 5}, [4, 3, 2, 1], 4, 3),
    # With a baseline, as Keras 3.15 answers: better than the best but not than the baseline
    # neither ends it nor begins the patience anew.
    "better, but above the baseline": ({"baseline": 1}, [5, 4, 3, 3, 0], 4, 2),
    "baseline and patience": ({"baseline": 1, "patience": 2}, [5, 4, 3, 2, 2, 0], 5, 3),
    "baseline reached": ({"baseline": 2.5, "patience": 2}, [5, 4, 2, 2, 2, 2], 5, 2),
    "baseline and start": ({"baseline": 1, "start_from_epoch": 2}, [0, 0, 4, 3, 3, 0], 5, 3),
    "nan first": ({"patience": 2}, [np.nan, 3, 2, 2.5, 2.6, 1], 5, 2),
    "nan first, no patience": ({}, [np.nan, 3, 2, 2.5], 4, 2),
    "nan first, max": ({"mode": "max", "patience": 2}, [np.nan, 1, 2, 1, 1], 5, 2),
    "nan later": ({"patience": 2}, [3, np.nan, 2, np.nan, np.nan, 1], 5, 2),
    "nan after the best": ({}, [3, 2, np.nan, 1], 3, 1),
    "infinity first": ({"patience": 2}, [np.inf, 3, 4, 4, 1], 4, 1),
    "nan first, baseline": ({"baseline": 1, "patience": 3}, [np.nan, 3, 2, 2, 0], 4, 2),
    "nothing but nan": ({"patience": 3}, [np.nan] * 5, 3, 0),
    "baseline, max": ({"baseline": 5, "mode": "max", "patience": 2}, [1, 2, 3, 3, 9], 4, 2),
}


@pytest.mark.parametrize("case", STOPPING)
def test_early_stopping(case):
    options, values, epochs, best = STOPPING[case]
    x, y = data(10)
    weights = []

    class Keep(callbacks.Callback):
        def on_epoch_end(self, *_):
            weights.append(self.model.get_weights())

    options = {"mode": "min"} | options
    stop = callbacks.EarlyStopping(monitor="seen", restore_best_weights=True, **options)
    model = compiled()
    with pytest.warns(UserWarning, match="fit will not produce 'seen'"):
        history = model.fit(
            x, y, epochs=len(values), verbose=0, callbacks=[Scripted("seen", values), Keep(), stop]
        )
    assert len(history.epoch) == epochs
    for a, b in zip(model.get_weights(), weights[best], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("wrong", [3, callbacks.History, [callbacks.History], [None], "History", 0])
def test_what_is_no_callback_is_named(wrong):
    model = networks.sequential((3, 2), (None,))
    model.compile("sgd", "sparse_categorical_crossentropy")
    for call in (model.fit, model.evaluate):
        with pytest.raises(TypeError, match=r"^callbacks: expected Callback objects, got "):
            call(np.ones((4, 3)), np.zeros(4, int), verbose=0, callbacks=wrong)
