"""Losses: their names, their options, and the native loss of each; losses of a user's own.

No arithmetic is here: `fastnn.ops` has the losses as functions on arrays. How a loss treats the
last layer of a model is decided in `models.heads`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastnn import elsewhere, rows
from fastnn.arrays.host import numeric
from fastnn.autodiff import functions
from fastnn.autodiff.losses import Called, apply, of_rows, weight_of
from fastnn.autodiff.own_losses import by_rows, whole
from fastnn.autodiff.tensor import Tensor, converted, tensor
from fastnn.data import rows as rows_of_data
from fastnn.listing import names_of
from fastnn.registry import Checked, Registered, Registry
from fastnn.words import (
    choose,
    flag,
    int32,
    keywords,
    name_of,
    optional,
    refuse_elsewhere,
    snake_case,
    text,
)

__all__ = [
    "MAE",
    "MAPE",
    "MSE",
    "MSLE",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "Gamma",
    "Hinge",
    "Huber",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "Quantile",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "Tweedie",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "get",
    "hinge",
    "huber",
    "log_cosh",
    "logcosh",
    "mae",
    "mape",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "mse",
    "msle",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

__dir__ = names_of(__all__)

# "sum" and "none" are for calls alone.
CALLED_ALONE = ("sum", "none")
_REDUCTIONS = ("sum_over_batch_size", "mean_with_sample_weight", "mean", *CALLED_ALONE)


def _reduction(name: str, value: object) -> str:
    if value is None:  # another word for "none", in Keras and in PyTorch
        return "none"
    if not isinstance(value, str) or value not in _REDUCTIONS:
        refuse_elsewhere(name, "reduction", value)
    return choose(name, value, _REDUCTIONS)


def _pos_weight(name: str, value: Any) -> NDArray[np.float64]:
    weights = numeric(name, value).astype(np.float64)
    if weights.ndim > 1 or not (np.isfinite(weights) & (weights >= 0)).all():
        raise ValueError(
            f"{name}: expected finite numbers of at least 0, one for each label, got {value!r}"
        )
    return weights


class RowOption(Checked[float]):
    """An option of the native row."""

    def __init__(self) -> None:
        super().__init__(lambda _, value: float(value))

    def checked(self, holder: Loss, value: Any) -> float:
        return holder.row.options[self.name].checked(value)


class Weighed(NamedTuple):
    """A loss of some rows."""

    mean: Tensor  # sum(w * l) / sum(w), without axes; NaN where nothing counts
    weight: float  # sum(w), as the loss counts it
    parts: float  # what it would be without weights and gaps: rows, or elements that count alone


class Loss(Registered):
    """A loss to pass to `compile`, and the base of losses of one's own.

        >>> import fastnn
        >>> class Quartic(fastnn.losses.Loss):
        ...     def call(self, y_true, y_pred):
        ...         return fastnn.math.square(fastnn.math.square(y_true - y_pred))
        >>> float(Quartic()([[1.0], [2.0]], [[1.0], [4.0]]))
        8.0

    `call` gets y_pred as a Tensor (n, ...) and y_true as one of the same dtype, and returns a
    Tensor: the loss of each row (n,), or of each number (n, ...), which are averaged in each row.
    A single number for all rows is taken where no rows have weights. A model with such a loss
    trains batch by batch over a tape.

    y_true of (n,) beside outputs (n, 1) gets their axis, and (n, 1) beside (n,) loses it. Any other
    shape is given to `call` as it is: a loss may take labels (n,), or a column (n, 1) for two
    outputs that mean a mean and a variance. What `call` does with it is watched: an operation that
    sets (n,) against (n, 1), or repeats y_true along axes of y_pred or the other way round, is a
    ValueError, since it would train on a wrong loss (in Keras it does so silently).
    `fastnn.math.broadcast_to`, a new axis and `expand_dims` say that it is meant. Arrays that
    `call` makes by np.asarray are not watched.

    Training minimises sum(w * l) / sum(w) over the rows of the data set, as scikit-learn and
    PyTorch do (Keras divides by the number of rows). The gradient of a batch is its sum of w * l
    divided by its rows times the mean weight of the data set, so weights mean the same in batches
    of any size, also of one row. With reduction="mean_with_sample_weight" it is divided by the
    batch's own sum of weights, as in Keras 3: in small batches weights then fade out.

    The loss that is reported is sum(w * l) / sum(w), exact over all rows of an epoch, not a mean
    of the means of batches.

    Args:
        name: the name of the loss, in messages; None: that of the class ("my_loss" of MyLoss).
        reduction: "sum_over_batch_size" or "mean_with_sample_weight", as above. In a loop of your
            own also "sum", or "none" (or None) for the loss of each row (n,).
        from_logits: see `SparseCategoricalCrossentropy`.
    """

    # The row of the native table of losses (csrc/core/loss.h). Its options are attributes here.
    native: ClassVar[str]
    # Whether y holds a class of each row; if not, it holds one number for each output.
    takes_labels: ClassVar[bool] = False
    name = Checked(text)
    reduction = Checked(_reduction)
    from_logits = Checked(flag)
    _inside = (
        *(
            "folds",
            "from_logits",
            "native",
            "options",
            "row",
            "row_options",
            "repeats_targets",
            "takes_labels",
        ),
        *("by_batch_weight", "is_own", "weighed", "weight_of"),
    )

    def __init__(
        self,
        name: str | None = None,
        reduction: str = "sum_over_batch_size",
        from_logits: bool = False,
    ) -> None:
        self.name = snake_case(type(self).__name__) if name is None else name
        self.reduction = reduction
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """The loss of each row (n,), by operations on Tensors: for losses of one's own to define.

        Rows and labels that do not count, missing or ignored ones, have a loss of 0.
        """
        if not hasattr(type(self), "native"):
            raise NotImplementedError(f"{type(self).__name__}: define `call(self, y_true, y_pred)`")
        outputs = np.shape(y_pred)
        return of_rows(self._how(outputs[-1] if len(outputs) > 1 else 1), y_true, y_pred)

    @property
    def is_own(self) -> bool:
        """Whether a user wrote it: it has a `call`, or a `__call__`, in place of a native row."""
        cls = type(self)
        if cls.call is not Loss.call or cls.__call__ is not Loss.__call__:
            return True
        return not hasattr(cls, "native")

    @property
    def by_batch_weight(self) -> bool:
        """Whether the gradient of a batch is divided by the weight that the batch has."""
        return self.reduction == "mean_with_sample_weight"

    @property
    def row(self) -> rows.LossRow:
        """What the native table says of the loss."""
        return rows.losses()[self.native]

    @property
    def folds(self) -> str | None:
        """The activation at the end of a model that the loss folds: "softmax", "sigmoid" or None."""
        return None if self.row.head == "none" else self.row.head

    @property
    def repeats_targets(self) -> bool:
        """Whether one target of a row, (n,) or (n, 1), is compared with each of its outputs."""
        return False

    def row_options(self) -> dict[str, float]:
        """The options of the native row."""
        return {
            name: getattr(self, name, option.default) for name, option in self.row.options.items()
        }

    def options(self, _outputs: int) -> dict[str, Any]:
        """Keyword arguments of the native `compile`, for a model with this number of outputs."""
        return {
            "loss": self.native,
            "options": self.row_options(),
            "by_batch_weight": self.by_batch_weight,
        }

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Tensor:
        """The loss of outputs, a Tensor without axes: sum(w * l) / sum(w).

        Args:
            y_true: labels (n,) or targets (n, outputs), as in `fit`.
            y_pred: outputs (n, outputs), or (n,) for one: a Tensor or an array. A cross-entropy
                takes the logits of outputs that came out of softmax or sigmoid, and takes the
                outputs of a layer without an activation for logits; other numbers have to be
                probabilities unless from_logits is True.
            sample_weight: weights of rows (n,).

        Returns:
            With reduction="sum" it is sum(w * l), with "none" the w * l of each row (n,).

        Raises:
            ValueError: shapes do not fit, a label or weight is out of range, or outputs are neither
                logits nor probabilities.
        """
        if self.reduction == "none":
            losses = tensor(self.call(y_true, y_pred))
            return losses if sample_weight is None else losses * _by_rows(sample_weight, losses)
        found = self.weighed(y_true, y_pred, sample_weight)
        return found.mean * found.weight if self.reduction == "sum" else found.mean

    def weighed(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Weighed:
        """The loss with the weight that it was divided by; arguments and errors as of a call."""
        if type(self).__call__ is not Loss.__call__:
            return Weighed(*whole(self.name, self, y_true, y_pred, sample_weight))
        if self.is_own:
            return Weighed(*by_rows(self.name, self.call, y_true, y_pred, sample_weight))
        shape = np.shape(y_pred) if not hasattr(y_pred, "shape") else y_pred.shape
        how = self._called_for(shape[-1] if len(shape) > 1 else 1)
        return Weighed(*apply(how, y_true, y_pred, sample_weight))

    def weight_of(self, y: NDArray[Any], weights: NDArray[np.float64] | None) -> float:
        """The weight of rows as `weighed` counts it, of labels (n,) or targets (n, outputs)."""
        if self.is_own:
            return float(len(y) if weights is None else weights.sum())
        return weight_of(self._called_for(y.shape[1] if y.ndim > 1 else 1), y, weights)

    def _called_for(self, outputs: int) -> Called:
        """`_how`, which is made once as long as the options stay."""
        called: dict[int, Called] = vars(self).setdefault("_called", {})
        how = called.get(outputs)
        if how is None:
            how = self._how(outputs)
            if how.column_weights is None:  # an array may be written into
                called[outputs] = how
        return how

    def _how(self, outputs: int) -> Called:
        """How the options stand for so many outputs."""
        options = self.options(outputs)
        return Called(
            native=self.native,
            name=self.name,
            head=self.row.head,
            takes_labels=self.takes_labels,
            by_element=self.row.by_element,
            from_logits=self.from_logits,
            options=self.row_options(),
            ignore_class=options.get("ignore_class"),
            column_weights=options.get("pos_weight"),
            repeated=self.repeats_targets,
        )

    def __setattr__(self, name: str, value: object) -> None:
        """Options may change at any time: what was made of them is made anew."""
        super().__setattr__(name, value)
        vars(self)["_called"] = {}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


LOSSES = Registry("loss", Loss)


@LOSSES.register("sparse_categorical_crossentropy")
class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of softmax outputs with integer labels (n,).

    Args:
        from_logits: accepted as in Keras. The last layer decides: after a softmax its logits
            are used, a linear layer gives logits. True after a softmax warns.
        ignore_class: a label (for example -1 or 255) whose rows count nowhere; None: all do.
        reduction: "sum_over_batch_size" or "mean_with_sample_weight", see `Loss`.
        name: the name of the loss, in messages.
    """

    native = "softmax_cross_entropy"
    takes_labels = True
    ignore_class = Checked(optional(int32))

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.ignore_class = ignore_class

    def options(self, outputs: int) -> dict[str, Any]:
        return super().options(outputs) | {"ignore_class": self.ignore_class}


