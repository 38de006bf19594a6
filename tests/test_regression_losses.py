"""Losses of numbers, of signs and of labels by element in a model: every session against the oracle, and metrics.

Their values and gradients as functions of arrays are in test_losses.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cases
import networks
import numpy as np
import pytest
import reference
import tolerances
from numpy.typing import NDArray

import fastnn
from fastnn import _core, layers, losses, metrics, optimizers

Array = NDArray[Any]

CPU = ("plain", "streaming", "tiled")
GPU = ("plain", "generic", "resident", "wide")
WIDTHS = (6, 9, 3)
ROWS = 83


class Problem(NamedTuple):
    """A loss, the oracle's words for it, and the end of a network that it takes."""

    loss: Callable[[], losses.Loss]
    op: str
    options: dict[str, Any]
    head: str
    outputs: int = 3  # for three targets


PROBLEMS = {
    "mae": Problem(lambda: losses.get("mae"), "mean_absolute_error", {}, "linear"),
    "huber": Problem(lambda: losses.get("huber"), "huber", {}, "linear"),
    "huber, 0.3": Problem(lambda: losses.Huber(0.3), "huber", {"delta": 0.3}, "linear"),
    "poisson": Problem(lambda: losses.get("poisson"), "poisson", {}, "softplus"),
    "quantile, 0.8": Problem(lambda: losses.Quantile(0.8), "quantile", {"quantile": 0.8}, "linear"),
    "log_cosh": Problem(lambda: losses.get("log_cosh"), "log_cosh", {}, "linear"),
    "msle": Problem(lambda: losses.get("msle"), "mean_squared_logarithmic_error", {}, "softplus"),
    "mape": Problem(lambda: losses.get("mape"), "mean_absolute_percentage_error", {}, "linear"),
    "hinge": Problem(lambda: losses.get("hinge"), "hinge", {}, "linear"),
    "squared_hinge": Problem(lambda: losses.get("squared_hinge"), "squared_hinge", {}, "linear"),
    "tweedie": Problem(lambda: losses.Tweedie(1.3), "tweedie", {"power": 1.3}, "softplus"),
    "gamma": Problem(lambda: losses.get("gamma"), "gamma", {}, "softplus"),
    "focal": Problem(
        lambda: losses.BinaryFocalCrossentropy(True, gamma=1.5),
        "binary_focal_crossentropy",
        {"apply_class_balancing": True, "gamma": 1.5},
        "sigmoid",
    ),
    "focal of classes": Problem(
        lambda: losses.CategoricalFocalCrossentropy([0.2, 0.5, 0.9], 1.5, label_smoothing=0.1),
        "categorical_focal_crossentropy",
        {"alpha": np.array([0.2, 0.5, 0.9]), "gamma": 1.5, "label_smoothing": 0.1},
        "softmax",
    ),
    "kl_divergence": Problem(lambda: losses.get("kld"), "kl_divergence", {}, "softmax"),
    "categorical_hinge": Problem(
        lambda: losses.get("categorical_hinge"), "categorical_hinge", {}, "linear"
    ),
    "cosine_similarity": Problem(
        lambda: losses.get("cosine_similarity"), "cosine_similarity", {}, "linear"
    ),
    "gaussian_nll": Problem(
        lambda: losses.GaussianNLL(True, 1e-3),
        "gaussian_nll",
        {"full": True, "eps": 1e-3},
        "linear",
        outputs=6,
    ),
}
OPTIMIZERS: dict[str, tuple[Callable[[], optimizers.Optimizer], str, dict[str, float]]] = {
    "sgd": (lambda: optimizers.SGD(0.05, momentum=0.5), "sgd", {"momentum": 0.5}),
    "adam": (lambda: optimizers.Adam(0.05), "adam", {}),
}


