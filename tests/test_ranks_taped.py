"""Training over ranks of models that train over the tape, to the weights of one process."""

from __future__ import annotations

import numpy as np
import pytest
from rank_threads import on_ranks, results
from test_ranks import same

import fastnn
from fastnn import layers
from fastnn.callbacks import BackupAndRestore, LambdaCallback

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")]

ROWS, FEATURES = 53, 6
RNG = np.random.default_rng(12)
X = RNG.standard_normal((ROWS, FEATURES))
Y = (X[:, 0] - X[:, 1] + 0.2 * RNG.standard_normal(ROWS))[:, None]
LABELS = (X[:, 0] > 0).astype(np.int32) + (X[:, 1] > 0.5)
WEIGHTS = RNG.uniform(0, 2, ROWS)


class Own(fastnn.Model):
    """A `call` that is no graph of layers."""

    def __init__(self, *more, outputs=1, head=None, **how):
        super().__init__(seed=3, dtype="float64", **how)
        self.first = layers.Dense(
            8, "tanh", kernel_regularizer=fastnn.regularizers.L2(0.01), dtype="float64"
        )
        self.more = [make() for make in more]
        self.last = layers.Dense(outputs, head, dtype="float64")

    def call(self, x, training=False):
        h = self.first(x)
        for layer in self.more:
            h = layer(h, training=training)
        if fastnn.math.reduce_max(h) > 1e9:  # which no graph of layers can say
            h = h * 0.5
        return self.last(h)


def numbers(*more, loss="mean_squared_error", optimizer=None, metrics=("mae",), **how):
    def make():
        model = Own(*more)
        made = optimizer() if optimizer else fastnn.optimizers.Adam(0.02)
        model.compile(made, loss, metrics=list(metrics), **how)
        return model, X, Y

    return make


def classes(loss="sparse_categorical_crossentropy"):
    model = Own(outputs=3, head="softmax")
    metrics = ["accuracy", fastnn.metrics.F1Score(average="macro")]
    model.compile(fastnn.optimizers.SGD(0.2, momentum=0.9), loss, metrics=metrics)
    return model, X, LABELS


def own_loss():
    model = fastnn.Sequential(
        [layers.Dense(5, "tanh", input_shape=(6,)), layers.Dense(1)], seed=1, dtype="float64"
    )
    model.compile("adam", lambda t, p: fastnn.math.reduce_mean(fastnn.math.abs(t - p) ** 1.5))
    return model, X, Y


def two_outputs():
    inputs = fastnn.Input((6,), dtype="float64")
    h = layers.Dropout(0.3)(layers.BatchNormalization()(layers.Dense(9, "relu")(inputs)))
    one, two = layers.Dense(1, name="one")(h), layers.Dense(3, "softmax", name="two")(h)
    model = fastnn.Model(inputs, [one, two], seed=5, dtype="float64")
    model.compile(
        fastnn.optimizers.Adam(0.02, clipnorm=0.5),
        {"one": "mean_absolute_error", "two": "sparse_categorical_crossentropy"},
        loss_weights={"one": 0.5, "two": 2.0},
        metrics={"two": ["accuracy"]},
    )
    return model, X, {"one": Y, "two": LABELS}


MODELS = {
    "own call": numbers(),
    "dropout": numbers(lambda: layers.Dropout(0.4, dtype="float64")),
    "batch normalization": numbers(lambda: layers.BatchNormalization(dtype="float64")),
    "both": numbers(
        lambda: layers.BatchNormalization(dtype="float64"),
        lambda: layers.GaussianNoise(0.2, dtype="float64"),
    ),
    "mean of a batch": numbers(
        loss=fastnn.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    ),
    "global norm": numbers(optimizer=lambda: fastnn.optimizers.SGD(0.1, global_clipnorm=0.1)),
    "averages": numbers(
        optimizer=lambda: fastnn.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9)
    ),
    "accumulation": numbers(
        optimizer=lambda: fastnn.optimizers.Adam(0.02, gradient_accumulation_steps=3)
    ),
    "classes": classes,
    "own loss": own_loss,
    "two outputs": two_outputs,
}


def fitted(size, make, **options):
    def work(_rank, comm):
        model, x, y = make()
        how = {"epochs": 3, "batch_size": 8, "verbose": 0, **options}
        if "callbacks" in how:
            how["callbacks"] = how["callbacks"]()
        model.fit(x, y, comm=comm, **how)
        assert model._trains_taped
        return model.get_weights(), model.history.history

    return [work(0, None)] if size == 0 else results(on_ranks(size, work))


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("name", MODELS)
def test_as_one_process(name, size):
    """53 rows in batches of 8: five in the last."""
    make = MODELS[name]
    same(fitted(size, make), fitted(0, make)[0], exact=size == 1)


OPTIONS = {
    "in order": {"shuffle": False},
    "weights of rows": {"sample_weight": WEIGHTS},
    "held out": {"validation_split": 0.3},
    "validation data": {"validation_data": (X[:17], Y[:17], WEIGHTS[:17])},
    "few rows of validation": {"validation_data": (X[:2], Y[:2])},
    "parts of a pass": {"steps_per_epoch": 7, "epochs": 4, "batch_size": 8},
    "one batch": {"batch_size": 1000},
}


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("model", ["both", "mean of a batch"])
def test_options_as_in_one_process(model, name):
    options = OPTIONS[name]
    same(fitted(3, MODELS[model], **options), fitted(0, MODELS[model], **options)[0])


