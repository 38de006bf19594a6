"""Weights by sample and label, weights of labels, and missing targets, in every session.

A loss with weights (n, outputs) is sum(w * l) / sum(w) over all elements; one of a missing target
counts nowhere. The oracle works element by element.
"""

from __future__ import annotations

from typing import Any

import cases
import networks
import numpy as np
import pytest
import reference
import tolerances
from numpy.typing import NDArray

import fastnn
from fastnn import _core, losses, ops, optimizers

Array = NDArray[Any]
ROWS, WIDTHS = 83, (6, 9, 3)
CPU = ("plain", "streaming", "tiled")
GPU = ("plain", "generic", "resident", "wide")
NAMES = (
    "mean_squared_error",
    "huber",
    "quantile",
    "poisson",
    "gaussian_nll",
    "sigmoid_cross_entropy",
)
CLASSES = {
    "mean_squared_error": losses.MeanSquaredError,
    "huber": losses.Huber,
    "quantile": losses.Quantile,
    "poisson": losses.Poisson,
    "gaussian_nll": losses.GaussianNLL,
    "sigmoid_cross_entropy": losses.BinaryCrossentropy,
}


def by_element(op: str, pred: Array, target: Array, weight: Array) -> tuple[float, Array]:
    """sum(w * l) / sum(w) over the elements whose target is there, and its gradient."""
    pairs = op == "gaussian_nll"
    k = target.shape[1]
    weight = np.where(np.isnan(target), 0.0, np.broadcast_to(weight, target.shape))
    value, gradient = 0.0, np.zeros_like(pred, dtype=float)
    for r, j in np.argwhere(weight > 0):
        places = [j, k + j] if pairs else [j]
        one, slope = reference.LOSSES[op](pred[[r]][:, places], target[[r]][:, [j]])
        value += weight[r, j] * one
        gradient[r, places] += weight[r, j] * slope[0]
    return value / weight.sum(), gradient / weight.sum()


def drawn(op: str, seed: int = 3) -> tuple[Array, Array, Array, Array]:
    """Rows, targets of which some are missing, weights of elements, and of rows."""
    rng = np.random.default_rng(seed)
    y = cases.targets_for(op, ROWS, 3, rng)
    y[rng.random(y.shape) < 0.3] = np.nan
    y[5] = np.nan  # a row of which nothing is known
    w = rng.uniform(0, 2, (ROWS, 3))
    w[rng.random(w.shape) < 0.1] = 0.0
    return rng.normal(size=(ROWS, 6)), y, w, rng.uniform(0, 2, ROWS)


def made(op: str, dtype: str = "float64", **options: Any) -> fastnn.Sequential:
    widths = (*WIDTHS[:-1], 6 if op == "gaussian_nll" else 3)
    model = networks.sequential(widths, ("tanh", cases.head_for(op)), dtype=dtype)
    loss = CLASSES[op]()
    if op != "sigmoid_cross_entropy":
        loss.ignore_nan = True
    model.compile(optimizers.SGD(0.05, momentum=0.5), loss, **options)
    model.set_weights(cases.glorot(np.random.default_rng(4), widths))
    return model


@pytest.mark.isa
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("op", NAMES)
def test_ops(op: str, dtype: str) -> None:
    """Values and gradients of the kernels, with weights of elements, of rows, and without."""
    _, y, by_label, by_row = drawn(op)
    rng = np.random.default_rng(5)
    pred = (0.2 + rng.random((ROWS, 6 if op == "gaussian_nll" else 3))).astype(dtype)
    gaps = {} if op == "sigmoid_cross_entropy" else {"ignore_nan": True}
    for given, weight in ((None, 1.0), (by_row, by_row[:, None]), (by_label, by_label)):
        value, gradient = getattr(ops, op)(pred, y, sample_weight=given, **gaps)
        want, slopes = by_element(op, pred.astype(float), y, np.asarray(weight))
        tolerances.check(value, want, "loss", dtype, scale=10.0, what="loss")
        tolerances.check(gradient, slopes, "loss gradient", dtype, scale=0.1, what="gradient")