def trained(
    name: str, optimizer: str, session: str, dtype: str, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three weighted epochs in order, as the oracle trains."""
    monkeypatch.setenv("FASTNN_SESSION", session)
    problem = PROBLEMS[name]
    make, kind, settings = OPTIMIZERS[optimizer]
    rng = np.random.default_rng(9)
    activations = ("tanh", problem.head)
    widths = (*WIDTHS[:-1], problem.outputs)
    model = networks.sequential(widths, activations, dtype=dtype)
    model.compile(make(), problem.loss())
    model.set_weights(cases.glorot(rng, widths))
    assert model.session(batch) == session
    oracle = reference.Trainer(
        reference.Network(activations, problem.op, options=problem.options),
        model.get_weights(),
        kind,
        {"learning_rate": 0.05, **settings},
    )
    x = rng.normal(size=(ROWS, 6)).astype(dtype)
    y, w = cases.targets_for(problem.op, ROWS, 3, rng), rng.uniform(0, 2, ROWS)
    words = {"batch_size": batch, "epochs": 3, "shuffle": False, "verbose": 0}
    history = model.fit(x, y, sample_weight=w, **words).history["loss"]
    expected = [oracle.epoch(x, y, np.arange(ROWS), batch, w) for _ in range(3)]
    tolerances.check(history, expected, "trajectory", dtype, what="loss")
    for k, (got, want) in enumerate(zip(model.get_weights(), oracle.weights, strict=True)):
        tolerances.check(got, want, "trajectory", dtype, what=f"weight {k}")


@pytest.mark.cpu
@pytest.mark.isa
@pytest.mark.parametrize("dtype", cases.DTYPES)
@pytest.mark.parametrize("batch", [16, ROWS])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("session", CPU)
def test_on_the_cpu(
    session: str,
    name: str,
    optimizer: str,
    batch: int,
    dtype: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained(name, optimizer, session, dtype, batch, monkeypatch)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("session", GPU)
def test_on_the_device(
    session: str,
    name: str,
    optimizer: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the GPU that is here or, without one, on the emulated device."""
    if not _core.cuda_state()["usable"]:
        monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(request.getfixturevalue("emulated")))
    monkeypatch.setenv("FASTNN_DEVICE", "cuda")
    trained(name, optimizer, session, "float32", 16, monkeypatch)


# -- what they are for -------------------------------------------------------------------


def constant_for(loss: losses.Loss, y: Array, head: str = "linear") -> float:
    """The output that a model learns which sees nothing of its rows."""
    model = networks.sequential((1, 1), (head,), dtype="float64")
    model.compile(optimizers.Adam(0.05), loss)
    x = np.zeros((len(y), 1))
    model.fit(x, y, batch_size=len(y), epochs=1500, verbose=0)
    model.optimizer.learning_rate = 0.002
    model.fit(x, y, batch_size=len(y), epochs=300, verbose=0)
    return float(model.predict(x[:1])[0, 0])


def test_what_a_constant_learns() -> None:
    """The median, a mean without outliers, and the mean of counts."""
    y = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    assert constant_for(losses.MeanAbsoluteError(), y) == pytest.approx(3.0, abs=0.02)
    # At 2.75 the four errors of less than 2 add up to minus 1, the fifth counts as 2.
    assert constant_for(losses.Huber(2.0), y) == pytest.approx(3.0, abs=0.02)
    counts = np.array([0.0, 1.0, 2.0, 6.0])
    assert constant_for(losses.Poisson(), counts, "softplus") == pytest.approx(2.25, abs=0.02)


# -- as metrics --------------------------------------------------------------------------

NAMES = ["huber", "mae", "poisson", losses.Huber(2.0), "huber_loss", losses.MeanAbsoluteError]