def test_weights_of_classes():
    options = {"class_weight": {0: 3.0, 2: 0.5}, "validation_data": (X[:17], LABELS[:17])}
    same(fitted(3, classes, **options), fitted(0, classes, **options)[0])


@pytest.mark.parametrize("freq", ["epoch", 3])
def test_training_goes_on_from_a_backup(freq, tmp_path):
    make = MODELS["both"]

    def callbacks(*, fails=True):
        def crash(epoch, _logs):
            if epoch == 4:
                raise MemoryError("the job is killed")

        crashes = [LambdaCallback(on_epoch_begin=crash)] if fails else []
        return [BackupAndRestore(str(tmp_path), save_freq=freq), *crashes]

    whole = fitted(3, make, epochs=6)
    for size in (3, 2):
        with pytest.raises((MemoryError, fastnn.RankError)):
            fitted(3, make, epochs=6, callbacks=callbacks)
        found = fitted(size, make, epochs=6, callbacks=lambda: callbacks(fails=False))
        same(found, whole[0], exact=size == 3)


def test_divergence_is_the_same_on_all_ranks():
    def work(_rank, comm):
        model, x, y = numbers(optimizer=lambda: fastnn.optimizers.SGD(1e4))()
        with pytest.raises(fastnn.TrainingDiverged):
            model.fit(x, y, batch_size=8, epochs=500, verbose=0, comm=comm)
        return [w.tobytes() for w in model.get_weights()]

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3


def test_a_loss_that_is_no_number_on_one_rank():
    """All go back to the same state, with the same error but for the loss."""

    def work(_rank, comm):
        model, x, y = MODELS["own call"]()
        y = y.copy()
        y[9] = 1e200  # in the second batch, of rank 0
        with pytest.raises(fastnn.TrainingDiverged, match="at epoch 0, step 1"):
            model.fit(x, y, batch_size=8, shuffle=False, verbose=0, comm=comm)
        return [w.tobytes() for w in model.get_weights()]

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end"])
def test_all_stop_where_one_rank_stops(hook):
    def work(rank, comm):
        model, x, y = MODELS["both"]()

        def stop(*_):
            model.stop_training = True

        callbacks = [LambdaCallback(**{hook: stop})] if rank == 1 else []
        model.fit(x, y, batch_size=8, epochs=50, verbose=0, callbacks=callbacks, comm=comm)
        return model.history.epoch, [w.tobytes() for w in model.get_weights()]

    found = results(on_ranks(3, work))
    assert found == [found[0]] * 3
    assert found[0][0] == [0]


def test_what_differs_is_named():
    def work(change):
        def on(rank, comm):
            model, x, y = MODELS["own call"]()
            x = change(model, x) if rank == 1 else x
            model.fit(x, y, batch_size=8, verbose=0, comm=comm)

        return on

    def another_rate(model, x):
        model.optimizer.learning_rate = 0.5
        return x

    for name, change in {
        "rows": lambda _model, x: x * 2,
        "settings of the optimizer": another_rate,
    }.items():
        for error in on_ranks(2, work(change)):
            assert isinstance(error, ValueError), error
            assert f"comm: {name} of rank 1 differ from those of rank 0" in str(error)


class Counts(Own):
    """Its `call` keeps a mean of the rows that it has seen."""

    def __init__(self):
        super().__init__()
        self.mean = fastnn.Variable(np.zeros(6), trainable=False, dtype="float64")

    def call(self, x, training=False):
        if training:
            self.mean.assign(fastnn.math.reduce_mean(x, axis=0))
        return super().call(x, training=training)


def test_weights_that_a_call_changes_by_a_rank_s_rows():
    def work(_rank, comm):
        model = Counts()
        model.compile("sgd", "mean_squared_error")
        model.fit(X, Y, batch_size=8, verbose=0, comm=comm)

    for error in on_ranks(2, work):
        assert isinstance(error, fastnn.RankError)
        assert "the weights of rank 1 differ from those of rank 0: what `call` changes" in str(
            error
        )


def test_an_error_of_one_rank_ends_all():
    def work(rank, comm):
        model, x, y = MODELS["both"]()
        if rank == 2:
            y = y.copy()
            y[3] = np.nan
        model.fit(x, y, batch_size=8, verbose=0, comm=comm)

    found = on_ranks(3, work)
    assert isinstance(found[2], ValueError)
    for error in found[:2]:
        assert isinstance(error, fastnn.RankError)
        assert "rank 2 of 3 ended: ValueError" in str(error)


class OwnStep(Own):
    def train_step(self, data):
        return super().train_step(data)


def test_what_is_refused():
    def refused(message, make=MODELS["own call"], rows="same", every=0, batches=False, **options):
        def work(_rank, comm):
            model, x, y = make()
            ranks = fastnn.Ranks(comm, rows=rows, average_every=every)
            given = (iter([(x, y)]),) if batches else (x, y)
            model.fit(*given, comm=ranks, verbose=0, **options)

        for error in on_ranks(2, work):
            assert isinstance(error, ValueError), error
            assert message in str(error)

    refused("which over ranks takes arrays alone", own_loss, batches=True)
    refused("needs the same rows on every rank", rows="shards")
    refused("leave average_every at 0", every=2)
    refused("each of 2 ranks needs a row of every batch; of 53 rows", batch_size=4)

    def with_a_step():
        model = OwnStep()
        model.compile("sgd", "mean_squared_error")
        return model, X, Y

    refused("cannot have a train_step of its own", with_a_step)
    refused("metrics: mean_output counts all rows, or by", numbers(metrics=[mean_output]))


def mean_output(_t, p):
    return float(np.mean(p))
