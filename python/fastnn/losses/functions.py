"""Losses as functions: Keras's of each class, and those that a program writes; `get` finds the loss that
is meant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastnn.autodiff import functions
from fastnn.autodiff.tensor import Tensor, tensor
from fastnn.losses.base import LOSSES, Loss
from fastnn.losses.crossentropies import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from fastnn.losses.numbers import (
    Hinge,
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    SquaredHinge,
)
from fastnn.losses.overlap import Dice, Tversky, dice, tversky
from fastnn.losses.whole_rows import (
    CategoricalFocalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    KLDivergence,
)
from fastnn.words import (
    name_of,
    snake_case,
)

# The class of each of these, so that `compile` finds the native loss.
_CLASS_OF: dict[Any, type[Loss]] = {}


def _function(
    cls: type[Loss], of: str = "", gives: str = "", name: str | None = None
) -> Callable[..., Tensor]:
    """The losses of rows, or of the last axis of any number of axes, as a function of Keras's.

    The example in its docstring shows the losses `gives`, to four decimals, for the arguments `of`.
    """

    def losses(y_true: Any, y_pred: Any, **options: Any) -> Tensor:
        if options.pop("axis", -1) != -1:
            raise ValueError(f"{losses.__name__}: axis: expected -1, the axis of the outputs")
        outputs, target = tensor(y_pred), tensor(y_true)
        made = cls(**options)
        shape = outputs.shape
        if outputs.ndim == 1 and not cls.takes_labels:  # numbers of one row
            outputs, target = (
                functions.reshape(outputs, (1, -1)),
                functions.reshape(target, (1, -1)),
            )
        elif outputs.ndim > 2:
            wide = (-1,) if cls.takes_labels else (-1, shape[-1])
            outputs, target = (
                functions.reshape(outputs, (-1, shape[-1])),
                functions.reshape(target, wide),
            )
        found = tensor(made.call(target, outputs))
        return functions.reshape(found, shape[:-1])

    losses.__name__ = losses.__qualname__ = name or snake_case(cls.__name__)
    losses.__doc__ = f"""The loss of each row (n,), as `{cls.__name__}` has it, a Tensor: for loops of one's own.

    >>> print(fastnn.losses.{losses.__name__}({of}).numpy().round(4))
    {gives}

Args:
    y_true, y_pred: see `{cls.__name__}`; of outputs with more axes the loss is that of the last one.
    **options: the options of the class, by name.
"""
    _CLASS_OF[losses] = cls
    return losses


_NUMBERS = "[[1.0], [2.0]], [[1.0], [5.0]]"
_SIGNS = "[[1.0], [-1.0]], [[3.0], [1.0]]"

sparse_categorical_crossentropy = _function(
    SparseCategoricalCrossentropy, "[0, 1], [[1.0, 0.0], [0.5, 0.5]]", "[0.     0.6931]"
)
categorical_crossentropy = _function(
    CategoricalCrossentropy, "[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]", "[0.     0.6931]"
)
binary_crossentropy = _function(
    BinaryCrossentropy, "[[1.0], [0.0]], [[1.0], [0.5]]", "[0.     0.6931]"
)
mean_squared_error = mse = MSE = _function(MeanSquaredError, _NUMBERS, "[0. 9.]")
mean_absolute_error = mae = MAE = _function(MeanAbsoluteError, _NUMBERS, "[0. 3.]")
huber = _function(Huber, _NUMBERS, "[0.  2.5]")
poisson = _function(Poisson, "[[0.0], [1.0]], [[3.0], [1.0]]", "[3. 1.]")
mean_absolute_percentage_error = mape = MAPE = _function(
    MeanAbsolutePercentageError, _NUMBERS, "[  0. 150.]"
)
mean_squared_logarithmic_error = msle = MSLE = _function(
    MeanSquaredLogarithmicError, "[[0.0], [1.0]], [[np.e - 1], [1.0]]", "[1. 0.]"
)
log_cosh = logcosh = _function(LogCosh, _NUMBERS, "[0.     2.3093]")
hinge = _function(Hinge, _SIGNS, "[0. 2.]")
squared_hinge = _function(SquaredHinge, _SIGNS, "[0. 4.]")
binary_focal_crossentropy = _function(
    BinaryFocalCrossentropy, "[[1.0], [0.0]], [[1.0], [0.5]]", "[0.     0.1733]"
)
categorical_focal_crossentropy = _function(
    CategoricalFocalCrossentropy,
    "[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]",
    "[0.     0.0433]",
)
kl_divergence = kullback_leibler_divergence = kld = KLD = _function(
    KLDivergence,
    "[[0.5, 0.5], [0.0, 1.0]], [[0.5, 0.5], [0.5, 0.5]]",
    "[0.     0.6931]",
    "kl_divergence",
)
cosine_similarity = _function(
    CosineSimilarity, "[[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.5, 0.5]]", "[-1.     -0.7071]"
)
categorical_hinge = _function(
    CategoricalHinge, "[[1.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [0.5, 0.5]]", "[0. 1.]"
)


_CLASS_OF |= {dice: Dice, tversky: Tversky}


class FunctionLoss(Loss):
    """A Python function (y_true, y_pred) -> Tensor as a loss; see `Loss.call`."""

    def __init__(
        self,
        function: Callable[[Any, Any], Any],
        name: str | None = None,
        reduction: str = "sum_over_batch_size",
    ) -> None:
        super().__init__(name_of(function) if name is None else name, reduction)
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return self.function(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        raise TypeError(f"{self.name}: a function has no config; derive a class from Loss")


def get(identifier: str | Loss | type[Loss] | Callable[[Any, Any], Any]) -> Loss:
    """The loss that a name, an object, a class or a function means.

        >>> fastnn.losses.get("mse")
        <MeanSquaredError name=mean_squared_error>

    Args:
        identifier: "mse", a Loss, a class of one, its config, or a function (y_true, y_pred).

    Raises:
        ValueError: the name is unknown; the message has the near match.
    """
    if callable(identifier) and not isinstance(identifier, (Loss, type)):
        known = _CLASS_OF.get(identifier) if hasattr(identifier, "__name__") else None
        return FunctionLoss(identifier) if known is None else known()
    return LOSSES.get(identifier)
