"""Losses of whole rows, and with several outputs a target: extreme rows, models, metrics, errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray

import fastnn
from fastnn import layers, losses, metrics, ops, optimizers

Array = NDArray[Any]
INF, NAN = np.inf, np.nan


def made(units: int, loss: Any, head: str = "linear", **words: Any) -> fastnn.Sequential:
    model = fastnn.Sequential([layers.Dense(units, head, input_shape=(4,), dtype="float64")])
    model.compile(optimizers.SGD(0.1), loss, **words)
    return model


# -- extreme rows ------------------------------------------------------------------------

HALF = [0.5, 0.5, 0.0]
EXTREME = [
    ("kl_divergence", [1e4, 0, 0], [1, 0, 0], 0.0, [0, 0, 0]),
    ("kl_divergence", [0, 1e4, 0], [1, 0, 0], 1e4, [-1, 1, 0]),
    ("kl_divergence", [0, 0, -INF], HALF, 0.0, [0, 0, 0]),
    ("kl_divergence", [-INF, 0, 0], HALF, INF, [-0.5, 0, 0.5]),
    ("kl_divergence", [NAN, 0, 0], HALF, NAN, [NAN] * 3),
    ("kl_divergence", [0, 0, NAN], HALF, NAN, [NAN] * 3),
    ("categorical_focal_crossentropy", [1e4, 0, 0], [1, 0, 0], 0.0, [0, 0, 0]),
    ("categorical_focal_crossentropy", [0, 1e4, 0], [1, 0, 0], 2500, [-0.25, 0.25, 0]),
    ("categorical_focal_crossentropy", [-INF, 0, 0], [1, 0, 0], INF, [-0.25, 0.125, 0.125]),
    ("categorical_focal_crossentropy", [INF, 0, 0], [1, 0, 0], 0.0, [0, 0, 0]),
    ("categorical_focal_crossentropy", [0, 0, NAN], [1, 0, 0], NAN, [NAN] * 3),
    ("categorical_hinge", [1e4, 0, 0], [1, 0, 0], 0.0, [0, 0, 0]),
    ("categorical_hinge", [0, 1e4, 0], [1, 0, 0], 1e4 + 1, [-1, 1, 0]),
    ("categorical_hinge", [0, 2, 2], [1, 0, 0], 3.0, [-1, 0.5, 0.5]),  # both are the largest
    ("categorical_hinge", [INF, 0, 0], [1, 0, 0], 0.0, [0, 0, 0]),
    ("categorical_hinge", [0, INF, 0], [1, 0, 0], INF, [-1, 1, 0]),
    ("categorical_hinge", [0, 0, NAN], [1, 0, 0], NAN, [NAN] * 3),
    ("categorical_hinge", [NAN, 0, 0], [1, 0, 0], NAN, [NAN] * 3),
    ("cosine_similarity", [3e30, 0, 0], [2, 0, 0], -1.0, [0, 0, 0]),
    ("cosine_similarity", [0, 4e-30, 0], [0, -2, 0], 4e-23, [0, 1e7, 0]),
    ("cosine_similarity", [0, 0, 0], [0, 1, 0], 0.0, [0, -1e7, 0]),
    ("cosine_similarity", [0, 1, 0], [0, 0, 0], 0.0, [0, 0, 0]),
    ("cosine_similarity", [1, 0, 0], [0, 3, 0], 0.0, [0, -1, 0]),
    ("cosine_similarity", [NAN, 0, 0], [1, 0, 0], NAN, [NAN] * 3),
]


@pytest.mark.isa
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("columns", [3, 140])
@pytest.mark.parametrize(("name", "z", "target", "loss", "gradient"), EXTREME, ids=str)
def test_extreme_rows(
    name: str, z: Any, target: Any, loss: float, gradient: Any, columns: int, dtype: str
) -> None:
    """In the middle of other rows, which stay as they are; also among columns that change nothing."""
    softmax = name in ("kl_divergence", "categorical_focal_crossentropy")
    n, fill = 19, -INF if softmax else (-1e5 if name == "categorical_hinge" else 0.0)
    if columns > 3 and softmax and -INF in z and loss == INF:
        pytest.skip("more columns without mass share nothing")
    outputs, targets = np.full((n, columns), fill, dtype), np.zeros((n, columns), dtype)
    outputs[:, :3], targets[:, 0] = [0.0, 1.0, 2.0], 1.0
    plain, slopes = getattr(ops, name)(outputs, targets)
    outputs[7, :3], targets[7, :3] = z, target
    got, found = getattr(ops, name)(outputs, targets)
    want = (plain * (n - 1) + loss) / n
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(found[7, :3] * n, gradient, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(np.delete(found, 7, 0), np.delete(slopes, 7, 0))


def test_a_probability_close_to_1_keeps_the_digits_of_the_rest() -> None:
    """Of p = 1 - 1e-12 the share that is missed is 1e-12, not the rounding of 1 - p."""
    z = np.array([[np.log(1e12), 0.0]])
    for dtype in (np.float32, np.float64):
        loss, gradient = ops.categorical_focal_crossentropy(z.astype(dtype), [0], gamma=0.5)
        missed = 1 / (1 + 1e12)
        assert loss == pytest.approx(0.25 * missed**1.5, rel=1e-5)
        # y missed^gamma (gamma p log(p) / missed - 1) (1 - p), with log(p) / missed = -1
        assert gradient[0, 0] == pytest.approx(-0.25 * 1.5 * missed**1.5, rel=1e-5)


# -- what they are for -------------------------------------------------------------------


def test_labels_are_targets_of_ones() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    weights = [rng.normal(size=(4, 3)), np.zeros(3)]
    trained = []
    for cls, target in (
        (losses.SparseCategoricalFocalCrossentropy, y),
        (losses.CategoricalFocalCrossentropy, np.eye(3)[y]),
    ):
        model = made(3, cls([0.2, 0.3, 0.4], 1.5))
        model.set_weights(weights)
        model.fit(x, target, batch_size=8, epochs=2, shuffle=False, verbose=0)
        trained.append(model.get_weights())
    for a, b in zip(*trained, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)
    ignoring = made(3, losses.SparseCategoricalFocalCrossentropy(ignore_class=-1))
    kept = made(3, losses.SparseCategoricalFocalCrossentropy())
    kept.set_weights(ignoring.get_weights())
    some = np.where(np.arange(40) % 5 == 0, -1, y)
    want = kept.evaluate(x[some >= 0], y[some >= 0], verbose=0)
    assert ignoring.evaluate(x, some, verbose=0) == pytest.approx(want, rel=1e-12)


def test_focal_without_gamma_is_the_cross_entropy() -> None:
    z, y = np.random.default_rng(2).normal(size=(9, 4)), np.arange(9) % 4
    loss, gradient = ops.categorical_focal_crossentropy(z, y, alpha=1.0, gamma=0.0)
    want, slopes = ops.softmax_cross_entropy(z, y)
    assert loss == pytest.approx(want, rel=1e-14)
    np.testing.assert_allclose(gradient, slopes, rtol=1e-12, atol=1e-15)


def test_a_softmax_at_the_end_is_folded() -> None:
    """The same training as with logits, and a divergence of 0 where the targets are met."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(40, 4)), rng.dirichlet(np.ones(3), 40)
    ends = []
    for head in ("linear", "softmax"):
        model = made(3, "kl_divergence", head, metrics=["categorical_crossentropy"])
        model.set_weights([np.ones((4, 3)) * [0, 1, 2], np.zeros(3)])
        history = model.fit(x, y, epochs=3, shuffle=False, verbose=0).history
        entropy = -(y * np.log(y)).sum(axis=1).mean()
        np.testing.assert_allclose(
            history["loss"], np.array(history["categorical_crossentropy"]) - entropy, rtol=1e-9
        )
        ends.append(model.get_weights())
    for a, b in zip(*ends, strict=True):
        np.testing.assert_array_equal(a, b)