@LOSSES.register("categorical_crossentropy")
class CategoricalCrossentropy(Loss):
    """Cross-entropy of softmax outputs with probabilities or one-hot targets (n, classes).

    The targets of a row must add up to 1, within 0.001 and half a hundredth for each class (0.05
    at most), so that probabilities may be rounded to two digits. A row is not rescaled: it counts
    by its sum.

    Args:
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / classes.
        reduction, name: see `Loss`.
    """

    native = "softmax_cross_entropy"
    label_smoothing = RowOption()

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.label_smoothing = label_smoothing


@LOSSES.register("binary_crossentropy", "bce", "BCE")
class BinaryCrossentropy(Loss):
    """Cross-entropy of sigmoid outputs, each a yes or no of its own.

    Targets are 0 to 1, of shape (n,) or (n, 1) for one output and (n, labels) for several;
    NaN marks a label that is missing and counts nowhere. Where the loss is called, they may lie up
    to 0.1 outside, as noise on the labels of a GAN does.

    Args:
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / 2.
        reduction, name: see `Loss`.
        pos_weight: the weight of positive targets, one number or one for each label, as in
            PyTorch; it does not enter the sum of weights (not in Keras).
    """

    native = "sigmoid_cross_entropy"
    label_smoothing = RowOption()
    pos_weight = Checked(optional(_pos_weight))

    @keywords()
    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        *,
        pos_weight: ArrayLike | None = None,
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.label_smoothing = label_smoothing
        self.pos_weight = pos_weight

    def options(self, outputs: int) -> dict[str, Any]:
        options = super().options(outputs)
        if self.pos_weight is not None:
            if self.pos_weight.size not in (1, outputs):
                raise ValueError(
                    f"pos_weight: expected 1 or {outputs} numbers, got {self.pos_weight.size}"
                )
            options["pos_weight"] = np.ascontiguousarray(
                np.broadcast_to(self.pos_weight, (outputs,))
            )
        return options