def test_each_loss_is_a_metric() -> None:
    """Of every loss of numbers, weighted and not, with keys that are unique."""
    rng = np.random.default_rng(10)
    x, y, w = rng.normal(size=(ROWS, 6)), rng.poisson(2.0, (ROWS, 3)), rng.uniform(0, 2, ROWS)
    for loss in ("mse", "mae", "huber", "poisson"):
        model = networks.sequential(WIDTHS, ("tanh", "softplus"), dtype="float64")
        given = ["huber", "mae", "poisson", losses.Huber(2.0)]
        model.compile(optimizers.SGD(0.0), loss, metrics=given, weighted_metrics=given)
        fitted = model.fit(x, y, sample_weight=w, verbose=0, validation_data=(x, y, w)).history
        plain = ["huber", "mae", "poisson", "huber_loss"]
        keys = ["loss", *plain, *(f"weighted_{name}" for name in plain)]
        assert list(fitted) == [*keys, *(f"val_{key}" for key in keys)]
        output = model.predict(x)
        found = model.evaluate(x, y, sample_weight=w, return_dict=True, verbose=0)
        for key, op, options in (
            ("huber", reference.huber, {}),
            ("mae", reference.mean_absolute_error, {}),
            ("poisson", reference.poisson, {}),
            ("huber_loss", reference.huber, {"delta": 2.0}),
        ):
            for prefix, weight in (("", None), ("weighted_", w)):
                want = pytest.approx(op(output, y, sample_weight=weight, **options)[0], rel=1e-10)
                name = prefix + key
                assert found[name] == fitted[f"val_{name}"][0] == want
                assert fitted[name][0] == want


def test_metrics_given_as_classes_and_objects() -> None:
    x = np.random.default_rng(11).normal(size=(40, 6))
    model = networks.sequential(WIDTHS, ("tanh", "linear"))
    model.compile(
        "sgd",
        "mse",
        metrics=[
            metrics.MeanAbsoluteError,
            metrics.MeanOf("huber"),
            metrics.MeanOf(losses.Huber(9)),
        ],
    )
    assert model.metrics_names == ["loss", "mean_absolute_error", "huber_loss", "huber_loss_1"]
    assert model.evaluate(x, x[:, :3], verbose=0)[3] > model.evaluate(x, x[:, :3], verbose=0)[2]


@pytest.mark.parametrize("metric", ["huber", "mae", "poisson", losses.Huber(2.0)])
def test_they_do_not_go_with_labels(metric: Any) -> None:
    model = networks.sequential(WIDTHS, ("tanh", "softmax"))
    with pytest.raises(ValueError, match="does not go with the loss sparse_categorical"):
        model.compile("sgd", "sparse_categorical_crossentropy", metrics=[metric])


# -- what is refused ---------------------------------------------------------------------


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_targets_of_poisson(bad: float) -> None:
    """Named with their row before any step, in y and in validation_data."""
    x, y = np.ones((30, 6)), np.ones((30, 3))
    wrong = y.copy()
    wrong[17, 2] = bad
    model = networks.sequential(WIDTHS, ("tanh", "softplus"))
    model.compile("adam", "poisson")
    before = model.get_weights()
    message = rf"y: .*got {bad:g} at row 17, column 2"
    with pytest.raises(ValueError, match=message):
        model.fit(x, wrong, verbose=0)
    with pytest.raises(ValueError, match=f"validation.*{message}"):
        model.fit(x, y, validation_data=(x, wrong), verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", ["mae", "huber"])
def test_targets_that_are_no_numbers(name: str) -> None:
    y = np.ones((30, 3))
    y[3, 1] = np.nan
    model = networks.sequential(WIDTHS, ("tanh", "linear"))
    model.compile("adam", name)
    with pytest.raises(ValueError, match=r"y: .*nan at row 3"):
        model.fit(np.ones((30, 6)), y, verbose=0)


@pytest.mark.parametrize("name", ["mae", "huber", "poisson"])
def test_weights_of_classes_are_refused(name: str) -> None:
    model = networks.sequential((6, 1), ("softplus",))
    model.compile("adam", name)
    with pytest.raises(ValueError, match="class_weight: rows have no one class"):
        model.fit(np.ones((8, 6)), np.ones(8), class_weight={1: 2.0}, verbose=0)


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf])
def test_delta_is_above_zero(delta: float) -> None:
    with pytest.raises(ValueError, match="delta: expected a finite number above 0"):
        losses.Huber(delta)