def test_mean_and_variance() -> None:
    """Outputs that see nothing learn the mean and the variance of each target."""
    rng = np.random.default_rng(4)
    y = np.stack([rng.normal(3.0, 0.5, 400), rng.normal(-1.0, 2.0, 400)], axis=1)
    model = made(4, losses.GaussianNLL())
    model.compile(optimizers.Adam(0.02), losses.GaussianNLL())
    x = np.zeros((400, 4))
    model.fit(x, y, batch_size=400, epochs=1500, verbose=0)
    found = model.predict(x[:1])[0]
    np.testing.assert_allclose(found[:2], y.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(np.exp(found[2:]), y.var(axis=0), rtol=0.02)
    single = made(2, "gaussian_nll")
    assert single.evaluate(x, y[:, 0], verbose=0) == single.evaluate(x, y[:, :1], verbose=0)


def test_several_quantiles_of_each_target() -> None:
    """Outputs of the first target come first."""
    q = [0.1, 0.5, 0.9]
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 2))
    model = made(6, losses.Quantile(q), metrics=[losses.Quantile(0.5)])
    output = model.predict(x)
    each = [
        reference.quantile(output[:, [3 * t + k]], y[:, [t]], quantile=q[k])[0]
        for t in range(2)
        for k in range(3)
    ]
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(np.mean(each), rel=1e-12)
    assert float(losses.Quantile(q)(y, output)) == pytest.approx(np.mean(each), rel=1e-12)
    before = model.get_weights()
    model.fit(x, y, batch_size=50, verbose=0, shuffle=False)
    again = made(6, losses.Quantile(q))
    again.set_weights(before)
    again.fit(x, np.repeat(y, 3, axis=1), batch_size=50, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


# -- as metrics --------------------------------------------------------------------------


def test_metrics_of_the_same_names() -> None:
    """As Keras has them: the similarity without the loss's sign."""
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(40, 4)), np.eye(3)[rng.integers(0, 3, 40)]
    model = made(
        3,
        "categorical_crossentropy",
        "softmax",
        metrics=["kl_divergence", "cosine_similarity", "categorical_hinge"],
    )
    found = model.evaluate(x, y, return_dict=True, verbose=0)
    p = model.predict(x)
    kl = (y * np.log(np.where(y > 0, 1 / p, 1.0))).sum(axis=1).mean()
    assert found["kl_divergence"] == pytest.approx(kl, rel=1e-5)
    cosine = reference.cosine_similarity(p, y)[0]
    assert found["cosine_similarity"] == pytest.approx(-cosine, rel=1e-6)
    hinge = reference.categorical_hinge(p, y)[0]
    assert found["categorical_hinge"] == pytest.approx(hinge, rel=1e-10)
    assert metrics.CosineSimilarity().more_is_better
    assert not metrics.KLDivergence().more_is_better
    metric = metrics.CosineSimilarity()
    metric.update_state([[0.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]])
    assert float(metric.result()) == pytest.approx(0.5)