@LOSSES.register("binary_focal_crossentropy")
class BinaryFocalCrossentropy(Loss):
    """Sigmoid cross-entropy times u**gamma, where u is the share that is missed (Lin et al., 2017).

    With p = sigmoid(logit) and a target t, u = t * (1 - p) + (1 - t) * p: rows that are learnt count
    little. Targets as `BinaryCrossentropy`.

    Args:
        apply_class_balancing: whether the loss is multiplied by t * alpha + (1 - t) * (1 - alpha).
        alpha: in [0, 1].
        gamma: at least 0; with 0 it is the cross-entropy.
        from_logits: see `SparseCategoricalCrossentropy`.
        label_smoothing: in [0, 1]; the targets become (1 - s) * y + s / 2.
        reduction, name: see `Loss`.
    """

    native = "binary_focal_crossentropy"
    apply_class_balancing = Checked(flag)
    alpha = RowOption()
    gamma = RowOption()
    label_smoothing = RowOption()

    @keywords()
    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
    ) -> None:
        super().__init__(name, reduction, from_logits)
        self.apply_class_balancing = apply_class_balancing
        self.alpha = alpha
        self.gamma = gamma
        self.label_smoothing = label_smoothing

    def row_options(self) -> dict[str, float]:
        return {name: float(value) for name, value in super().row_options().items()}


