"""Values and gradients of every loss against PyTorch's formulas, in float64; skipped without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

import fastnn
from fastnn import losses

torch = pytest.importorskip("torch")
F = torch.nn.functional

Array = NDArray[Any]
N, C = 37, 5
RNG = np.random.default_rng(0)
Z = RNG.normal(size=(N, C))
RATES = 0.1 + 3 * RNG.random((N, C))
PAIRS = RNG.normal(size=(N, 2 * C))
NUMBERS = RNG.normal(size=(N, C))
COUNTS = RNG.poisson(2, (N, C)).astype(float)
SIGNS = RNG.choice([-1.0, 1.0], (N, C))
BITS = RNG.integers(0, 2, (N, C)).astype(float)
SOFT = RNG.random((N, C))
LABELS = RNG.integers(0, C, N)
ONE_HOT = np.eye(C)[LABELS]
SHARES = RNG.dirichlet(np.ones(C), N)
WEIGHTS = RNG.random(N)
ALPHA = np.array([0.1, 0.2, 0.3, 0.4, 0.5])


class Peer(NamedTuple):
    """A loss, its targets and outputs, and the same by PyTorch: by element, or by row."""

    make: Callable[[], losses.Loss]
    target: Array
    outputs: Array
    formula: Callable[[Any, Any], Any]


def binary_focal(z: Any, t: Any) -> Any:
    p, cross = torch.sigmoid(z), F.binary_cross_entropy_with_logits(z, t, reduction="none")
    right = p * t + (1 - p) * (1 - t)
    return (0.3 * t + 0.7 * (1 - t)) * cross * (1 - right) ** 1.5


def categorical_focal(z: Any, t: Any) -> Any:
    p, y = F.softmax(z, 1), 0.9 * t + 0.1 / C
    return -(torch.tensor(ALPHA) * (1 - p) ** 1.5 * y * F.log_softmax(z, 1)).sum(1)


def sparse_focal(z: Any, t: Any) -> Any:
    hot = F.one_hot(t, C).double()
    return -(0.7 * (1 - F.softmax(z, 1)) ** 0.5 * hot * F.log_softmax(z, 1)).sum(1)


def gaussian(z: Any, t: Any) -> Any:
    return F.gaussian_nll_loss(
        z[:, :C], t, torch.exp(z[:, C:]), full=True, eps=0.5, reduction="none"
    )


BY_ELEMENT = {
    "mse": Peer(losses.MeanSquaredError, NUMBERS, Z, lambda z, t: (z - t) ** 2),
    "mae": Peer(losses.MeanAbsoluteError, NUMBERS, Z, lambda z, t: (z - t).abs()),
    "mape": Peer(
        losses.MeanAbsolutePercentageError, NUMBERS, Z, lambda z, t: 100 * ((z - t) / t).abs()
    ),
    "msle": Peer(
        losses.MeanSquaredLogarithmicError,
        COUNTS,
        RATES,
        lambda z, t: (torch.log1p(z) - torch.log1p(t.clamp(min=1e-7))) ** 2,
    ),
    "huber": Peer(
        lambda: losses.Huber(0.7),
        NUMBERS,
        Z,
        lambda z, t: F.huber_loss(z, t, reduction="none", delta=0.7),
    ),
    "log_cosh": Peer(losses.LogCosh, NUMBERS, Z, lambda z, t: torch.log(torch.cosh(z - t))),
    "quantile": Peer(
        lambda: losses.Quantile(0.8),
        NUMBERS,
        Z,
        lambda z, t: torch.maximum(0.8 * (t - z), -0.2 * (t - z)),
    ),
    "hinge": Peer(losses.Hinge, SIGNS, Z, lambda z, t: F.relu(1 - t * z)),
    "squared_hinge": Peer(losses.SquaredHinge, SIGNS, Z, lambda z, t: F.relu(1 - t * z) ** 2),
    "poisson": Peer(
        losses.Poisson,
        COUNTS,
        RATES,
        lambda z, t: F.poisson_nll_loss(z, t, log_input=False, eps=1e-7, reduction="none"),
    ),
    "tweedie": Peer(
        lambda: losses.Tweedie(1.3),
        COUNTS,
        RATES,
        lambda z, t: (z + 1e-7) ** 0.7 / 0.7 + t * (z + 1e-7) ** -0.3 / 0.3,
    ),
    "gamma": Peer(
        losses.Gamma, COUNTS + 0.5, RATES, lambda z, t: torch.log(z + 1e-7) + t / (z + 1e-7)
    ),
    "gaussian_nll": Peer(lambda: losses.GaussianNLL(True, 0.5), NUMBERS, PAIRS, gaussian),
    "binary": Peer(
        lambda: losses.BinaryCrossentropy(True, pos_weight=[1, 2, 3, 4, 5]),
        SOFT,
        Z,
        lambda z, t: F.binary_cross_entropy_with_logits(
            z, t, reduction="none", pos_weight=torch.tensor([1.0, 2, 3, 4, 5]).double()
        ),
    ),
    "binary focal": Peer(
        lambda: losses.BinaryFocalCrossentropy(True, 0.3, 1.5, from_logits=True),
        BITS,
        Z,
        binary_focal,
    ),
}
BY_ROW = {
    "sparse": Peer(
        lambda: losses.SparseCategoricalCrossentropy(True),
        LABELS,
        Z,
        lambda z, t: F.cross_entropy(z, t, reduction="none"),
    ),
    "smoothed": Peer(
        lambda: losses.CategoricalCrossentropy(True, 0.2),
        ONE_HOT,
        Z,
        lambda z, t: F.cross_entropy(z, t, reduction="none", label_smoothing=0.2),
    ),
    "categorical focal": Peer(
        lambda: losses.CategoricalFocalCrossentropy(ALPHA, 1.5, True, 0.1),
        ONE_HOT,
        Z,
        categorical_focal,
    ),
    "sparse focal": Peer(
        lambda: losses.SparseCategoricalFocalCrossentropy(0.7, 0.5, True), LABELS, Z, sparse_focal
    ),
    "kl": Peer(
        lambda: losses.KLDivergence(from_logits=True),
        SHARES,
        Z,
        lambda z, t: F.kl_div(F.log_softmax(z, 1), t, reduction="none").sum(1),
    ),
    "cosine": Peer(
        losses.CosineSimilarity, NUMBERS, Z, lambda z, t: -F.cosine_similarity(z, t, dim=1)
    ),
    "categorical hinge": Peer(
        losses.CategoricalHinge,
        ONE_HOT,
        Z,
        lambda z, t: F.relu(1 + ((1 - t) * z).max(1).values - (t * z).sum(1)),
    ),
}


def ours(loss: losses.Loss, y: Array, outputs: Array, weight: Array | None) -> tuple[Array, Array]:
    z = fastnn.constant(outputs)
    with fastnn.GradientTape() as tape:
        tape.watch(z)
        value = loss(y, z, sample_weight=weight)
    return np.asarray(value), np.asarray(tape.gradient(value, z))


def theirs(formula: Callable[[Any], Any], outputs: Array) -> tuple[Array, Array]:
    z = torch.tensor(outputs, requires_grad=True)
    value = formula(z)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach().numpy(), gradient.numpy()


def same(got: tuple[Array, Array], want: tuple[Array, Array]) -> None:
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-9, atol=1e-12)


def reductions(peer: Peer, by_row: Callable[[Any], Any]) -> None:
    """Means, sums and the losses of rows, with weights of rows and without."""
    for weight in (None, WEIGHTS):
        w = torch.tensor(np.ones(N) if weight is None else weight)
        for reduction, reduced in (
            ("sum_over_batch_size", lambda x, w=w: x.sum() / w.sum()),
            ("mean", lambda x, w=w: x.sum() / w.sum()),
            ("mean_with_sample_weight", lambda x, w=w: x.sum() / w.sum()),
            ("sum", lambda x: x.sum()),
            ("none", lambda x: x),
        ):
            loss = peer.make()
            loss.reduction = reduction
            got = ours(loss, peer.target, peer.outputs, weight)
            same(got, theirs(lambda z, r=reduced, w=w: r(by_row(z) * w), peer.outputs))


@pytest.mark.parametrize("name", BY_ELEMENT)
def test_by_element(name: str) -> None:
    peer = BY_ELEMENT[name]
    t = torch.tensor(peer.target)
    reductions(peer, lambda z: peer.formula(z, t).mean(1))
    of_elements = RNG.random((N, C))
    w = torch.tensor(of_elements)
    got = ours(peer.make(), peer.target, peer.outputs, of_elements)
    same(got, theirs(lambda z: (peer.formula(z, t) * w).sum() / w.sum(), peer.outputs))


@pytest.mark.parametrize("name", BY_ELEMENT)
def test_missing_targets(name: str) -> None:
    peer = BY_ELEMENT[name]
    loss, t = peer.make(), torch.tensor(peer.target)
    if loss.row.targets != "unit_or_missing":
        loss.ignore_nan = True
    holes = RNG.random((N, C)) < 0.3
    y = np.where(holes, np.nan, peer.target)
    for weight in (None, WEIGHTS):
        full = np.where(holes, 0.0, (np.ones(N) if weight is None else weight)[:, None])
        w = torch.tensor(full)
        got = ours(loss, y, peer.outputs, weight)
        same(got, theirs(lambda z, w=w: (peer.formula(z, t) * w).sum() / w.sum(), peer.outputs))


@pytest.mark.parametrize("name", BY_ROW)
def test_by_row(name: str) -> None:
    peer = BY_ROW[name]
    t = torch.tensor(peer.target)
    reductions(peer, lambda z: peer.formula(z, t))


def overlap(p: Any, t: Any, missed: float, false: float) -> Any:
    """1 - tp / (tp + missed fn + false fp), over all numbers."""
    tp = (t * p).sum()
    below = tp + missed * (t * (1 - p)).sum() + false * ((1 - t) * p).sum() + 1e-7
    return 1 - tp / below


def dice(p: Any, t: Any) -> Any:
    return 1 - 2 * (t * p).sum() / (t.sum() + p.sum() + 1e-7)


OF_BATCH = {
    "dice": Peer(losses.Dice, BITS, SOFT, dice),
    "tversky": Peer(
        lambda: losses.Tversky(0.2, 0.7), BITS, SOFT, lambda p, t: overlap(p, t, 0.2, 0.7)
    ),
}


@pytest.mark.parametrize("name", OF_BATCH)
def test_of_a_batch(name: str) -> None:
    peer = OF_BATCH[name]
    t = torch.tensor(peer.target)
    got = ours(peer.make(), peer.target, peer.outputs, None)
    same(got, theirs(lambda p: peer.formula(p, t), peer.outputs))


def test_every_loss_is_compared() -> None:
    peers = (*BY_ELEMENT.values(), *BY_ROW.values(), *OF_BATCH.values())
    compared = {type(peer.make()) for peer in peers}
    own = {cls for cls in losses.LOSSES.classes.values() if cls.__module__.startswith("fastnn.")}
    assert own == compared
