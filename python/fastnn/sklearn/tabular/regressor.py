"""TabularRegressor: numbers from tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_y, check_is_fitted

from fastnn import losses
from fastnn.sklearn.tabular.base import BaseTabular
from fastnn.sklearn.tabular.members import Data, Task
from fastnn.sklearn.words_of_y import refuse_words

if TYPE_CHECKING:
    from fastnn.sklearn.tabular.exported import Exported

Array = NDArray[Any]
Floats = NDArray[np.float64]


class TabularRegressor(RegressorMixin, BaseTabular):
    """Numbers from a table as it is.

        >>> import numpy as np
        >>> from fastnn.sklearn import TabularRegressor
        >>> table = {"size": np.arange(40.0), "colour": ["red", "blue"] * 20}
        >>> y = np.arange(40.0)
        >>> net = TabularRegressor(members=2, random_state=0).fit(table, y)
        >>> bool(abs(net.predict({"size": [20.0], "colour": ["red"]})[0] - 20.0) < 4)
        True

    y is numbers (n,) or (n, outputs), which are standardized inside; answers are within the range of y.

    Args, X: see `TabularClassifier`; learning_rate="auto" is 0.008.
        quantiles: numbers above 0 and below 1, for example (0.1, 0.5, 0.9): what is learned are these
            quantiles of y for a row, in place of its mean; see `predict_quantiles`.

    Attributes:
        y_mean_, y_scale_: by which y is standardized.
        oof_: of each row of training, the mean answer of the members that did not learn from it, shaped as
            `predict` gives, or `predict_quantiles`; NaN where there is none. None: too few rows.
        members_, weights_, encoding_, folds_, n_features_in_, feature_names_in_: see `TabularClassifier`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseTabular._parameter_constraints,
        "quantiles": ["array-like", None],
    }
    _default_rate = 0.008
    _exported = ("prediction", "quantiles")
    _fitted = (*BaseTabular._fitted, "y_mean_", "y_scale_", "_one", "_range")

    if TYPE_CHECKING:  # scikit-learn's carries no types

        def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float: ...

    def __init__(
        self,
        members: int = 6,
        *,
        hidden_layer_sizes: Any = (128, 128, 128),
        activation: str = "silu",
        dropout: float = 0.0,
        learning_rate: Any = "auto",
        weight_decay: float = 0.0,
        batch_size: Any = "auto",
        max_epochs: Any = "auto",
        codes: str = "mixed",
        bins: int = 16,
        quantiles: Any = None,
        time_limit: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        device: str = "auto",
        matmul_precision: str | None = "medium",
        verbose: Any = 0,
    ) -> None:
        given = dict(locals())
        del given["self"]
        self.__dict__.update(given)

    # -- y

    def _learn_targets(self, y: Any, rows: int) -> tuple[Array, Any]:
        refuse_words(y, "TabularClassifier")
        y = _check_y(y, multi_output=True, y_numeric=True, estimator=self)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if len(y) != rows:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: [{rows}, {len(y)}]"
            )
        y = np.asarray(y, np.float64)
        self._one = y.ndim == 1
        y = y.reshape(len(y), -1)
        # In units of a power of two, which changes no digit, so that squares of huge numbers are finite.
        unit = np.ldexp(1.0, np.frexp(np.abs(y).max(axis=0))[1] - 1)
        self.y_mean_ = (y / unit).mean(axis=0) * unit
        deviation = (y / unit).std(axis=0) * unit
        least = 10 * np.finfo(np.float64).eps * np.abs(self.y_mean_)
        varies = deviation > least
        self.y_scale_ = np.where(varies, deviation, 1.0)
        # What the mean leaves of a constant is rounding, which overflows float32 where y is huge.
        targets = np.where(varies, (y - self.y_mean_) / self.y_scale_, 0.0)
        self._range = [targets.min(axis=0), targets.max(axis=0)]
        self._checked_quantiles()
        return targets, None

    def _checked_quantiles(self) -> list[float]:
        """The quantiles in their order; none: the mean is learned."""
        found = [] if self.quantiles is None else [float(q) for q in self.quantiles]
        if self.quantiles is not None and (not found or not all(0 < q < 1 for q in found)):
            raise ValueError(
                f"quantiles: expected numbers above 0 and below 1, got {self.quantiles!r}"
            )
        return sorted(found)

    def _task(self, outputs: int) -> Task:
        found = self._checked_quantiles()
        if not found:
            return Task(outputs, losses.MeanSquaredError())
        return Task(outputs * len(found), losses.Quantile(found))

    def _width(self) -> int:
        return len(self.y_mean_)

    def _answers_of(self, outputs: Array) -> Floats:
        """(n, outputs), or (n, outputs, quantiles)."""
        z = np.asarray(outputs, np.float64)
        low, high, mean, scale = *self._range, self.y_mean_, self.y_scale_
        if self.quantiles is not None:
            z = np.sort(z.reshape(len(z), len(mean), -1), axis=2)
            low, high, mean, scale = (v[:, None] for v in (low, high, mean, scale))
        return np.asarray(np.clip(z, low, high) * scale + mean)

    def _losses_of(self, answers: Floats, targets: Array) -> Floats:
        scale = self.y_scale_
        if self.quantiles is None:
            return np.asarray((((answers - self.y_mean_) / scale - targets) ** 2).sum(axis=1))
        q = np.array(self._checked_quantiles())
        e = targets[:, :, None] - (answers - self.y_mean_[:, None]) / scale[:, None]
        return np.asarray(np.maximum(q * e, (q - 1.0) * e).sum(axis=(1, 2)))

    def _calibrate(self, data: Data) -> None:
        del data
        if self.oof_ is not None and self._one:  # as `predict` gives it
            self.oof_ = self.oof_[:, 0]

    def _export_answers(self, to: Exported) -> dict[str, Any]:
        low, high, mean, scale = *self._range, self.y_mean_, self.y_scale_
        quantiles, count = self._checked_quantiles(), len(mean)
        if quantiles:
            low, high, mean, scale = (value[:, None] for value in (low, high, mean, scale))
        answers = []
        for outputs in to.answers:
            z = outputs
            if quantiles:
                z = to.add("Reshape", z, to.constant(np.array([-1, count, len(quantiles)])))
                k = to.constant(np.array([len(quantiles)]))
                z = to.sorted(z, k)
            z = to.add("Max", to.add("Min", z, to.constant(high)), to.constant(low))
            answers.append(to.add("Add", to.add("Mul", z, to.constant(scale)), to.constant(mean)))
        found = to.mean(answers, self.weights_.tolist())
        shape = [] if self._one else [count]
        if quantiles:
            every = self._without_axis(to, found)
            to.output("quantiles", every, [*shape, len(quantiles)])
            middle = int(np.argmin(np.abs(np.array(quantiles) - 0.5)))
            found = to.add("Gather", found, to.constant(np.array(middle)), axis=2)
        to.output("prediction", self._without_axis(to, found), shape)
        return {"quantiles": quantiles}

    def _without_axis(self, to: Exported, value: str) -> str:
        """Of one number the value without the axis of numbers."""
        return to.add("Squeeze", value, to.constant(np.array([1]))) if self._one else value

    # -- what programs call

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> TabularRegressor:
        """Trains on a table X (n rows) and numbers y (n,) or (n, outputs); `TabularRegressor` has an example.

        Args, returns, errors: see `TabularClassifier.fit`.
        """
        self._fit(X, y, sample_weight)
        return self

    def predict(self, X: Any, *, return_std: bool = False) -> Any:
        """The number of each row, (n,), or (n, outputs) where y had several columns. With quantiles, the
        one nearest to 0.5.

        Args:
            X: a table with the columns of `fit`.
            return_std: whether to return, too, the standard deviation of the members' answers, of the same
                shape: what they do not agree on, which is less than the spread of y.
        """
        check_is_fitted(self)
        each = self._each(X)
        if self.quantiles is not None:
            middle = int(np.argmin(np.abs(np.array(self._checked_quantiles()) - 0.5)))
            each = each[..., middle]
        each = each[..., 0] if self._one else each
        found = self._mean(each)
        return (found, self._spread(each)) if return_std else found

    def predict_quantiles(self, X: Any) -> Floats:
        """The quantiles of each row in ascending order, (n, quantiles), or (n, outputs, quantiles).

        >>> import numpy as np
        >>> from fastnn.sklearn import TabularRegressor
        >>> x = np.linspace(0, 1, 100)[:, None]
        >>> net = TabularRegressor(members=1, quantiles=(0.1, 0.9), max_epochs=5, random_state=0)
        >>> found = net.fit(x, x[:, 0]).predict_quantiles(x)
        >>> found.shape, bool((found[:, 0] <= found[:, 1]).all())
        ((100, 2), True)

        Raises:
            AttributeError: the estimator has no quantiles.
        """
        check_is_fitted(self)
        if self.quantiles is None:
            raise AttributeError("predict_quantiles: give quantiles=(0.1, 0.5, 0.9), for example")
        found = self._mean(self._each(X))
        return np.asarray(found[:, 0] if self._one else found)
