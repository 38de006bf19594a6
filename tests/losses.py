"""The table of losses for test_losses.py; a new loss is one line of LOSSES.

The defaults of `Loss` fit a loss of predictions and targets of one shape: the mean over outputs,
then the weighted mean over rows. Expected values come from reference.py; here are only those of
extreme numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import reference
from numpy.typing import ArrayLike, NDArray

from fastnn import ops

Array = NDArray[Any]
Generator = np.random.Generator
Given = tuple[Array, dict[str, Any]]

INF, NAN = np.inf, np.nan


class Extreme(NamedTuple):
    """One prediction and its target; the loss and the gradient of this element alone."""

    pred: float
    target: float
    loss: float
    gradient: float


class Bad(NamedTuple):
    """An input that the op must refuse, and a pattern of its message."""

    pred: ArrayLike
    target: ArrayLike
    options: Mapping[str, Any]
    message: str
    error: type[Exception] = ValueError


# -- predictions, targets and options --------------------------------------------


def normal(rng: Generator, shape: Sequence[int], scale: float) -> Array:
    """Of size 1e4 at most, as far as losses have to be accurate."""
    return np.clip(scale * rng.normal(size=shape), -1e4, 1e4)


def positive(rng: Generator, shape: Sequence[int], scale: float) -> Array:
    return 0.5 + np.abs(normal(rng, shape, scale))


def numbers(rng: Generator, n: int, o: int) -> Array:
    return rng.normal(size=(n, o))


def counts(rng: Generator, n: int, o: int) -> Array:
    return rng.poisson(2.0, (n, o)).astype(float)


def classes(rng: Generator, n: int, c: int) -> Array:
    return rng.integers(0, c, n)


def probabilities(rng: Generator, n: int, c: int) -> Array:
    return rng.dirichlet(np.ones(c), n)


def zeros_and_ones(rng: Generator, n: int, o: int) -> Array:
    return rng.integers(0, 2, (n, o))


def some_missing(rng: Generator, n: int, o: int) -> Array:
    t = rng.integers(0, 2, (n, o)).astype(float)
    t[rng.random((n, o)) < 0.3] = NAN
    return t


class Variant(NamedTuple):
    """Targets of n rows and o outputs, and options; an option that is a function is drawn, too."""

    targets: Callable[[Generator, int, int], Array]
    options: Mapping[str, Any] = {}

    def draw(self, rng: Generator, n: int, o: int) -> Given:
        options = {k: v(rng, n, o) if callable(v) else v for k, v in self.options.items()}
        return self.targets(rng, n, o), options


def _weights(rng: Generator, n: int, _o: int) -> Array:
    return rng.random(n)


def _whole_weights(rng: Generator, n: int, _o: int) -> Array:
    return rng.integers(0, 3, n)


def _pos_weight(rng: Generator, _n: int, o: int) -> Array:
    return 5 * rng.random(o)


def variants(targets: Callable[[Generator, int, int], Array], **options: Any) -> dict[str, Variant]:
    """Plain, weighted and, for a loss that has options, weighted with them."""
    result = {"plain": Variant(targets), "weighted": Variant(targets, {"sample_weight": _weights})}
    if options:
        result["options"] = Variant(targets, {"sample_weight": _weights, **options})
    return result


SOFTMAX = {
    "labels": Variant(classes),
    "weighted": Variant(classes, {"sample_weight": _weights}),
    "smoothed": Variant(classes, {"label_smoothing": 0.1}),
    "ignoring": Variant(classes, {"ignore_class": lambda _rng, _n, c: c // 2}),
    "probabilities": Variant(probabilities),
    "everything": Variant(
        classes, {"sample_weight": _weights, "label_smoothing": 0.3, "ignore_class": 0}
    ),
    "smoothed probabilities": Variant(probabilities, {"label_smoothing": 0.1}),
    "weighted and smoothed probabilities": Variant(
        probabilities, {"label_smoothing": 0.2, "sample_weight": _whole_weights}
    ),
}

SIGMOID = {
    "labels": Variant(zeros_and_ones),
    "soft": Variant(lambda rng, n, o: rng.random((n, o))),
    "missing": Variant(some_missing),
    "weighted": Variant(zeros_and_ones, {"sample_weight": _weights}),
    "smoothed": Variant(zeros_and_ones, {"label_smoothing": 0.1}),
    "pos_weight": Variant(lambda rng, n, o: rng.random((n, o)), {"pos_weight": _pos_weight}),
    "one pos_weight": Variant(zeros_and_ones, {"pos_weight": 2.5}),
    "missing, pos_weight": Variant(some_missing, {"pos_weight": _pos_weight}),
    "everything": Variant(
        some_missing,
        {"sample_weight": _weights, "label_smoothing": 0.3, "pos_weight": _pos_weight},
    ),
}

# -- extreme numbers -------------------------------------------------------------

# Predictions are logits; NaN targets are missing.
SIGMOID_EXTREME = (
    Extreme(1e4, 1, 0, 0),
    Extreme(1e4, 0, 1e4, 1),
    Extreme(-1e4, 1, 1e4, -1),
    Extreme(-1e4, 0, 0, 0),
    Extreme(1e4, 0.5, 5e3, 0.5),
    Extreme(100, 1, 0, 0),
    Extreme(INF, 1, 0, 0),
    Extreme(INF, 0, INF, 1),
    Extreme(-INF, 0, 0, 0),
    Extreme(-INF, 1, INF, -1),
    Extreme(INF, NAN, 0, 0),
    Extreme(NAN, 1, NAN, NAN),
    Extreme(NAN, 0, NAN, NAN),
    Extreme(3e38, 1, 0, 0),
)

SQUARES_EXTREME = (
    Extreme(1e4, -1e4, 4e8, 4e4),
    Extreme(INF, 0, INF, INF),
    Extreme(0, INF, INF, -INF),
    Extreme(NAN, 0, NAN, NAN),
    Extreme(0, NAN, NAN, NAN),
    Extreme(INF, INF, NAN, NAN),
    Extreme(1e-30, 0, 0, 2e-30),
)

ABSOLUTE_EXTREME = (
    Extreme(1e4, -1e4, 2e4, 1),
    Extreme(-3e38, 0, 3e38, -1),
    Extreme(1e-30, 0, 1e-30, 1),
    Extreme(0, 0, 0, 0),
    Extreme(-0.0, 0.0, 0, 0),
    Extreme(INF, 0, INF, 1),
    Extreme(0, INF, INF, -1),
    Extreme(NAN, 0, NAN, NAN),
    Extreme(0, NAN, NAN, NAN),
    Extreme(INF, INF, NAN, NAN),
)

# A square up to 1, and a line beyond it, where the square may overflow.
HUBER_EXTREME = (
    Extreme(1, 0, 0.5, 1),
    Extreme(-0.5, 0, 0.125, -0.5),
    Extreme(0, 3, 2.5, -1),
    Extreme(1e4, -1e4, 2e4 - 0.5, 1),
    Extreme(-3e38, 0, 3e38, -1),
    Extreme(1e-30, 0, 0, 1e-30),
    Extreme(INF, 0, INF, 1),
    Extreme(0, INF, INF, -1),
    Extreme(NAN, 0, NAN, NAN),
    Extreme(0, NAN, NAN, NAN),
    Extreme(INF, INF, NAN, NAN),
)

# Targets of 0 contribute nothing, even where the logarithm is infinite.
POISSON_EXTREME = (
    Extreme(0, 0, 0, 1),
    Extreme(0, 1, 7 * np.log(10), 1 - 1e7),
    Extreme(1e4, 3, 1e4 - 12 * np.log(10), 1 - 3e-4),
    Extreme(3e38, 0, 3e38, 1),
    Extreme(INF, 0, INF, 1),
    Extreme(-1, 0, -1, 1),
    Extreme(-1, 1, NAN, 2),
    Extreme(NAN, 0, NAN, NAN),
    Extreme(NAN, 1, NAN, NAN),
)

# -- bad input -------------------------------------------------------------------

Z = np.zeros((4, 3))
WEIGHTS_BAD = {
    "weights of another length": ({"sample_weight": np.ones(3)}, r"weight.*3"),
    "negative weight": ({"sample_weight": [1, 1, -2, 1]}, r"weight.*-2.*row 2"),
    "NaN weight": ({"sample_weight": [1, NAN, 2, 1]}, r"weight.*nan.*row 1"),
}


def weights_bad(target: ArrayLike) -> dict[str, Bad]:
    return {name: Bad(Z, target, *bad) for name, bad in WEIGHTS_BAD.items()}


SMOOTHING_BAD = {
    "smoothing over 1": ({"label_smoothing": 1.5}, r"label_smoothing.*1\.5"),
    "smoothing negative": ({"label_smoothing": -0.1}, r"label_smoothing.*-0\.1"),
}

NUMBERS_BAD = {
    "another shape": Bad(Z, np.zeros((4, 2)), {}, r"target.*\(4, 2\).*\(4, 3\)|\(4, 3\).*\(4, 2\)"),
    "never broadcast": Bad(Z, np.zeros((4, 1)), {}, r"\(4, 1\)"),
    "never broadcast a row": Bad(np.zeros((4, 1)), np.zeros((1, 4)), {}, r"\(1, 4\)"),
    "never broadcast a vector": Bad(Z, np.zeros(4), {}, r"\(4,\)"),
    "a square against a vector of rows": Bad(np.zeros((4, 4)), np.zeros(4), {}, r"\(4,\)"),
    **weights_bad(Z),
}

HUBER_BAD = {
    **NUMBERS_BAD,
    "delta 0": Bad(Z, Z, {"delta": 0.0}, r"delta.*above 0.*0\.0"),
    "delta negative": Bad(Z, Z, {"delta": -1.0}, r"delta.*-1"),
    "delta NaN": Bad(Z, Z, {"delta": NAN}, "delta.*nan"),
    "delta infinite": Bad(Z, Z, {"delta": INF}, "delta.*inf"),
    "delta a word": Bad(Z, Z, {"delta": "1"}, "delta.*number.*'1'", TypeError),
}

POISSON_BAD = {
    **NUMBERS_BAD,
    "target negative": Bad(Z, Z - np.eye(4, 3)[::-1], {}, r"target.*-1.*row 1"),
    "infinite target": Bad(Z, Z + INF, {}, r"target.*inf.*row 0"),
    "NaN target": Bad(Z, Z + NAN, {}, r"target.*nan.*row 0"),
}

SOFTMAX_BAD = {
    "label too large": Bad(Z, [0, 1, 3, 0], {}, r"label.*\b3\b.*row 2"),
    "label negative": Bad(Z, [0, -1, 0, 0], {}, r"label.*-1.*row 1"),
    "too few labels": Bad(Z, [0, 1, 2], {}, r"label.*3.*4|label.*4.*3"),
    "labels in a column": Bad(Z, np.zeros((4, 1)), {}, r"label.*\(4, 1\)"),
    "fractional labels": Bad(
        Z, [0.5, 1, 0, 0], {}, r"labels: expected integers.*float64", TypeError
    ),
    "too many classes": Bad(Z, np.ones((4, 5)), {}, r"label.*5"),
    "negative probability": Bad(Z, [[1, 0, 0]] * 3 + [[-1, 1, 1]], {}, r"label.*-1.*row 3"),
    "NaN probability": Bad(Z, [[1, 0, 0]] * 3 + [[NAN, 1, 1]], {}, r"label.*nan.*row 3"),
    "logits of one dimension": Bad(np.zeros(3), [0], {}, r"logits.*\(3,\)"),
    "no classes": Bad(np.zeros((2, 0)), [0, 0], {}, r"logits.*\(2, 0\)|class"),
    **weights_bad([0] * 4),
    **{name: Bad(Z, [0] * 4, *bad) for name, bad in SMOOTHING_BAD.items()},
}

SIGMOID_BAD = {
    **NUMBERS_BAD,
    "target over 1": Bad(Z, Z + np.array([0, 0, 2]), {}, r"target.*\b2\b.*row 0"),
    "target negative": Bad(Z, Z - np.eye(4, 3)[::-1], {}, r"target.*-1.*row 1"),
    "infinite target": Bad(Z, Z + INF, {}, r"target.*inf.*row 0"),
    "pos_weight of another length": Bad(Z, Z, {"pos_weight": np.ones(2)}, r"pos_weight.*2"),
    "pos_weight negative": Bad(Z, Z, {"pos_weight": -np.ones(3)}, r"pos_weight.*-1"),
    **{name: Bad(Z, Z, *bad) for name, bad in SMOOTHING_BAD.items()},
}

# -- the table -------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """An op of `fastnn.ops`, and its oracle of the same name in reference.py."""

    variants: Mapping[str, Variant]
    pred: Callable[[Generator, Sequence[int], float], Array] = normal
    extreme: Sequence[Extreme] = ()
    bad: Mapping[str, Bad] = field(default_factory=lambda: NUMBERS_BAD)
    # Targets of two rows, and options by which no row counts.
    nothing: Mapping[str, Given] = field(default_factory=dict)
    least: int = 0  # the least whole number that is a target
    # Types of targets `least` and `least` + 1; all give the same bits.
    kinds: Sequence[str] = ("float64", "float32", "float16", "int64", "uint8", "bool")
    by_row: bool = False  # one loss for each row, not for each element
    missing: bool = False  # NaN targets have no weight
    plain: tuple[float, float] = (0.0, 0.0)  # prediction and target of elements beside extreme ones
    kinks: Sequence[float] = ()  # values of pred - target where the gradient is not smooth
    # Of predictions, targets and options: the sizes of the terms that are added up to a loss, and
    # to the gradient of an element of weight 1. None: the gradient has one term, itself.
    loss_terms: Callable[[Array, Array, Mapping[str, Any]], ArrayLike] = lambda _p, _t, _o: 1.0
    gradient_terms: Callable[[Array, Array, Mapping[str, Any]], ArrayLike] | None = None


LOSSES = {
    "softmax_cross_entropy": Loss(
        SOFTMAX,
        bad=SOFTMAX_BAD,
        nothing={
            "all ignored": (np.array([1, 1]), {"ignore_class": 1}),
            "ignored or no weight": (
                np.array([1, 0]),
                {"ignore_class": 1, "sample_weight": np.array([1.0, 0.0])},
            ),
        },
        kinds=("int64", "int8", "uint8", "int16", "int32", "uint64", "bool"),
        by_row=True,
        loss_terms=lambda z, _t, _o: np.abs(z[np.isfinite(z)]).max(initial=1.0),
        gradient_terms=lambda _z, _t, _o: 1.0,
    ),
    "sigmoid_cross_entropy": Loss(
        SIGMOID,
        extreme=SIGMOID_EXTREME,
        bad=SIGMOID_BAD,
        nothing={
            "all missing": (np.full((2, 3), NAN), {}),
            "missing or no weight": (
                np.array([[NAN] * 3, [1.0] * 3]),
                {"sample_weight": np.array([1.0, 0.0])},
            ),
        },
        missing=True,
        plain=(0.0, 1.0),
        gradient_terms=lambda _z, _t, o: np.maximum(1.0, o.get("pos_weight", 1.0)),
    ),
    "mean_squared_error": Loss(variants(numbers), extreme=SQUARES_EXTREME),
    "mean_absolute_error": Loss(variants(numbers), extreme=ABSOLUTE_EXTREME, kinks=(0.0,)),
    "huber": Loss(
        variants(numbers, delta=0.7),
        extreme=HUBER_EXTREME,
        bad=HUBER_BAD,
        kinks=(-1.0, -0.7, 0.7, 1.0),
    ),
    "poisson": Loss(
        variants(counts),
        pred=positive,
        extreme=POISSON_EXTREME,
        bad=POISSON_BAD,
        plain=(2.0, 1.0),
        loss_terms=lambda p, t, _o: (p + t * np.abs(np.log(p))).max(),
        gradient_terms=lambda p, t, _o: 1 + t / p,
    ),
}


LOSSES |= {
    "quantile": Loss(
        variants(numbers, quantile=0.8),
        extreme=(
            Extreme(1e4, -1e4, 1e4, 0.5),
            Extreme(0, 0, 0, 0),
            Extreme(0, 3, 1.5, -0.5),
            Extreme(INF, 0, INF, 0.5),
            Extreme(0, INF, INF, -0.5),
            Extreme(NAN, 0, NAN, NAN),
            Extreme(0, NAN, NAN, NAN),
        ),
        bad={**NUMBERS_BAD, "quantile 1": Bad(Z, Z, {"quantile": 1.0}, r"quantile.*1\.0")},
        kinks=(0.0,),
    ),
    "log_cosh": Loss(
        variants(numbers),
        extreme=(
            Extreme(1e4, -1e4, 2e4 - np.log(2), 1),
            Extreme(0, 0, 0, 0),
            Extreme(1e-3, 0, 5e-7, 1e-3),
            Extreme(-3e38, 0, 3e38, -1),
            Extreme(INF, 0, INF, 1),
            Extreme(NAN, 0, NAN, NAN),
            Extreme(0, NAN, NAN, NAN),
        ),
    ),
    "mean_squared_logarithmic_error": Loss(
        variants(counts),
        pred=positive,
        extreme=(
            Extreme(-1, 0, 0, 0),
            Extreme(INF, 0, INF, NAN),
            Extreme(NAN, 0, NAN, NAN),
        ),
        bad=POISSON_BAD,
        plain=(2.0, 1.0),
        loss_terms=lambda p, t, _o: (np.log1p(p) + np.log1p(t)).max() ** 2,
        gradient_terms=lambda p, t, _o: 2 * (np.log1p(p) + np.log1p(t)) / (1 + p),
    ),
    "mean_absolute_percentage_error": Loss(
        variants(lambda rng, n, o: rng.choice([-1, 1], (n, o)) * (1 + rng.random((n, o)))),
        extreme=(
            Extreme(1, 2, 50, -50),
            Extreme(0, 0, 0, 0),
            Extreme(INF, 1, INF, 100),
            Extreme(NAN, 0, NAN, NAN),
            Extreme(0, NAN, NAN, NAN),
        ),
        plain=(1.0, 1.0),
        loss_terms=lambda p, t, _o: 100 * (1 + np.abs(p / np.where(t == 0, 1, t)).max()),
        kinks=(0.0,),
    ),
    **{
        name: Loss(
            {
                **variants(lambda rng, n, o: rng.choice([-1.0, 1.0], (n, o))),
                "zeros": Variant(zeros_and_ones),
            },
            extreme=(
                Extreme(1, 1, 0, 0),
                Extreme(INF, 1, 0, 0),
                Extreme(-INF, 0, 0, 0),
                Extreme(NAN, 1, NAN, NAN),
                Extreme(-1, 1, 2 * far, -1 * slope),
                Extreme(1, 0, 2 * far, 1 * slope),
            ),
            bad={
                **NUMBERS_BAD,
                "no sign": Bad(Z, Z + 2, {}, r"target: expected 1 for yes.*got 2 at row 0"),
                "two words for no": Bad(Z, -np.eye(4, 3), {}, r"target.*not both.*row 0"),
                "NaN target": Bad(Z, Z + NAN, {}, r"target.*nan.*row 0"),
            },
            loss_terms=lambda p, _t, _o: (1 + np.abs(p).max()) ** 2,
            gradient_terms=lambda p, _t, _o: 2 * (1 + np.abs(p)),
        )
        for name, far, slope in (("hinge", 1, 1), ("squared_hinge", 2, 4))
    },
    "tweedie": Loss(
        variants(counts, power=1.2),
        pred=positive,
        extreme=(
            Extreme(-1, 1, NAN, NAN),
            Extreme(NAN, 0, NAN, NAN),
            Extreme(NAN, 1, NAN, NAN),
        ),
        bad={**POISSON_BAD, "power 2": Bad(Z, Z, {"power": 2.0}, r"power.*2\.0")},
        plain=(2.0, 1.0),
        loss_terms=lambda p, t, _o: 10 * (1 + p + t).max(),
        gradient_terms=lambda p, t, _o: 10 * (1 + t / p),
    ),
    "gamma": Loss(
        variants(lambda rng, n, o: 0.1 + rng.gamma(2.0, size=(n, o))),
        pred=positive,
        extreme=(Extreme(-1, 1, NAN, -2), Extreme(NAN, 1, NAN, NAN)),
        bad={**NUMBERS_BAD, "target 0": Bad(Z + 1, Z, {}, r"target.*above 0, got 0 at row 0")},
        kinds=("float64", "float32", "float16", "int64", "uint8"),
        least=1,
        plain=(2.0, 1.0),
        loss_terms=lambda p, t, _o: (np.abs(np.log(p)) + t / p).max(),
        gradient_terms=lambda p, t, _o: 1 / p + t / p**2,
    ),
    "binary_focal_crossentropy": Loss(
        {
            "labels": Variant(zeros_and_ones),
            "soft": Variant(lambda rng, n, o: rng.random((n, o))),
            "missing": Variant(some_missing),
            "everything": Variant(
                some_missing,
                {
                    "sample_weight": _weights,
                    "label_smoothing": 0.3,
                    "gamma": 1.5,
                    "alpha": 0.3,
                    "apply_class_balancing": True,
                },
            ),
            "no gamma": Variant(zeros_and_ones, {"gamma": 0.0}),
        },
        extreme=(
            Extreme(1e4, 1, 0, 0),
            Extreme(1e4, 0, 1e4, 1),
            Extreme(-1e4, 1, 1e4, -1),
            Extreme(-1e4, 0, 0, 0),
            Extreme(INF, 1, 0, 0),
            Extreme(INF, 0, INF, 1),
            Extreme(-INF, 1, INF, -1),
            Extreme(NAN, 1, NAN, NAN),
            Extreme(INF, NAN, 0, 0),
        ),
        bad={
            "target over 1": Bad(Z, Z + 2, {}, r"target.*\b2\b.*row 0"),
            "gamma negative": Bad(Z, Z, {"gamma": -1.0}, r"gamma.*-1"),
            "alpha over 1": Bad(Z, Z, {"alpha": 1.5}, r"alpha.*1\.5"),
        },
        missing=True,
        plain=(0.0, 1.0),
        loss_terms=lambda z, _t, _o: np.abs(z).max(initial=1.0),
        gradient_terms=lambda z, _t, _o: 4 * (1 + np.minimum(np.abs(z), 4)),
    ),
}


ROWS_NOTHING = {
    "all ignored": (np.array([1, 1]), {"ignore_class": 1}),
}
ONE_HOT_BAD = {
    "too many classes": Bad(Z, np.ones((4, 5)), {}, r"(label|target).*5"),
    "rows that add up to 3": Bad(Z, np.ones((4, 3)), {}, r"add up to 1.*3 at row 0"),
    **weights_bad([0] * 4),
}

LOSSES |= {
    "categorical_focal_crossentropy": Loss(
        {
            "labels": Variant(classes),
            "probabilities": Variant(probabilities),
            "ignoring": Variant(classes, {"ignore_class": lambda _rng, _n, c: c // 2}),
            "alpha by class": Variant(
                probabilities, {"alpha": lambda rng, _n, c: rng.random(c), "gamma": 0.5}
            ),
            "everything": Variant(
                classes,
                {
                    "sample_weight": _weights,
                    "label_smoothing": 0.3,
                    "alpha": 0.7,
                    "gamma": 3.0,
                    "ignore_class": 0,
                },
            ),
            "no gamma": Variant(probabilities, {"gamma": 0.0, "sample_weight": _weights}),
        },
        bad={
            **ONE_HOT_BAD,
            "gamma negative": Bad(Z, [0] * 4, {"gamma": -1.0}, r"gamma.*-1"),
            "alpha negative": Bad(Z, [0] * 4, {"alpha": -1.0}, r"alpha.*-1"),
            "alpha of two": Bad(Z, [0] * 4, {"alpha": [1.0, 2.0]}, r"alpha.*2"),
        },
        nothing=ROWS_NOTHING,
        kinds=("int64", "int8", "uint8", "int16", "int32", "uint64", "bool"),
        by_row=True,
        loss_terms=lambda z, _t, _o: np.abs(z[np.isfinite(z)]).max(initial=1.0),
        gradient_terms=lambda _z, _t, o: 2.0 * (1.0 + o.get("gamma", 2.0)),
    ),
    "kl_divergence": Loss(
        {
            "labels": Variant(classes),
            "probabilities": Variant(probabilities),
            "weighted": Variant(probabilities, {"sample_weight": _weights}),
        },
        bad=ONE_HOT_BAD,
        kinds=("int64", "int8", "uint8", "int16", "int32", "uint64", "bool"),
        by_row=True,
        loss_terms=lambda z, _t, _o: 10 + np.abs(z[np.isfinite(z)]).max(initial=1.0),
        gradient_terms=lambda _z, _t, _o: 1.0,
    ),
    "categorical_hinge": Loss(
        {
            "labels": Variant(classes),
            "probabilities": Variant(probabilities),
            "weighted": Variant(classes, {"sample_weight": _weights}),
        },
        bad=ONE_HOT_BAD,
        kinds=("int64", "int8", "uint8", "int16", "int32", "uint64", "bool"),
        by_row=True,
        loss_terms=lambda z, _t, _o: 1 + np.abs(z[np.isfinite(z)]).max(initial=1.0),
        gradient_terms=lambda _z, _t, _o: 1.0,
    ),
    "cosine_similarity": Loss(
        variants(numbers),
        bad=NUMBERS_BAD,
        by_row=True,
        gradient_terms=lambda z, _t, _o: (
            2.0 / np.maximum(np.sqrt((z**2).sum(axis=1, keepdims=True)), 1e-7)
        ),
    ),
}


def op(name: str) -> Callable[..., tuple[float, Array]]:
    found: Callable[..., tuple[float, Array]] = getattr(ops, name)
    return found


def oracle(name: str) -> Callable[..., tuple[float, Array]]:
    found: Callable[..., tuple[float, Array]] = getattr(reference, name)
    return found
