"""Training loops of one's own: losses and metrics that are called, optimizers that step Variables."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import fastnn
from fastnn import layers, losses, metrics, ops, optimizers
from fastnn import math as f

RNG = np.random.default_rng(0)
N, C = 9, 3
Z = RNG.normal(size=(N, C))
LABELS = RNG.integers(0, C, N)
ONE_HOT = np.eye(C)[LABELS]
SOFT = 0.8 * ONE_HOT + 0.2 / C
YES = np.where(RNG.random((N, C)) < 0.2, np.nan, RNG.random((N, C)) < 0.5)
WEIGHTS = RNG.random(N)

LOSSES: dict[str, tuple[losses.Loss, Any, Any]] = {
    "sparse": (losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1), LABELS, Z),
    "categorical": (losses.CategoricalCrossentropy(True, label_smoothing=0.1), SOFT, Z),
    "binary": (losses.BinaryCrossentropy(True, 0.1, pos_weight=[1, 2, 3]), YES, Z),
    "mse": (losses.MeanSquaredError(), SOFT, Z),
    "mae": (losses.MeanAbsoluteError(), SOFT, Z),
    "huber": (losses.Huber(0.5), SOFT, Z),
    "poisson": (losses.Poisson(), SOFT, np.abs(Z) + 0.1),
}


def by_ops(name: str, weights: Any) -> tuple[float, Any]:
    loss, y, z = LOSSES[name]
    if name == "sparse":
        return ops.softmax_cross_entropy(z, y, sample_weight=weights, ignore_class=1)
    if name == "categorical":
        return ops.softmax_cross_entropy(z, y, sample_weight=weights, label_smoothing=0.1)
    if name == "binary":
        return ops.sigmoid_cross_entropy(
            z, y, sample_weight=weights, label_smoothing=0.1, pos_weight=[1, 2, 3]
        )
    options = {"delta": 0.5} if name == "huber" else {}
    return getattr(ops, loss.native)(z, y, sample_weight=weights, **options)  # type: ignore[no-any-return]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_that_of_the_ops(name: str, weighted: bool) -> None:
    loss, y, z = LOSSES[name]
    weights = WEIGHTS if weighted else None
    want, gradient = by_ops(name, weights)
    x = fastnn.Tensor(z)
    with fastnn.GradientTape() as tape:
        tape.watch(x)
        value = loss(y, x, weights)
    assert float(value) == want
    np.testing.assert_array_equal(tape.gradient(value, x).numpy(), gradient)


@pytest.mark.parametrize("name", [n for n in LOSSES if n != "mae"])
def test_second_derivatives_of_losses(name: str) -> None:
    loss, y, z = LOSSES[name]
    along = RNG.normal(size=z.shape)

    def slope(value: Any) -> Any:
        with fastnn.GradientTape() as tape:
            tape.watch(value)
            made = loss(y, value, WEIGHTS)
        return f.reduce_sum(tape.gradient(made, value) * along)

    x = fastnn.Tensor(z)
    with fastnn.GradientTape() as outer:
        outer.watch(x)
        s = slope(x)
    found = outer.gradient(s, x).numpy()
    step = 1e-6 * along[::-1]
    high, low = (float(slope(fastnn.Tensor(z + side * step))) for side in (1, -1))
    assert (found * along[::-1]).sum() == pytest.approx((high - low) / 2e-6, rel=1e-5)


def test_losses_use_the_logits_of_probabilities() -> None:
    """At logits whose probabilities are 0 and 1 in float32, and without from_logits."""
    z = fastnn.constant([[200.0, 0.0], [0.0, 200.0]])
    sparse = losses.SparseCategoricalCrossentropy()
    assert float(sparse([1, 0], f.softmax(z))) == 200
    assert float(losses.BinaryCrossentropy()([[0.0, 1.0]] * 2, f.sigmoid(z))) == pytest.approx(
        (200 + np.log(2) + np.log(2) + 0) / 4
    )
    model = fastnn.Sequential([layers.Dense(2, "softmax", input_shape=(2,))])
    model.set_weights([np.eye(2) * 200, np.zeros(2)])
    assert float(sparse([1, 0], model(np.eye(2)))) == 200
    # A linear head means logits, as in `compile`.
    linear = fastnn.Sequential([layers.Dense(2, input_shape=(2,))])
    linear.set_weights([np.eye(2) * 200, np.zeros(2)])
    assert float(sparse([1, 0], linear(np.eye(2)))) == 200
    assert float(sparse([1, 0], linear.layers[0](np.eye(2)))) == 200


def test_losses_of_plain_numbers_want_probabilities() -> None:
    p = np.array([[0.25, 0.75], [0.5, 0.5]])
    sparse = losses.SparseCategoricalCrossentropy()
    assert float(sparse([0, 1], p)) == pytest.approx(-np.log([0.25, 0.5]).mean())
    # As in Keras: no probability counts as less than 1e-7.
    assert float(sparse([0, 1], [[0.0, 1.0], [0.5, 0.5]])) == pytest.approx(
        -np.log([1e-7, 0.5]).mean(), rel=1e-5
    )
    with pytest.raises(ValueError, match="y_pred: expected probabilities that add up to 1"):
        sparse([0, 1], Z[:2, :2])
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\]; for logits give from_logits"):
        losses.BinaryCrossentropy()([0, 1], [0.5, 1.5])
    with pytest.raises(ValueError, match="comes out of sigmoid, but this loss wants softmax"):
        sparse([0, 1], f.sigmoid(Z[:2, :2]))
    with pytest.raises(ValueError, match="does not fit"):
        losses.MeanSquaredError()([1.0, 2.0, 3.0], [1.0, 2.0])
    assert np.isnan(float(losses.BinaryCrossentropy(True)([np.nan], [0.0])))


# -- optimizers ------------------------------------------------------------------------------------

OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.1),
    "nesterov": lambda: optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "adam": lambda: optimizers.AdamW(0.05),
    "rmsprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "lion": lambda: optimizers.Lion(0.01),
    "amsgrad": lambda: optimizers.Adam(0.05, amsgrad=True),
    "adamax": lambda: optimizers.Adamax(0.05),
    "nadam": lambda: optimizers.Nadam(0.05, weight_decay=0.1),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "adadelta": lambda: optimizers.Adadelta(1.0),
    "clipnorm": lambda: optimizers.SGD(0.1, clipnorm=0.05),
    "clipvalue": lambda: optimizers.Adam(0.1, clipvalue=0.01),
    "global": lambda: optimizers.SGD(0.1, global_clipnorm=0.05),
}


def test_variables_of_an_optimizer() -> None:
    """Iterations and rate, then the slots of what was stepped: copies."""
    w = fastnn.Variable([1.0, 2.0])
    optimizer = optimizers.Adam(0.5)
    assert [v.name for v in optimizer.variables] == ["iterations", "learning_rate"]
    optimizer.apply_gradients([(np.ones(2), w)])
    iterations, rate, m, v = optimizer.variables
    assert (int(iterations.numpy()), float(rate.numpy())) == (1, 0.5)
    np.testing.assert_allclose(m.numpy(), 0.1)
    np.testing.assert_allclose(v.numpy(), 0.001)
    m.assign([5.0, 5.0])
    np.testing.assert_allclose(optimizer.variables[2].numpy(), 0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loop_of_ones_own_is_fit(name: str) -> None:
    """The same weights as train_on_batch, step by step."""
    models = []
    for by_hand in (False, True):
        model = fastnn.Sequential(
            [layers.Dense(5, "tanh", input_shape=(C,)), layers.Dense(C)], dtype="float64", seed=4
        )
        optimizer = OPTIMIZERS[name]()
        optimizer.exclude_from_weight_decay(var_names=["bias"])
        loss = losses.SparseCategoricalCrossentropy()
        model.compile(optimizer, loss)
        for _ in range(5):
            if not by_hand:
                model.train_on_batch(Z, LABELS)
                continue
            with fastnn.GradientTape() as tape:
                value = loss(LABELS, model(Z, training=True))
            grads = tape.gradient(value, model.trainable_variables)
            optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
        assert optimizer.iterations == 5
        models.append(model)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


# -- metrics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
def test_metrics_count_as_evaluate_does(weighted: bool) -> None:
    p = ops.softmax(Z)
    cases: list[tuple[metrics.Metric, Any, Any]] = [
        (metrics.CategoricalAccuracy(), ONE_HOT, p),
        (metrics.SparseCategoricalAccuracy(), LABELS, p),
        (metrics.TopKCategoricalAccuracy(2), ONE_HOT, p),
        (metrics.MeanSquaredError(), ONE_HOT, p),
        (metrics.R2Score(), p + 0.1, p),
        (metrics.RootMeanSquaredError(), ONE_HOT[:, 0], p[:, 0]),
    ]
    w = WEIGHTS if weighted else np.ones(N)
    total = w.sum()
    hit = p.argmax(1) == LABELS
    rank = (p > p[np.arange(N), LABELS][:, None]).sum(1)
    error = ((p - ONE_HOT) ** 2).mean(1)
    error_1 = (p[:, 0] - ONE_HOT[:, 0]) ** 2
    mean = (w @ (p + 0.1)) / total
    r2 = 1 - (w.sum() * 0.01) / (w @ (p + 0.1 - mean) ** 2)
    wants = [
        w @ hit / total,
        w @ hit / total,
        w @ (rank < 2) / total,
        w @ error / total,
        r2.mean(),
        np.sqrt(w @ error_1 / total),
    ]
    for (metric, y, q), want in zip(cases, wants, strict=True):
        for part in (slice(0, 4), slice(4, None)):
            metric.update_state(y[part], q[part], w[part] if weighted else None)
        assert float(metric.result()) == pytest.approx(want, rel=1e-9), metric
        metric.reset_state()
        assert np.isnan(float(metric.result()))


def test_binary_accuracy_of_probabilities_logits_and_missing_labels() -> None:
    p = np.array([[0.2], [0.6], [0.9]])
    assert float(metrics.BinaryAccuracy()([0, 0, 1], p)) == pytest.approx(2 / 3)
    assert float(metrics.BinaryAccuracy(threshold=0.7)([0, 0, 1], p)) == 1
    assert float(metrics.BinaryAccuracy(threshold=0.7)([0, np.nan, 0], p)) == 0.5
    dense = layers.Dense(1)
    dense.build((None, 1))
    dense.set_weights([[[1.0]], [0.0]])
    assert float(metrics.BinaryAccuracy()([0, 1], dense([[-0.2], [0.2]]))) == 1


def test_iris_with_a_loop(rng: Any) -> None:
    """A tutorial's loop reaches a tutorial's accuracy."""
    datasets = pytest.importorskip("sklearn.datasets")
    x, y = datasets.load_iris(return_X_y=True)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    order = rng.permutation(150)
    train, test = order[:100], order[100:]
    t = fastnn.utils.to_categorical(y)
    model = fastnn.Sequential([layers.Dense(10, "relu"), layers.Dense(3, "softmax")], seed=1)
    loss, optimizer = losses.CategoricalCrossentropy(), optimizers.Adam(0.02)
    for _ in range(40):
        for begin in range(0, 100, 32):
            rows = train[begin : begin + 32]
            with fastnn.GradientTape() as tape:
                value = loss(t[rows], model(x[rows], training=True))
            grads = tape.gradient(value, model.trainable_variables)
            optimizer.apply_gradients(zip(grads, model.trainable_variables, strict=True))
    accuracy = metrics.CategoricalAccuracy()
    accuracy.update_state(t[test], model(x[test]))
    assert accuracy.result().numpy() >= 0.9


# -- traps -----------------------------------------------------------------------------------------


def gradient_of(loss: Any, y: Any, p: Any) -> tuple[float, list[Any]]:
    p = fastnn.constant(p)
    with fastnn.GradientTape() as tape:
        tape.watch(p)
        value = loss(y, p)
    return float(value), tape.gradient(value, p).numpy().ravel().tolist()


def test_probabilities_of_0_and_1_have_losses_and_gradients() -> None:
    for loss, y, p in (
        (losses.BinaryCrossentropy(), [0, 1], [0.0, 1.0]),
        (losses.CategoricalCrossentropy(), [[0, 1]], [[0.0, 1.0]]),
        (losses.SparseCategoricalCrossentropy(), [1], [[0.0, 1.0]]),
    ):
        value, found = gradient_of(loss, y, p)
        assert value == pytest.approx(0, abs=1e-6)
        assert np.isfinite(found).all()
    value, found = gradient_of(losses.BinaryCrossentropy(), [1, 0], [0.0, 1.0])
    assert value == pytest.approx(-np.log(1e-7), rel=0.01)  # 1 - 1e-7 is coarse in float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize("shape", [(3,), (2, 2, 3)])
def test_cross_entropies_of_classes_take_rows(shape: tuple[int, ...]) -> None:
    p = np.full(shape, 1 / 3)
    for loss in (
        losses.CategoricalCrossentropy(from_logits=True),
        losses.SparseCategoricalCrossentropy(from_logits=True),
    ):
        with pytest.raises(ValueError, match=r"y_pred: expected shape \(n, classes\)"):
            loss(np.zeros(shape[:-1], int), p)


def test_losses_and_metrics_of_no_rows() -> None:
    none = np.zeros((0, 3))
    assert np.isnan(float(losses.MeanSquaredError()(none, none)))
    metric = metrics.CategoricalAccuracy()
    assert np.isnan(float(metric(none, none)))
    metric.update_state([[0, 1]], [[0.2, 0.8]])
    metric.update_state(none[:, :2], none[:, :2])
    assert float(metric.result()) == 1


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "Huber", "Poisson"])
def test_targets_that_a_tape_watches_have_gradients(name: str) -> None:
    loss = getattr(losses, name)()
    p, t = np.array([[0.5], [2.0]]), np.array([[1.5], [0.25]])
    y = fastnn.constant(t)
    with fastnn.GradientTape() as tape:
        tape.watch(y)
        value = loss(y, p)
    found = tape.gradient(value, y).numpy()
    for i in range(2):
        step = np.zeros_like(t)
        step[i] = 1e-6
        slope = (float(loss(t + step, p)) - float(loss(t - step, p))) / 2e-6
        assert found[i, 0] == pytest.approx(slope, rel=1e-5)


def test_targets_of_cross_entropies_have_no_gradients() -> None:
    t = fastnn.constant([[0.0, 1.0]])
    with fastnn.GradientTape() as tape:
        tape.watch(t)
        with pytest.raises(TypeError, match="y_true: a tape watches it"):
            losses.CategoricalCrossentropy()(t, [[0.5, 0.5]])


def test_binary_crossentropy_is_a_metric_of_probabilities() -> None:
    y, p = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.2, 0.8], [0.4, 0.6]])
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert float(metrics.BinaryCrossentropy()(y, p)) == pytest.approx(expected)


def test_softmax_cross_entropies_are_metrics_of_probabilities() -> None:
    """As the losses of that name: outputs are probabilities unless a layer, or the loss, tells."""
    z = np.array([[0.0, 2.0, 1.0], [1.0, -1.0, 0.5]], np.float32)
    labels, targets = np.array([1, 2]), np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    p = f.softmax(z)
    expected = -np.log(p.numpy()[[0, 1], labels]).mean()
    linear = fastnn.layers.Dense(3, kernel_initializer=lambda *_: np.eye(3))(z)
    for metric, y in (
        (metrics.SparseCategoricalCrossentropy(), labels),
        (metrics.CategoricalCrossentropy(), targets),
    ):
        for outputs in (p, p.numpy(), linear):
            assert float(metric(y, outputs)) == pytest.approx(expected, rel=1e-5)
        with pytest.raises(ValueError, match="expected probabilities that add up to 1"):
            metric.update_state(y, z)
    of_logits = metrics.MeanOf(losses.SparseCategoricalCrossentropy(from_logits=True))
    assert float(of_logits(labels, z)) == pytest.approx(expected, rel=1e-5)
    binary = metrics.MeanOf(losses.BinaryCrossentropy(from_logits=True))
    assert float(binary([[1.0]], [[-5.0]])) == pytest.approx(np.log1p(np.exp(5.0)))


def test_metrics_name_wrong_outputs() -> None:
    with pytest.raises(ValueError, match="y_pred: expected finite numbers, got nan at row 0"):
        metrics.MeanSquaredError()([1.0], [np.nan])
    with pytest.raises(ValueError, match="y_pred: expected rows"):
        metrics.MeanSquaredError()(1.0, 2.0)


def test_dropout_of_a_model_drops_other_numbers_in_each_call() -> None:
    model = fastnn.Sequential(
        [layers.Dropout(0.5, input_shape=(50,)), layers.Dense(1, use_bias=False)], seed=0
    )
    x = fastnn.constant(np.ones((4, 50), np.float32))
    dropped = []
    with fastnn.GradientTape(persistent=True) as tape:
        tape.watch(x)
        ys = [model(x, training=True) for _ in range(3)]
    for y in ys:
        dropped.append(tape.gradient(y, x).numpy() == 0)
    assert (dropped[0] != dropped[1]).any()
    assert (dropped[1] != dropped[2]).any()
    assert model(x).numpy().tolist() == model(x).numpy().tolist()


def test_a_frozen_variable_that_is_watched_has_a_gradient() -> None:
    model = fastnn.Sequential([layers.Dense(3, input_shape=(4,), trainable=False)])
    x = fastnn.constant(np.ones((2, 4), np.float32))
    with fastnn.GradientTape() as tape:
        tape.watch(model.layers[0].kernel)
        y = model(x)
    assert (tape.gradient(y, model.layers[0].kernel).numpy() == 2).all()


def test_noise_on_labels() -> None:
    """Targets of 1.05 are taken, as the trick for GANs makes them; the loss is linear in them."""
    loss = losses.BinaryCrossentropy(from_logits=True)
    z = fastnn.Tensor(RNG.normal(size=(N, 1)))
    noisy = RNG.integers(0, 2, (N, 1)) + 0.05 * RNG.random((N, 1))
    with fastnn.GradientTape() as tape:
        tape.watch(z)
        value = loss(noisy, z, WEIGHTS)
    p = 1 / (1 + np.exp(-z.numpy()))
    by_row = -(noisy * np.log(p) + (1 - noisy) * np.log(1 - p))[:, 0]
    assert float(value) == pytest.approx(np.average(by_row, weights=WEIGHTS))
    wanted = (p - noisy) * WEIGHTS[:, None] / WEIGHTS.sum()
    np.testing.assert_allclose(tape.gradient(value, z).numpy(), wanted, rtol=1e-12)
    for wrong in (noisy + 0.2, noisy - 0.2, 2 * noisy):
        with pytest.raises(ValueError, match=r"expected numbers in \[0, 1\]"):
            loss(wrong, z)


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_each_row(name: str) -> None:
    """`call` gives it, for losses that derive from those of the package."""
    loss, y, z = LOSSES[name]
    found = loss.call(y, fastnn.Tensor(z)).numpy()
    assert found.shape == (N,)
    for i in range(N):
        alone = float(loss(y[i : i + 1], fastnn.Tensor(z[i : i + 1])))
        assert found[i] == pytest.approx(0.0 if np.isnan(alone) else alone)

    class Doubled(type(loss)):  # type: ignore[misc]
        def call(self, y_true: Any, y_pred: Any) -> Any:
            return 2 * super().call(y_true, y_pred)

    if name == "mse":
        assert float(Doubled()(y, z)) == pytest.approx(2 * float(loss(y, z)))


# -- what is found once and not at each step -------------------------------------------------------


def test_options_of_a_loss_act_from_the_next_call_on() -> None:
    loss = losses.CategoricalCrossentropy(from_logits=True)
    plain_loss = float(loss(ONE_HOT, Z))
    loss.label_smoothing = 0.3
    smooth = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3)
    assert float(loss(ONE_HOT, Z)) == float(smooth(ONE_HOT, Z)) != plain_loss
    binary = losses.BinaryCrossentropy(from_logits=True, pos_weight=[1.0, 2.0, 3.0])
    before = float(binary(YES, Z))
    assert binary.pos_weight is not None
    binary.pos_weight[:] = 7.0
    assert float(binary(YES, Z)) != before
    sparse = losses.SparseCategoricalCrossentropy(from_logits=True)
    for wide in (Z, np.hstack([Z, Z])):  # another number of outputs
        with pytest.raises(ValueError, match=f"expected integers in .0, {wide.shape[1]}."):
            sparse(LABELS + wide.shape[1], wide)


def test_variables_of_a_class_follow_its_attributes() -> None:
    class Net(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(3)

        def call(self, inputs: Any) -> Any:
            return self.hidden(inputs)

    def names(model: Any) -> list[str]:
        return [variable.name for variable in model.trainable_variables]

    model: Any = Net()
    assert names(model) == []
    model.scale = fastnn.Variable(1.0, name="scale")
    assert names(model) == ["scale"]
    model(np.ones((1, 2)))
    assert names(model) == names(model) == ["scale", "kernel", "bias"]
    model.more = [fastnn.Variable(1.0, name="first")]
    assert names(model) == ["scale", "first", "kernel", "bias"]
    model.more.append(fastnn.Variable(1.0, name="second"))
    assert names(model) == ["scale", "first", "second", "kernel", "bias"]
    model.more[1] = fastnn.Variable(1.0, name="other")
    assert names(model) == ["scale", "first", "other", "kernel", "bias"]
    model.more[0] = {"one": [model.more[0]]}
    assert names(model) == ["scale", "first", "other", "kernel", "bias"]
    model.more[0]["one"].insert(0, fastnn.Variable(1.0, name="zeroth"))
    assert names(model) == ["scale", "zeroth", "first", "other", "kernel", "bias"]
    model.inner = None
    del model.more
    model.scale = None
    assert names(model) == ["kernel", "bias"]
    model.hidden.trainable = False
    assert names(model) == []
    again = copy.deepcopy(model)
    assert [v.name for v in again.variables] == ["kernel", "bias"]
    assert again.variables[0] is not model.variables[0]
    chain = fastnn.Sequential([layers.Dense(3, input_shape=(2,))])
    assert names(chain) == ["kernel", "bias"]
    chain.add(layers.Dense(2))
    assert names(chain) == ["kernel", "bias"] * 2
    chain.pop()
    assert names(chain) == ["kernel", "bias"]


def test_labels_of_every_kind_of_integer() -> None:
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    want = float(loss(LABELS, Z))
    for kind in ("int8", "uint8", "int16", "int32", "int64", "uint64", "float32", "bool"):
        if kind == "bool":
            want = float(loss((LABELS > 0).astype(int), Z))
        assert float(loss(LABELS.astype(kind), Z)) == want
    for outside in (2**31, -(2**31) - 1, 2**32):
        with pytest.raises(ValueError, match=f"fits in 32 bits, got {outside} at row 2"):
            loss(np.where(np.arange(N) == 2, outside, LABELS), Z)


# -- threads ---------------------------------------------------------------------------------------


def test_passes_in_many_threads() -> None:
    """Each thread's gradients are those of one thread: memory of a pass is one pass's at a time."""
    model = fastnn.Sequential([layers.Dense(16, "tanh", input_shape=(8,)), layers.Dense(3)])
    loss = losses.SparseCategoricalCrossentropy()
    rng = np.random.default_rng(0)
    cases = [(rng.random((n, 8)), rng.integers(0, 3, n)) for n in (1, 5, 32, 100)] * 6

    def grads(case: Any) -> Any:
        found = []
        for _ in range(10):
            with fastnn.GradientTape() as tape:
                value = loss(case[1], model(case[0]))
            found.append([g.numpy() for g in tape.gradient(value, model.trainable_variables)])
        return found

    wanted = [grads(case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        for found, right in zip(pool.map(grads, cases), wanted, strict=True):
            for one, other in zip(found, right, strict=True):
                for g, h in zip(one, other, strict=True):
                    np.testing.assert_array_equal(g, h)