# -- what is refused ---------------------------------------------------------------------


def test_options() -> None:
    for options, message in (
        ({"alpha": -1.0}, "alpha: expected a number of at least 0|alpha: .*-1"),
        ({"alpha": [0.1, NAN]}, "alpha: expected a number of at least 0, or one for each class"),
        ({"gamma": -0.5}, r"gamma: .*-0\.5"),
        ({"label_smoothing": 2.0}, r"label_smoothing: .*2\.0"),
    ):
        with pytest.raises(ValueError, match=message):
            losses.CategoricalFocalCrossentropy(**options)
    with pytest.raises(ValueError, match="alpha: expected 3 numbers, one for each class, got 2"):
        made(3, losses.CategoricalFocalCrossentropy([0.1, 0.2]))
    with pytest.raises(ValueError, match="axis: expected -1"):
        losses.CosineSimilarity(axis=0)
    with pytest.raises(ValueError, match="eps: expected a finite number above 0"):
        losses.GaussianNLL(eps=0.0)
    with pytest.raises(ValueError, match="loss gaussian_nll: expected 2 outputs for each target"):
        made(3, "gaussian_nll")


def test_metrics_that_do_not_go_with_pairs() -> None:
    for loss, metric in (("gaussian_nll", "mse"), ("gaussian_nll", "r2_score")):
        with pytest.raises(ValueError, match=f"metrics: '{metric}' has 1 output for each target"):
            made(4, loss, metrics=[metric])
    with pytest.raises(ValueError, match="metrics: 'gaussian_nll' has 2 outputs for each target"):
        made(4, "mse", metrics=["gaussian_nll"])
    made(4, "gaussian_nll", metrics=["gaussian_nll"])


def test_targets_that_do_not_fit() -> None:
    x = np.ones((5, 4))
    with pytest.raises(ValueError, match=r"y: shape \(5, 4\) does not fit outputs"):
        made(4, "gaussian_nll").fit(x, np.ones((5, 4)), verbose=0)
    with pytest.raises(ValueError, match="y: expected rows that add up to 1"):
        made(3, "kl_divergence").fit(x, np.ones((5, 3)), verbose=0)
    with pytest.raises(ValueError, match="y: expected rows that add up to 1"):
        made(3, "categorical_hinge").fit(x, np.ones((5, 3)), verbose=0)
