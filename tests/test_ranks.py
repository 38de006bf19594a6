"""Training over ranks equals training in one process; ranks are threads here."""

from __future__ import annotations

import numpy as np
import pytest
from rank_threads import Comm, on_ranks, results

import fastnn
from fastnn import layers

pytestmark = pytest.mark.cpu  # ranks train there alone

ROWS, FEATURES, CLASSES = 53, 6, 3


def problem(seed: int = 0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((ROWS, FEATURES))
    y = np.argmax(x[:, :CLASSES] + 0.3 * rng.standard_normal((ROWS, CLASSES)), axis=1)
    return x, y.astype(np.int32)


def network(*more: object, optimizer: object = None, metrics: object = ("accuracy",), **how):
    model = fastnn.Sequential(
        [
            layers.Dense(16, "tanh", input_shape=(FEATURES,)),
            *more,
            layers.Dense(CLASSES, "softmax"),
        ],
        seed=7,
        dtype="float64",
    )
    model.compile(
        optimizer or fastnn.optimizers.Adam(0.02),
        "sparse_categorical_crossentropy",
        metrics=list(metrics),
        **how,
    )
    return model


def fitted(make, fit, size, rows="same", cuts=None, kind=Comm):
    """The weights and the history of each rank; of one process, for `size` 0."""

    def work(rank, comm):
        model = make()
        ranks = None if comm is None else fastnn.Ranks(comm, rows=rows)
        part = slice(None) if rows == "same" else slice(cuts[rank], cuts[rank + 1])
        history = fit(model, part, ranks)
        return model.get_weights(), history.history

    if size == 0:
        return [work(0, None)]
    return results(on_ranks(size, work, kind))


def same(found, expected, exact=False):
    """All ranks have the same bits, and the weights and values of one process."""
    weights, history = expected
    for one, told in found:
        for a, b, c in zip(one, found[0][0], weights, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, c, rtol=0 if exact else 1e-10, atol=0 if exact else 1e-10)
        assert told == found[0][1]
        assert list(told) == list(history)
        for name in history:
            np.testing.assert_allclose(told[name], history[name], rtol=1e-10)


def plain_fit(**options):
    x, y = problem()

    def fit(model, part, ranks):
        how = {"epochs": 3, "batch_size": 8, "verbose": 0, **options}
        for name in ("sample_weight",):
            if name in how:
                how[name] = how[name][part]
        return model.fit(x[part], y[part], comm=ranks, **how)

    return fit


CUTS = {1: [0, 53], 2: [0, 20, 53], 3: [0, 1, 40, 53], 4: [0, 10, 11, 50, 53]}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("rows", ["same", "shards"])
def test_as_one_process(size, rows):
    fit = plain_fit()
    expected = fitted(network, fit, 0)[0]
    found = fitted(network, fit, size, rows, CUTS[size])
    same(found, expected, exact=size == 1)


WEIGHTS = np.random.default_rng(3).uniform(0, 2, ROWS)
x_more, y_more = problem(5)
CASES = {
    "in order": ((), {}, {"shuffle": False}),
    "validation data": ((), {}, {"validation_data": (x_more[:17], y_more[:17])}),
    "weights of rows": ((), {}, {"sample_weight": WEIGHTS}),
    "weights of classes": ((), {}, {"class_weight": {0: 3.0, 1: 0.5}}),
    "mean of a batch": (
        (),
        {"loss": fastnn.losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")},
        {"sample_weight": WEIGHTS},
    ),
    "dropout": ((layers.Dropout, 0.4), {}, {}),
    "noise": ((layers.GaussianNoise, 0.3), {}, {}),
    "alpha dropout": ((layers.AlphaDropout, 0.3), {}, {}),
    "batch normalization": ((layers.BatchNormalization,), {}, {}),
    "layer normalization": ((layers.LayerNormalization,), {}, {}),
    "penalties": (
        (lambda: layers.Dense(5, "relu", kernel_regularizer=fastnn.regularizers.L1L2(0.01, 0.02)),),
        {},
        {},
    ),
    "clipping by norm": ((), {"optimizer": lambda: fastnn.optimizers.SGD(0.1, clipnorm=0.05)}, {}),
    "global norm": ((), {"optimizer": lambda: fastnn.optimizers.Adam(global_clipnorm=0.1)}, {}),
    "accumulation": (
        (),
        {"optimizer": lambda: fastnn.optimizers.Adam(0.02, gradient_accumulation_steps=3)},
        {},
    ),
    "averages": (
        (),
        {"optimizer": lambda: fastnn.optimizers.Adam(0.02, use_ema=True, ema_momentum=0.9)},
        {},
    ),
    "muon": ((), {"optimizer": lambda: fastnn.optimizers.Muon(0.02)}, {}),
    "schedule": (
        (),
        {
            "optimizer": lambda: fastnn.optimizers.SGD(
                fastnn.optimizers.schedules.CosineDecay(0.3, 20)
            )
        },
        {},
    ),
    "counts": (
        (),
        {
            "metrics": [
                "accuracy",
                fastnn.metrics.SparseTopKCategoricalAccuracy(2),
                fastnn.metrics.F1Score(average="macro"),
            ]
        },
        {"validation_data": (x_more[:17], y_more[:17])},
    ),
    "collected": (
        (),
        {
            "metrics": [
                "accuracy",
                fastnn.metrics.CohenKappa(),
                lambda _, p: float(np.mean(p[:, 0])),
            ]
        },
        {"validation_data": (x_more[:17], y_more[:17])},
    ),
    "few rows": ((), {}, {"batch_size": 3}),
    "one batch": ((), {}, {"batch_size": 1000}),
    "parts of a pass": ((), {}, {"steps_per_epoch": 2}),
}


def made(more, compiled):
    def make():
        how = dict(compiled)
        optimizer = how.pop("optimizer", None)
        extra = [more[0](*more[1:])] if more else []
        model = network(*extra)
        loss = how.pop("loss", "sparse_categorical_crossentropy")
        given = fastnn.optimizers.Adam(0.02) if optimizer is None else optimizer()
        model.compile(given, loss, metrics=how.pop("metrics", ["accuracy"]))
        return model

    return make


@pytest.mark.parametrize("rows", ["same", "shards"])
@pytest.mark.parametrize("name", CASES)
def test_everything_as_in_one_process(name, rows):
    more, compiled, options = CASES[name]
    make = made(more, compiled)
    expected = fitted(make, plain_fit(**options), 0)[0]
    if rows == "shards" and "validation_data" in options:
        return  # see test_shards_of_validation
    found = fitted(make, plain_fit(**options), 3, rows, CUTS[3])
    same(found, expected)


@pytest.mark.parametrize("options", [{}, {"class_weight": "balanced"}, {"sample_weight": WEIGHTS}])
def test_validation_split_of_shards(options):
    """The rows that one process would hold out, which a later fit of one process holds out, too."""
    cuts = [0, 11, 40, 53]
    fit = plain_fit(validation_split=0.3, **options)
    found = fitted(network, fit, 3, "shards", cuts)
    same(found, fitted(network, fit, 0)[0])


def test_balanced_weights_of_labels_in_shards():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((ROWS, FEATURES)), (rng.uniform(size=(ROWS, 4)) < 0.3).astype(float)
    y[::7, 1] = np.nan

    def make():
        model = fastnn.Sequential(
            [layers.Dense(4, "sigmoid", input_shape=(FEATURES,))], seed=1, dtype="float64"
        )
        model.compile("adam", "binary_crossentropy")
        return model

    def fit(model, part, ranks):
        how = {"batch_size": 7, "verbose": 0, "class_weight": "balanced"}
        return model.fit(x[part], y[part], comm=ranks, **how)

    same(fitted(make, fit, 2, "shards", CUTS[2]), fitted(make, fit, 0)[0])


def test_shards_of_validation():
    x, y = problem()
    cuts = [0, 4, 17]

    def fit(model, part, ranks):
        held = slice(0, 17)
        if ranks is not None:
            held = slice(cuts[ranks.rank], cuts[ranks.rank + 1])
        data = (x_more[held], y_more[held], WEIGHTS[held])
        how = {"epochs": 2, "batch_size": 8, "verbose": 0, "validation_data": data}
        return model.fit(x[part], y[part], comm=ranks, **how)

    same(fitted(network, fit, 2, "shards", CUTS[2]), fitted(network, fit, 0)[0])


def test_validation_split_of_the_same_rows():
    fit = plain_fit(validation_split=0.3)
    same(fitted(network, fit, 2), fitted(network, fit, 0)[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_many_values(dtype):
    """Those of more bytes than each rank gathers whole are added up in parts, to the same sums."""

    def make():
        model = fastnn.Sequential(
            [layers.Dense(401, "relu", input_shape=(FEATURES,)), layers.Dense(31), layers.Dense(3)],
            seed=1,
            dtype=dtype,
        )
        model.compile("adam", fastnn.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    found = fitted(make, plain_fit(), 3)
    expected = fitted(make, plain_fit(), 0)[0]
    if dtype == "float64":
        same(found, expected)
    for one, _ in found:
        for a, b, c in zip(one, found[0][0], expected[0], strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, c, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("rows", ["same", "shards"])
def test_averages_of_weights(rows):
    """Ranks that make two steps alone have the mean weights of processes that make them."""
    x, y = problem()
    size, batch = 2, 16

    def work(rank, comm):
        model = network(optimizer=fastnn.optimizers.SGD(0.1))
        ranks = fastnn.Ranks(comm, rows=rows, average_every=2)
        part = slice(None) if rows == "same" else slice(CUTS[2][rank], CUTS[2][rank + 1])
        how = {"batch_size": batch, "shuffle": False, "verbose": 0}
        model.fit(x[part], y[part], comm=ranks, **how)
        return model.get_weights(), model.history.history

    found = results(on_ranks(size, work))
    model = network(optimizer=fastnn.optimizers.SGD(0.1))
    starts = list(range(0, ROWS, batch))
    for pair in (starts[:2], starts[2:]):
        weights, after = model.get_weights(), []
        for rank in range(size):
            model.set_weights(weights)
            for start in pair:
                n = min(batch, ROWS - start)
                own = np.arange(start, start + n)
                if rows == "same":
                    own = np.array_split(own, size)[rank]
                else:
                    own = own[(own >= CUTS[2][rank]) & (own < CUTS[2][rank + 1])]
                if len(own):
                    model.train_on_batch(x[own], y[own])
            after.append(model.get_weights())
        model.set_weights([sum(one) / size for one in zip(*after, strict=True)])
    for weights, history in found:
        assert history == found[0][1]
        assert np.isfinite(history["loss"][0])
        for a, b, c in zip(weights, found[0][0], model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, c, rtol=1e-10, atol=1e-12)


def of_elements(dtype):
    """Several labels a row, some missing, and weights of each."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((ROWS, FEATURES))
    y = (x[:, :4] + rng.standard_normal((ROWS, 4)) > 0).astype(float)
    y[rng.uniform(size=y.shape) < 0.2] = np.nan
    model = fastnn.Sequential(
        [layers.Dense(8, "relu", input_shape=(FEATURES,)), layers.Dense(4, "sigmoid")],
        seed=1,
        dtype=dtype,
    )
    model.compile("adam", "binary_crossentropy", metrics=["binary_accuracy"])
    return model, x, y


def of_sparse_rows(dtype):
    sparse = pytest.importorskip("scipy.sparse")
    x = sparse.random(ROWS, 40, 0.1, format="csr", random_state=3)
    model = fastnn.Sequential(
        [layers.Dense(8, "relu", input_shape=(40,)), layers.Dense(1)], seed=1, dtype=dtype
    )
    model.compile(fastnn.optimizers.RMSprop(0.01), "huber", metrics=["mae"])
    return model, x, np.asarray(x.sum(axis=1)).ravel()


def of_a_graph(dtype):
    """Embeddings, a layer used twice, normalization within rows and over the batch."""
    rng = np.random.default_rng(4)
    x = rng.integers(0, 9, (ROWS, 3))
    inputs = fastnn.Input((3,), dtype=dtype)
    h = layers.Flatten()(layers.Embedding(9, 4)(inputs))
    h = layers.Dense(12)(h)
    shared = layers.Dense(12, "tanh")
    h = layers.Add()([h, shared(layers.LayerNormalization()(h))])
    h = layers.BatchNormalization()(shared(h))
    outputs = layers.Dense(2)(layers.PReLU()(layers.Dropout(0.2)(h)))
    model = fastnn.Model(inputs, outputs, seed=5, dtype=dtype)
    model.compile(fastnn.optimizers.AdamW(0.01, weight_decay=0.1), "mean_absolute_error")
    return model, x, rng.standard_normal((ROWS, 2))


@pytest.mark.parametrize("rows", ["same", "shards"])
@pytest.mark.parametrize("case", [of_elements, of_sparse_rows, of_a_graph])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_other_models(case, rows, dtype):
    def fit(model, part, ranks):
        _, x, y = case(dtype)
        return model.fit(x[part], y[part], batch_size=7, epochs=3, verbose=0, comm=ranks)

    def make():
        return case(dtype)[0]

    found, expected = fitted(make, fit, 3, rows, CUTS[3]), fitted(make, fit, 0)[0]
    if dtype == "float64":
        same(found, expected)
    for one, told in found:
        assert told == found[0][1]
        for a, b, c in zip(one, found[0][0], expected[0], strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_allclose(a, c, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"validation_split": 0.3},
        {"sample_weight": np.where(np.arange(ROWS) < 20, 0.0, WEIGHTS)},
        {"validation_data": (x_more, y_more, np.where(np.arange(ROWS) < 20, 0.0, WEIGHTS))},
    ],
)
def test_a_shard_of_which_nothing_counts(options):
    """Shards of one row, all of it held out or all of it trained on; and of rows without weight."""
    cuts = [0, 20, 21, 22, 23, 53]

    def fit(model, part, ranks):
        how = dict(options)
        if "sample_weight" in how:
            how["sample_weight"] = how["sample_weight"][part]
        if "validation_data" in how:
            how["validation_data"] = tuple(array[part] for array in how["validation_data"])
        x, y = problem()
        return model.fit(x[part], y[part], epochs=3, batch_size=8, verbose=0, comm=ranks, **how)

    same(fitted(network, fit, 5, "shards", cuts), fitted(network, fit, 0)[0])


def test_shards_of_which_nothing_counts():
    x, y = problem()

    def work(_rank, comm):
        ranks = fastnn.Ranks(comm, rows="shards")
        network().fit(x, y, sample_weight=np.zeros(ROWS), verbose=0, comm=ranks)

    for error in on_ranks(2, work):
        assert "fit: nothing counts, all weights" in str(error)
