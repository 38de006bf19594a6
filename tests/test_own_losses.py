"""Functions of (y_true, y_pred) that a program writes, as losses and metrics: shapes that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
f = fastnn.math
N = 60
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(N, 20)).astype(np.float32)
LABELS = np.arange(N) % 3


def fitted(loss: Any, y: Any, outputs: int, rows: int = N, **settings: Any) -> dict[str, Any]:
    model = fastnn.Sequential([layers.Dense(outputs, input_shape=(4,))], seed=3)
    model.compile("sgd", loss, **settings)
    return model.fit(X[:rows], y, epochs=1, batch_size=20, verbose=0).history


def squared(y_true: Any, y_pred: Any) -> Any:
    return f.square(y_true - y_pred)


def mean_squared(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_mean(f.square(y_true - y_pred))


def scaled(y_true: Any, y_pred: Any) -> Any:
    """With what programs for Keras do first."""
    return f.reduce_mean(f.abs(2 * f.cast(y_true, "float32") - f.identity(y_pred)))


def by_log_softmax(y_true: Any, y_pred: Any) -> Any:
    return -f.reduce_mean(y_true * f.log_softmax(y_pred))


def by_method(y_true: Any, y_pred: Any) -> Any:
    return np.mean(np.square(np.subtract(y_true, y_pred)))


class Whole(losses.Loss):
    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        error = f.square(y_true - y_pred)
        return f.reduce_mean(error if sample_weight is None else error * sample_weight)


OWN = (squared, mean_squared, scaled, by_log_softmax, by_method, Whole())


@pytest.mark.parametrize("own", OWN)
@pytest.mark.parametrize(
    ("y", "outputs", "rows", "message"),
    [
        (Y[:, :1], 3, N, r"y_true of shape \(20, 1\) and y_pred of shape \(20, 3\)"),
        (Y[:, :3], 1, N, r"y_true of shape \(20, 3\) and y_pred of shape \(20, 1\)"),
        (Y[:, :2], 3, N, r"y_true of shape \(20, 2\) and y_pred of shape \(20, 3\)"),
        (Y[:, 0], 3, N, r"y_true of shape \(20,\) and y_pred of shape \(20, 3\)"),
        # As many outputs as rows: NumPy would set row i against output i.
        (Y[:20, 0], 20, 20, r"y_true of shape \(20,\) and y_pred of shape \(20, 20\)"),
    ],
)
def test_targets_are_not_repeated_along_outputs(
    own: Any, y: Any, outputs: int, rows: int, message: str
) -> None:
    name = getattr(own, "__name__", "whole")
    with pytest.raises(ValueError, match=rf"loss {name}: .*{message}"):
        fitted(own, y, outputs, rows)
    outputs_given = np.zeros((len(y), outputs), np.float32)
    metric = metrics.functions.FunctionMetric(own, "own")
    with pytest.raises(ValueError, match=r"metrics: own: .*y_true .*y_pred"):
        metric.update_state(y, outputs_given)


def test_weights_are_not_set_against_other_rows() -> None:
    model = fastnn.Sequential([layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", Whole())
    with pytest.raises(ValueError, match=r"loss whole: .*sample_weight of shape \(20,\)"):
        model.fit(X, Y[:, 0], 20, verbose=0, sample_weight=np.ones(N))


@pytest.mark.parametrize("rows", [(), (1, 3), (N - 1, 3)])
def test_a_loss_that_is_called_wants_as_many_rows(rows: tuple[int, ...]) -> None:
    loss = losses.get(squared)
    with pytest.raises(ValueError, match=r"loss squared: expected y_true of 60 rows, .*got shape"):
        loss(np.zeros(rows), Y[:, :3])


def hits(y_true: Any, y_pred: Any) -> Any:
    return f.cast(y_true == f.argmax(y_pred, axis=1), "float32")


def share_of_hits(y_true: Any, y_pred: Any) -> Any:
    return f.reduce_mean(hits(y_true, y_pred))


def numpy_hits(y_true: Any, y_pred: Any) -> Any:
    return np.mean(y_true == np.argmax(y_pred, axis=1))


class Bias(metrics.Metric):
    last = 0.0

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        self.last = float(f.reduce_mean(y_true - y_pred))

    def result(self) -> Any:
        return self.last

    def reset_state(self) -> None: ...


@pytest.mark.parametrize("own", [hits, share_of_hits, numpy_hits])
def test_labels_in_a_column_make_no_matrix(own: Any) -> None:
    loss = "sparse_categorical_crossentropy"
    wanted = fitted(loss, LABELS, 3, metrics=["accuracy"])["accuracy"]
    assert fitted(loss, LABELS, 3, metrics=[own])[own.__name__] == pytest.approx(wanted, abs=1e-6)
    again = fitted(loss, LABELS[:, None], 3, metrics=[own])
    assert again[own.__name__] == pytest.approx(wanted, abs=1e-6)
    with pytest.raises(ValueError, match=r"metrics: bias: .*to \(20, 20\)"):
        fitted("mse", Y[:, 0], 1, metrics=[Bias()])


def one_hot_cross_entropy(y_true: Any, y_pred: Any) -> Any:
    return -f.reduce_sum(f.one_hot(y_true, 3) * f.log_softmax(y_pred), axis=-1)


def test_a_loss_of_labels_by_hand() -> None:
    wanted = fitted("sparse_categorical_crossentropy", LABELS, 3)["loss"]
    assert fitted(one_hot_cross_entropy, LABELS, 3)["loss"] == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(ValueError, match=r"\(20, 1, 3\) and \(20, 3\) to \(20, 20, 3\)"):
        fitted(one_hot_cross_entropy, LABELS[:, None], 3)


def normal(y_true: Any, y_pred: Any) -> Any:
    """The negative log-likelihood of a mean and a log-variance."""
    mean, log_variance = y_pred[:, :1], y_pred[:, 1:]
    return f.square(y_true - mean) / f.exp(log_variance) + log_variance


def pinball(y_true: Any, y_pred: Any) -> Any:
    share = np.array([0.1, 0.5, 0.9], np.float32)
    error = f.broadcast_to(y_true, y_pred.shape) - y_pred
    return f.maximum(share * error, (share - 1) * error)


def by_new_axis(y_true: Any, y_pred: Any) -> Any:
    return f.abs(y_true[:, None] - y_pred)


def pairs(y_true: Any, y_pred: Any) -> Any:
    of_labels, of_outputs = (part - f.transpose(part) for part in (y_true, y_pred))
    return f.reduce_mean(f.square(of_labels - of_outputs))


def covariance(y_true: Any, y_pred: Any) -> Any:
    left, right = (part - f.reduce_mean(part, axis=0) for part in (y_true, y_pred))
    return -f.reduce_mean(left * right)


@pytest.mark.parametrize(
    ("own", "y", "outputs", "rows"),
    [
        (normal, Y[:, :1], 2, N),
        (pinball, Y[:, :1], 3, N),
        (by_new_axis, Y[:, 0], 3, N),
        (pairs, Y[:, 0], 1, N),
        (covariance, Y[:, :3], 3, N),
        (covariance, Y[:20], 20, 20),  # as many outputs as rows
    ],
)
def test_functions_may_broadcast_on_purpose(own: Any, y: Any, outputs: int, rows: int) -> None:
    assert np.isfinite(fitted(own, y, outputs, rows)["loss"]).all()


@pytest.mark.parametrize(
    ("own", "shape"),
    [
        (lambda y, p: f.gather(p, f.cast(y, "int64"), axis=1), r"\(20, 20\)"),
        (lambda y, p: f.matmul(p, np.ones((3, 7), np.float32)) + 0 * y[:, None], r"\(20, 7\)"),
        (lambda y, p: p[:, :, None] + 0 * y[:, None, None], r"\(20, 3, 1\)"),
        (lambda y, p: p[:-1] + 0 * y[:-1, None], r"\(19, 3\)"),
    ],
)
def test_results_of_other_axes_are_refused(own: Any, shape: str) -> None:
    wanted = rf"\(20, ...\) .*got shape {shape} from y_true \(20,\) and y_pred \(20, 3\)"
    with pytest.raises(ValueError, match=f"loss lambda: expected a loss for each row, .*{wanted}"):
        fitted(own, LABELS, 3)
    of_all = shape.replace("20", str(N)).replace("19", str(N - 1))  # rows at once
    with pytest.raises(
        ValueError, match=f"metrics: lambda: expected a number for each row, .*{of_all}"
    ):
        fitted("sparse_categorical_crossentropy", LABELS, 3, metrics=[own])


# -- no targets ------------------------------------------------------------------------------------


def by_none(y_true: Any, y_pred: Any) -> Any:
    """For data without labels."""
    assert y_true is None
    return f.square(y_pred)


def targets_of(model: Any) -> Any:
    count = len(model.outputs)
    return Y[:, :1] if count == 1 else [Y[:, :1]] * count


CALLS: dict[str, Any] = {
    "fit": lambda model: model.fit(X, verbose=0),
    "evaluate": lambda model: model.evaluate(X, verbose=0),
    "train_on_batch": lambda model: model.train_on_batch(X),
    "test_on_batch": lambda model: model.test_on_batch(X),
    "value_and_grad": lambda model: model.value_and_grad(X, None),
    "validation_data": lambda model: model.fit(
        X, targets_of(model), verbose=0, validation_data=(X, None)
    ),
}


@pytest.mark.parametrize("own", [squared, mean_squared, Whole(), "mse"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("several", [False, True])
def test_no_targets(own: Any, call: str, several: bool) -> None:
    model: Any
    if several:
        inputs = fastnn.Input((4,))
        model = fastnn.Model(inputs, [layers.Dense(1)(inputs), layers.Dense(1)(inputs)])
    else:
        model = fastnn.Sequential([layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", own)
    before = model.get_weights()
    doing = "evaluate" if call == "test_on_batch" else call
    with pytest.raises(ValueError, match=rf"^{doing}: expected x and y, got None for y$"):
        CALLS[call](model)
    assert model.optimizer.iterations == 0
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_loss_may_do_without_targets() -> None:
    model = fastnn.Sequential([layers.Dense(1, input_shape=(4,))])
    model.compile("sgd", by_none)
    history = model.fit(X, epochs=3, verbose=0, validation_data=(X, None)).history
    assert history["val_loss"][-1] < history["loss"][0]
    for loss in (losses.get("mse"), losses.get(squared)):
        with pytest.raises(TypeError, match=r"expected numbers, got None$"):
            loss(None, X)


# -- targets that are no finite numbers ------------------------------------------------------------


def masked(y_true: Any, y_pred: Any) -> Any:
    missing = f.is_nan(y_true)
    return f.square(f.where(missing, 0.0, f.where(missing, 0.0, y_true) - y_pred))


class Trusting(fastnn.Sequential):
    def train_step(self, data: Any) -> Any:
        x, y = data
        with fastnn.GradientTape() as tape:
            loss = f.reduce_mean(f.square(y - self(x)))
        grads = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(grads, self.trainable_variables, strict=True))
        return {"loss": loss}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("cls", [fastnn.Sequential, Trusting])
def test_a_divergence_names_the_bad_target(bad: float, cls: Any) -> None:
    y = Y[:, :2].copy()
    y[37, 1] = bad

    def told(targets: Any, seed: int = 1, **given: Any) -> str:
        model = cls([layers.Dense(2, input_shape=(4,))], seed=seed)
        model.compile(fastnn.optimizers.SGD(1e-3), squared)
        with pytest.raises(fastnn.TrainingDiverged) as caught:
            model.fit(X, targets, 7, 2, verbose=0, **given)
        return str(caught.value).split("number: ")[1].split(". ")[0]

    wanted = f"y has {bad} at row 37, column 1"
    assert told(y) == wanted
    good = np.zeros_like(y)
    assert told(good, validation_data=(X, y)) == f"in validation {wanted}"
    # Rows are counted as they are given, whichever part of a split has them.
    found = {told(y, seed, validation_split=0.5) for seed in range(12)}
    assert found == {wanted, f"in validation {wanted}"}


def test_a_divergence_names_the_output_of_the_bad_target() -> None:
    inputs = fastnn.Input((4,))
    outputs = {name: layers.Dense(1, name=name)(inputs) for name in ("a", "b")}
    y = {"a": Y[:, 0], "b": Y[:, 1].copy()}
    y["b"][5] = np.nan
    for form in (dict, list):
        made = outputs if form is dict else list(outputs.values())
        model = fastnn.Model(inputs, made)
        model.compile("sgd", squared)
        name = r"y\['b'\]" if form is dict else r"y\[1\]"
        with pytest.raises(fastnn.TrainingDiverged, match=rf"number: {name} has nan at row 5\."):
            model.fit(X, y if form is dict else list(y.values()), verbose=0)


def test_a_loss_may_mask_targets() -> None:
    y = np.where(Y[:, :2] > 1, np.nan, Y[:, :2])
    assert np.isfinite(fitted(masked, y, 2)["loss"]).all()
    model = fastnn.Sequential([layers.Dense(2, input_shape=(4,))])
    model.compile(fastnn.optimizers.SGD(1e20), masked)
    with pytest.raises(fastnn.TrainingDiverged, match="If it does: try a lower learning_rate"):
        model.fit(X, y, epochs=20, verbose=0)


@pytest.mark.parametrize("axis", [None, -1])
@pytest.mark.parametrize("name", ["dice", "tversky"])
def test_losses_of_overlap(name: str, axis: int | None) -> None:
    """Values by their formulas, gradients by central differences; as a metric that of all rows."""
    rng = np.random.default_rng(5)
    y, p = (rng.random((12, 3)) < 0.4) * 1.0, rng.random((12, 3))
    weights = {} if name == "dice" else {"alpha": 0.3, "beta": 0.9}
    loss = (losses.Dice if name == "dice" else losses.Tversky)(axis=axis, **weights)

    def value(p: Any) -> float:
        found, missed, false = ((part).sum(axis) for part in (y * p, y * (1 - p), (1 - y) * p))
        if name == "dice":
            return float(np.mean(1 - 2 * found / (y.sum(axis) + p.sum(axis) + 1e-7)))
        return float(np.mean(1 - found / (found + 0.3 * missed + 0.9 * false + 1e-7)))

    given = fastnn.constant(p)
    with fastnn.GradientTape() as tape:
        tape.watch(given)
        got = loss(y, given)
    np.testing.assert_allclose(got.numpy(), value(p), rtol=1e-12)
    slopes = np.zeros_like(p)
    for place in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[place] = 1e-6
        slopes[place] = (value(p + step) - value(p - step)) / 2e-6
    np.testing.assert_allclose(tape.gradient(got, given).numpy(), slopes, atol=1e-8)

    x = rng.normal(size=(12, 4))
    model = fastnn.Sequential([fastnn.layers.Dense(3, "sigmoid")], seed=1, dtype="float64")
    model.compile(fastnn.optimizers.SGD(0.5), name if axis is None else loss, metrics=[name])
    with pytest.warns(fastnn.TapeWarning, match="is no mean over rows"):
        history = model.fit(x, y, 5, 30, 0).history
    assert history["loss"][-1] < history["loss"][0]
    whole = losses.get(name)(y, fastnn.constant(model.predict(x)))
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(float(whole))
    if axis is None:
        with pytest.raises(ValueError, match="returns a single number"):
            model.fit(x, y, sample_weight=np.ones(12), verbose=0)