def trained(
    op: str, weigh: str, session: str, dtype: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two epochs in order as the oracle trains, and what `evaluate` says after them."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    x, y, by_label, by_row = drawn(op)
    given = {"label": by_label, "row": by_row, "none": None}[weigh]
    weight = {"label": by_label, "row": by_row[:, None], "none": np.ones(1)}[weigh]
    full = np.where(np.isnan(y), 0.0, np.broadcast_to(weight, y.shape))
    monkeypatch.setitem(
        reference.LOSSES,
        "by element",
        lambda p, t, *, sample_weight: by_element(op, p, t, sample_weight),
    )
    # No resident session counts these losses as metrics.
    counted = session != "resident" or op not in ("gaussian_nll", "sigmoid_cross_entropy")
    metrics = [CLASSES[op]()] if counted else []
    model = made(op, dtype, metrics=metrics, weighted_metrics=metrics)
    assert model.session(batch) == session
    network = reference.Network(("tanh", cases.head_for(op)), "by element")
    settings = {"learning_rate": 0.05, "momentum": 0.5}
    oracle = reference.Trainer(network, model.get_weights(), "sgd", settings)
    words = {"batch_size": batch, "epochs": 2, "shuffle": False, "verbose": 0}
    fitted = model.fit(x, y, sample_weight=given, **words).history
    expected = [oracle.epoch(x, y, np.arange(ROWS), batch, full) for _ in range(2)]
    tolerances.check(fitted["loss"], expected, "trajectory", dtype, what="loss")
    name = CLASSES[op]().name
    if counted:
        found = fitted[f"weighted_{name}"]
        tolerances.check(found, expected, "trajectory", dtype, what="weighted metric")
    for k, (got, want) in enumerate(zip(model.get_weights(), oracle.weights, strict=True)):
        tolerances.check(got, want, "trajectory", dtype, what=f"weight {k}")
    output = model.predict(x).astype(float)
    logs = model.evaluate(x, y, sample_weight=given, verbose=0, return_dict=True)
    plain = by_element(op, output, y, np.ones(1))[0]
    tolerances.check(logs["loss"], by_element(op, output, y, full)[0], "trajectory", dtype)
    if counted:
        tolerances.check(logs[name], plain, "trajectory", dtype)


WEIGHTS = ("label", "row", "none")


@pytest.mark.cpu
@pytest.mark.isa
@pytest.mark.parametrize("op", NAMES)
@pytest.mark.parametrize("weigh", WEIGHTS)
@pytest.mark.parametrize("session", CPU)
def test_on_the_cpu(session: str, weigh: str, op: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained(op, weigh, session, "float32" if session == "tiled" else "float64", 16, monkeypatch)


@pytest.mark.parametrize("op", NAMES)
@pytest.mark.parametrize("weigh", ["label", "none"])
@pytest.mark.parametrize("session", GPU)
def test_on_the_device(
    session: str,
    weigh: str,
    op: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the GPU that is here or, without one, on the emulated device."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")
    trained(op, weigh, session, "float32", 16, monkeypatch)


def test_streams_and_single_batches() -> None:
    """train_on_batch takes the mean weight as 1, and test_on_batch divides by the weights."""
    x, y, w, _ = drawn("mean_squared_error")
    one, whole = made("mean_squared_error"), made("mean_squared_error")
    loss, gradients = one.value_and_grad(x, y, sample_weight=w)
    full = np.where(np.isnan(y), 0.0, w)
    assert loss == pytest.approx(
        by_element("mean_squared_error", one.predict(x), y, w)[0], rel=1e-12
    )
    before = whole.get_weights()
    assert whole.train_on_batch(x, y, sample_weight=w) == pytest.approx(loss, rel=1e-12)
    for a, b, g in zip(before, whole.get_weights(), gradients, strict=True):
        np.testing.assert_allclose(b, a - 0.05 * full.sum() / y.size * g, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("op", NAMES)
def test_over_the_tape(op: str) -> None:
    """The same values and gradients, by the kernel and by operations (reduction="none")."""
    _, y, by_label, by_row = drawn(op)
    pred = 0.2 + np.random.default_rng(5).random((ROWS, 6 if op == "gaussian_nll" else 3))
    for given, weight in ((None, 1.0), (by_row, by_row[:, None]), (by_label, by_label)):
        loss = made(op).loss
        loss.from_logits = True
        value, gradient = by_element(op, pred, y, np.asarray(weight))
        z = fastnn.constant(pred)
        with fastnn.GradientTape() as tape:
            tape.watch(z)
            found = loss(y, z, sample_weight=given)
        assert float(found) == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(tape.gradient(found, z).numpy(), gradient, rtol=1e-9, atol=1e-13)
        loss.reduction = "none"
        by_rows = loss(y, z, sample_weight=given)
        full = np.where(np.isnan(y), 0.0, np.broadcast_to(weight, y.shape))
        present = np.maximum((~np.isnan(y)).sum(axis=1), 1)
        for r in (0, 5, 17):
            row = by_element(op, pred[[r]], y[[r]], full[[r]])[0] if full[r].sum() else 0.0
            want = row * full[r].sum() / present[r]
            assert float(by_rows[r]) == pytest.approx(want, rel=1e-12, abs=1e-15)
        loss.reduction = "sum"
        total = float(loss(y, z, sample_weight=given))
        assert total == pytest.approx(float(np.sum(by_rows.numpy())), rel=1e-12)


def test_models_over_the_tape() -> None:
    """A loss that a model trains over the tape for another reason weighs and leaves out alike."""
    x, y, w, _ = drawn("mean_squared_error")

    class Plain(fastnn.Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    native = made("mean_squared_error")
    hidden = fastnn.layers.Dense(9, "tanh", input_shape=(6,), dtype="float64")
    taped = Plain([hidden, fastnn.layers.Dense(3, dtype="float64")])
    loss = losses.MeanSquaredError(ignore_nan=True)
    taped.compile(optimizers.SGD(0.05, momentum=0.5), loss, weighted_metrics=["mae"])
    start = native.get_weights()
    words = {"batch_size": 16, "epochs": 2, "shuffle": False, "verbose": 0, "sample_weight": w}
    want = native.fit(x, y, **words).history["loss"]
    end = native.get_weights()
    taped.set_weights(start)
    found = taped.fit(x, y, **words).history
    np.testing.assert_allclose(found["loss"], want, rtol=1e-10)
    for a, b in zip(taped.get_weights(), end, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    full = np.where(np.isnan(y), 0.0, w)
    logs = taped.evaluate(x, y, sample_weight=w, return_dict=True, verbose=0)
    errors = np.abs(np.nan_to_num(y) - taped.predict(x))
    assert logs["mae"] == pytest.approx((full * errors).sum() / full.sum(), rel=1e-10)


# -- weights of labels -------------------------------------------------------------------


def labelled_rows() -> tuple[Array, Array]:
    rng = np.random.default_rng(8)
    y = (rng.random((60, 3)) < [0.1, 0.5, 0.8]).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    return rng.normal(size=(60, 6)), y


def balanced_of(y: Array) -> Array:
    weights = np.ones(y.shape)
    for j in range(y.shape[1]):
        known = ~np.isnan(y[:, j])
        for answer in (0.0, 1.0):
            rows = y[:, j] == answer
            weights[rows, j] = known.sum() / (2 * rows.sum())
    return weights


BY_LABEL = {
    "dictionary": ({0: 3.0, 2: 0.5}, lambda y: np.broadcast_to([3.0, 1.0, 0.5], y.shape)),
    "list": ([3.0, 1.0, 0.5], lambda y: np.broadcast_to([3.0, 1.0, 0.5], y.shape)),
    "balanced": ("balanced", balanced_of),
    "by answer": (
        [{1: 4.0}, [1.0, 2.0], {0: 0.5}],
        lambda y: np.where(y == 1, [4.0, 2.0, 1.0], [1.0, 1.0, 0.5]),
    ),
}


@pytest.mark.parametrize("taped", [False, True])
@pytest.mark.parametrize("name", BY_LABEL)
def test_class_weight_of_several_labels(name: str, taped: bool) -> None:
    """class_weight is the sample_weight of the elements that it means, times the one given."""
    given, expected = BY_LABEL[name]
    x, y = labelled_rows()
    of_rows = np.random.default_rng(9).random(60)

    class Taped(fastnn.Sequential):
        def train_step(self, data: Any) -> Any:
            return super().train_step(data)

    def fitted(**weights: Any) -> tuple[list[Array], float]:
        cls = Taped if taped else fastnn.Sequential
        model = cls([fastnn.layers.Dense(3, input_shape=(6,), dtype="float64")])
        model.compile(optimizers.SGD(0.1), "binary_crossentropy")
        model.set_weights(cases.glorot(np.random.default_rng(4), (6, 3)))
        history = model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0, **weights)
        return model.get_weights(), history.history["loss"][-1]

    for by_row in (None, of_rows):
        weight = expected(y) * (1.0 if by_row is None else by_row[:, None])
        got, loss = fitted(class_weight=given, sample_weight=by_row)
        want, wanted = fitted(sample_weight=weight)
        assert loss == pytest.approx(wanted, rel=1e-12)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_balanced_as_in_scikit_learn() -> None:
    """n / (k * count) by class; "balanced" counts the rows that are trained on."""
    y = np.array([0, 0, 0, 1, 2, 2])
    x = np.eye(6)
    model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(6,), dtype="float64")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.set_weights([np.zeros((6, 3)), np.zeros(3)])
    weights = np.array([6 / 9, 2.0, 1.0])[y]
    got, _ = model.value_and_grad(x, y, sample_weight=weights)
    other = model.fit(x, y, class_weight="balanced", verbose=0, batch_size=6).history["loss"]
    assert other[0] == pytest.approx(got, rel=1e-12)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([1.0, 2.0], r"class_weight: expected 3 numbers, one for each label, got shape \(2,\)"),
        ({3: 1.0}, r"class_weight: expected labels in \[0, 3\), got 3"),
        ([{1: 2.0}] * 2, "class_weight: expected weights of 3 labels, got those of 2"),
        (["even"] * 3, r"class_weight\[0\]: unknown name 'even', expected one of balanced"),
        ([{2: 1.0}] * 3, r"class_weight: expected classes in \[0, 2\), got 2"),
    ],
    ids=str,
)
def test_class_weights_that_are_none(given: Any, message: str) -> None:
    x, y = labelled_rows()
    model = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(6,))])
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match=message):
        model.fit(x, y, class_weight=given, verbose=0)