@LOSSES.register("mean_squared_error", "mse", "MSE")
class MeanSquaredError(Loss):
    """Mean over rows and outputs of (output - target)**2; targets (n, outputs), or (n,) for one."""

    native = "mean_squared_error"

    @keywords()
    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_squared_error"
    ) -> None:
        super().__init__(name, reduction)


@LOSSES.register("mean_absolute_error", "mae", "MAE")
class MeanAbsoluteError(Loss):
    """Mean over rows and outputs of abs(output - target); targets as `MeanSquaredError`."""

    native = "mean_absolute_error"

    @keywords()
    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_absolute_error"
    ) -> None:
        super().__init__(name, reduction)


@LOSSES.register("huber", "huber_loss")
class Huber(Loss):
    """error**2 / 2 up to `delta` and delta * (abs(error) - delta / 2) beyond it (Huber, 1964).

    Args:
        delta: where the square becomes a line, above 0; default 1.
        reduction, name: see `Loss`.
    """

    native = "huber"
    delta = RowOption()

    @keywords()
    def __init__(
        self,
        delta: float = 1.0,
        reduction: str = "sum_over_batch_size",
        name: str = "huber_loss",
    ) -> None:
        super().__init__(name, reduction)
        self.delta = delta


@LOSSES.register("poisson")
class Poisson(Loss):
    """Mean over rows and outputs of output - target * log(output + 1e-7); targets at least 0.

    The output is a rate: end the model so that it is positive, for example with softplus.
    """

    native = "poisson"

    @keywords()
    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "poisson") -> None:
        super().__init__(name, reduction)