def test_one_output_takes_a_vector_of_targets() -> None:
    x = np.random.default_rng(12).normal(size=(40, 4))
    for name in ("mae", "huber", "poisson"):
        model = networks.sequential((4, 1), ("softplus",))
        model.compile("sgd", name)
        y = np.abs(x[:, 0])
        one = model.evaluate(x, y, verbose=0)
        assert one == model.evaluate(x, y[:, None], verbose=0)
        assert isinstance(model.layers[-1], layers.Dense)


def test_a_quantile_for_each_output() -> None:
    """Three outputs that see nothing learn three quantiles; as many outputs as quantiles."""
    y = np.repeat(np.arange(101.0)[:, None], 3, axis=1) / 100
    model = networks.sequential((1, 3), ("linear",), dtype="float64")
    loss = losses.Quantile([0.1, 0.5, 0.9])
    model.compile(optimizers.Adam(0.01), loss)
    x = np.zeros((101, 1))
    model.fit(x, y, batch_size=101, epochs=800, verbose=0)
    np.testing.assert_allclose(model.predict(x[:1])[0], [0.1, 0.5, 0.9], atol=0.02)
    output = model.predict(x)
    want = np.mean([reference.quantile(output[:, [k]], y[:, [k]], quantile=q)[0] for k, q in
                    enumerate((0.1, 0.5, 0.9))])  # fmt: skip
    assert model.evaluate(x, y, verbose=0) == pytest.approx(want, rel=1e-12)
    assert float(loss(y, output)) == pytest.approx(want, rel=1e-12)
    assert model.evaluate(x, y[:, 0], verbose=0) == model.evaluate(x, y[:, :1], verbose=0)
    assert model.evaluate(x, y[:, 0], verbose=0) == model.evaluate(x, y, verbose=0)
    assert float(loss(y[:, 0], output)) == float(loss(y, output))
    model.fit(x, y[:, 0], epochs=1, validation_split=0.2, verbose=0)
    with pytest.raises(ValueError, match=r"y: shape \(101, 2\)"):
        model.fit(x, y[:, :2], verbose=0)
    two = networks.sequential((1, 2), ("linear",))
    with pytest.raises(ValueError, match="quantile: expected 2 numbers"):
        two.compile("sgd", losses.Quantile([0.1, 0.5, 0.9]))
    with pytest.raises(ValueError, match=r"quantile: expected .*1\.0"):
        losses.Quantile([0.5, 1.0])


SMOOTH = ("log_cosh", "msle", "squared_hinge", "tweedie", "gamma", "focal")
SMOOTH += ("focal of classes", "kl_divergence", "cosine_similarity", "gaussian_nll")


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives(name: str) -> None:
    """Of a loss on the tape, against central differences of its gradient."""
    problem = PROBLEMS[name]
    rng = np.random.default_rng(13)
    output = 0.3 + np.abs(rng.normal(size=(5, problem.outputs)))
    y = cases.targets_for(problem.op, 5, 3, rng)
    loss = problem.loss()
    loss.from_logits = True

    def gradient(value: Array) -> Any:
        x = fastnn.constant(value)
        with fastnn.GradientTape() as tape:
            tape.watch(x)
            found = loss(y, x)
        return tape.gradient(found, x)

    x = fastnn.constant(output)
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        with fastnn.GradientTape() as inner:
            inner.watch(x)
            value = loss(y, x)
        size = fastnn.math.reduce_sum(fastnn.math.square(inner.gradient(value, x)))
    numeric = cases.gradient(lambda v: float((gradient(v).numpy() ** 2).sum()), output)
    tolerances.check(outer.gradient(size, x).numpy(), numeric, "central difference", "float64")