# -- what is refused ---------------------------------------------------------------------


def test_weights_that_do_not_fit() -> None:
    x, y, w, _ = drawn("mean_squared_error")
    model = made("mean_squared_error")
    for given, message in (
        (w[:, :2], r"sample_weight: .*shape \(83,\), or .*\(83, 3\), got \(83, 2\)"),
        (w[:5], r"sample_weight: .*got \(5, 3\)"),
        (w - 1, r"sample_weight: expected 0 or a number in .*at row"),
        (w * np.nan, "sample_weight.*nan"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y, sample_weight=given, verbose=0)
    with pytest.raises(ValueError, match="nothing counts"):
        model.fit(x, y, sample_weight=np.where(np.isnan(y), 1.0, 0.0), verbose=0)
    classes = fastnn.Sequential([fastnn.layers.Dense(3, input_shape=(6,))])
    for loss in ("categorical_crossentropy", "kl_divergence", "cosine_similarity"):
        classes.compile("sgd", loss)
        with pytest.raises(
            ValueError, match=r"sample_weight: expected one weight a row, .*\(83, 3\)"
        ):
            classes.fit(x, np.eye(3)[np.arange(ROWS) % 3], sample_weight=w, verbose=0)
    model.compile("sgd", losses.MeanSquaredError(ignore_nan=True), weighted_metrics=["r2_score"])
    with pytest.raises(ValueError, match="weighted_metrics: a metric of whole rows"):
        model.fit(x, y, sample_weight=w, verbose=0)


def test_missing_targets_are_refused_without_ignore_nan() -> None:
    x, y, _, _ = drawn("mean_squared_error")
    model = made("mean_squared_error")
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y: expected finite numbers, got nan at row"):
        model.fit(x, y, verbose=0)
    model.compile("sgd", losses.MeanSquaredError(ignore_nan=True), metrics=["r2_score", "rmse"])
    y[7, 1] = np.inf
    with pytest.raises(ValueError, match=r"y: expected finite numbers, or NaN .*got inf at row 7"):
        model.fit(x, y, verbose=0)
    counts = made("poisson")
    with pytest.raises(ValueError, match=r"at least 0, or NaN for a missing one, got -1 at row 2"):
        counts.fit(x[:3], np.array([[1.0, 2, 3], [np.nan, 1, 1], [1, 1, -1]]), verbose=0)


def test_metrics_leave_missing_targets_out() -> None:
    """Of losses and of moments alike."""
    x, y, _, _ = drawn("mean_squared_error")
    model = made("mean_squared_error", metrics=["mae", "rmse", "r2_score", "mape"])
    found = model.evaluate(x, y, return_dict=True, verbose=0)
    output, there = model.predict(x), ~np.isnan(y)
    error = (output - y)[there]
    assert found["mae"] == pytest.approx(np.abs(error).mean(), rel=1e-12)
    assert found["rmse"] == pytest.approx(np.sqrt((error**2).mean()), rel=1e-12)
    of_columns = [
        1 - ((output - y)[there[:, j], j] ** 2).sum()
        / ((y[there[:, j], j] - y[there[:, j], j].mean()) ** 2).sum()
        for j in range(3)
    ]  # fmt: skip
    assert found["r2_score"] == pytest.approx(np.mean(of_columns), rel=1e-9)