@LOSSES.register("mean_absolute_percentage_error", "mape", "MAPE")
class MeanAbsolutePercentageError(Loss):
    """Mean of 100 * abs(output - target) / max(abs(target), 1e-7); targets as `MeanSquaredError`."""

    native = "mean_absolute_percentage_error"

    @keywords()
    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_absolute_percentage_error"
    ) -> None:
        super().__init__(name, reduction)


@LOSSES.register("mean_squared_logarithmic_error", "msle", "MSLE")
class MeanSquaredLogarithmicError(Loss):
    """Mean of (log(1 + output) - log(1 + target))**2; targets at least 0.

    As in Keras, numbers below 1e-7 count as 1e-7: such an output has no gradient, so end the model
    so that it is positive, for example with softplus.
    """

    native = "mean_squared_logarithmic_error"

    @keywords()
    def __init__(
        self, reduction: str = "sum_over_batch_size", name: str = "mean_squared_logarithmic_error"
    ) -> None:
        super().__init__(name, reduction)


@LOSSES.register("log_cosh", "logcosh")
class LogCosh(Loss):
    """Mean of log(cosh(output - target)); targets as `MeanSquaredError`.

    It is error**2 / 2 near 0 and abs(error) - log(2) far from it.
    """

    native = "log_cosh"

    @keywords()
    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "log_cosh") -> None:
        super().__init__(name, reduction)


@LOSSES.register("hinge")
class Hinge(Loss):
    """Mean of max(0, 1 - sign * output); the targets are signs, 1 for yes and -1 or 0 for no.

    The outputs are scores, so the last layer has no activation. Targets that hold both -1 and 0 are
    a ValueError.
    """

    native = "hinge"

    @keywords()
    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "hinge") -> None:
        super().__init__(name, reduction)


@LOSSES.register("squared_hinge")
class SquaredHinge(Loss):
    """Mean of max(0, 1 - sign * output)**2; targets and outputs as `Hinge`."""

    native = "squared_hinge"

    @keywords()
    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "squared_hinge") -> None:
        super().__init__(name, reduction)


@LOSSES.register("gamma", "gamma_nll")
class Gamma(Loss):
    """Mean of log(m) + target / m with m = output + 1e-7; targets above 0.

    The negative log-likelihood of a gamma distribution with mean m, up to constants. End the model so
    that the output is positive, for example with softplus.
    """

    native = "gamma"

    @keywords()
    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "gamma") -> None:
        super().__init__(name, reduction)


@LOSSES.register("tweedie")
class Tweedie(Loss):
    """Mean of m**(2 - power) / (2 - power) - target * m**(1 - power) / (1 - power), m = output + 1e-7.

    The negative log-likelihood of a compound Poisson-gamma distribution whose variance is
    proportional to mean**power, up to constants: for targets of at least 0, many of which are 0. End
    the model so that the output is positive, for example with softplus.

    Args:
        power: above 1 and below 2.
        reduction, name: see `Loss`.
    """

    native = "tweedie"
    power = RowOption()

    @keywords()
    def __init__(
        self,
        power: float = 1.5,
        reduction: str = "sum_over_batch_size",
        name: str = "tweedie",
    ) -> None:
        super().__init__(name, reduction)
        self.power = power


def _quantile(name: str, value: Any) -> float | list[float]:
    """One quantile, or a list of them."""
    option = rows.losses()["quantile"].options["quantile"]
    given = numeric(name, value)
    if given.ndim == 0:
        return option.checked(given.item())
    if given.ndim != 1 or not given.size:
        raise ValueError(f"{name}: expected a number or a list of them, got {value!r}")
    return [option.checked(one) for one in given.tolist()]


@LOSSES.register("quantile", "pinball", "pinball_loss", "quantile_loss")
class Quantile(Loss):
    """Mean of max(q * e, (q - 1) * e) with e = target - output (Koenker and Bassett, 1978).

    An output that minimises it is the quantile q of the targets; at 0.5 it is half the absolute
    error. The gradient at e = 0 is 0.

    Args:
        quantile: q, above 0 and below 1, for all outputs; or a list of one for each output; targets
            (n,) or (n, 1) are then compared with every output.
        reduction, name: see `Loss`.

    Raises:
        ValueError: the model has not as many outputs as the list has quantiles.
    """

    native = "quantile"
    quantile = Checked(_quantile)

    @keywords()
    def __init__(
        self,
        quantile: float | Sequence[float] = 0.5,
        reduction: str = "sum_over_batch_size",
        name: str = "quantile",
    ) -> None:
        super().__init__(name, reduction)
        self.quantile = quantile

    @property
    def repeats_targets(self) -> bool:
        return isinstance(self.quantile, list)

    def row_options(self) -> dict[str, float]:
        return {"quantile": 0.5 if isinstance(self.quantile, list) else self.quantile}

    def options(self, outputs: int) -> dict[str, Any]:
        options = super().options(outputs)
        if isinstance(self.quantile, list):
            if len(self.quantile) != outputs:
                raise ValueError(
                    f"quantile: expected {outputs} numbers, one for each output, got {self.quantile}"
                )
            # The weight of an output times the option of the row, 0.5, is its quantile.
            options["pos_weight"] = 2.0 * np.asarray(self.quantile)
        return options


def _by_rows(sample_weight: Any, losses: Tensor) -> NDArray[Any]:
    """Weights of rows, for the losses of these."""
    n = losses.shape[0] if losses.ndim else 1
    weights = rows_of_data.row_weights("sample_weight", converted(sample_weight), n)
    return weights.astype(losses.dtype).reshape(-1, *[1] * (losses.ndim - 1))


# -- losses as functions ---------------------------------------------------------------------------

# The class of each of these, so that `compile` finds the native loss.
_CLASS_OF: dict[Any, type[Loss]] = {}


def _function(cls: type[Loss]) -> Callable[..., Tensor]:
    """The losses of rows, or of the last axis of any number of axes, as a function of Keras's."""

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

    losses.__name__ = losses.__qualname__ = snake_case(cls.__name__)
    losses.__doc__ = (
        f"The loss of each row (n,), as `{cls.__name__}` has it, a Tensor: for loops of your own.\n\n"
        "    Of outputs with more axes it is that of the last one. The options of the class are taken by "
        "name."
    )
    _CLASS_OF[losses] = cls
    return losses


sparse_categorical_crossentropy = _function(SparseCategoricalCrossentropy)
categorical_crossentropy = _function(CategoricalCrossentropy)
binary_crossentropy = _function(BinaryCrossentropy)
mean_squared_error = mse = MSE = _function(MeanSquaredError)
mean_absolute_error = mae = MAE = _function(MeanAbsoluteError)
huber = _function(Huber)
poisson = _function(Poisson)
mean_absolute_percentage_error = mape = MAPE = _function(MeanAbsolutePercentageError)
mean_squared_logarithmic_error = msle = MSLE = _function(MeanSquaredLogarithmicError)
log_cosh = logcosh = _function(LogCosh)
hinge = _function(Hinge)
squared_hinge = _function(SquaredHinge)
binary_focal_crossentropy = _function(BinaryFocalCrossentropy)


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

    Raises:
        ValueError: the name is unknown; the message has the near match.
    """
    if callable(identifier) and not isinstance(identifier, (Loss, type)):
        known = _CLASS_OF.get(identifier) if hasattr(identifier, "__name__") else None
        return FunctionLoss(identifier) if known is None else known()
    return LOSSES.get(identifier)


if not TYPE_CHECKING:  # a type checker reports unknown names by itself
    __getattr__ = elsewhere.attributes(__name__, "loss", lambda: LOSSES.names)
