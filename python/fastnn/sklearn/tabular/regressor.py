"""TabularRegressor: numbers from tables."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.validation import _check_y, check_is_fitted

from fastnn import losses
from fastnn.sklearn.tabular.base import BaseTabular
from fastnn.sklearn.tabular.members import Task

Array = NDArray[Any]
Floats = NDArray[np.float64]


class TabularRegressor(RegressorMixin, BaseTabular):
    """Numbers from a table as it is.

        >>> import numpy as np
        >>> from fastnn.sklearn import TabularRegressor
        >>> table = {"size": np.arange(40.0), "colour": ["red", "blue"] * 20}
        >>> y = np.arange(40.0)
        >>> net = TabularRegressor(members=2, random_state=0).fit(table, y)
        >>> abs(net.predict({"size": [20.0], "colour": ["red"]})[0] - 20.0) < 4
        True

    y is numbers (n,) or (n, outputs), which are standardized inside; answers are within the range of y.

    Args, X: see `TabularClassifier`. learning_rate="auto" is 0.004.

    Attributes:
        y_mean_, y_scale_: by which y is standardized.
        oof_: of each row of training, the mean answer of the members that did not learn from it.
        members_, encoding_, folds_, n_features_in_, feature_names_in_: see `TabularClassifier`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseTabular._parameter_constraints,
    }
    _default_rate = 0.004

    def __init__(
        self,
        members: int = 6,
        *,
        hidden_layer_sizes: Any = (256, 256, 256),
        activation: str = "silu",
        dropout: float = 0.15,
        learning_rate: Any = "auto",
        weight_decay: float = 0.3,
        batch_size: int = 256,
        max_epochs: Any = "auto",
        codes: str = "half",
        bins: int = 16,
        time_limit: float | None = None,
        random_state: Any = None,
        device: str = "auto",
        matmul_precision: str | None = None,
        verbose: Any = 0,
    ) -> None:
        given = dict(locals())
        del given["self"]
        self.__dict__.update(given)

    # -- y

    def _learn_targets(self, y: Any, rows: int) -> tuple[Array, Any]:
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
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
        self.y_mean_ = y.mean(axis=0)
        deviation = y.std(axis=0)
        least = 10 * np.finfo(np.float64).eps * np.abs(self.y_mean_)
        self.y_scale_ = np.where(deviation > least, deviation, 1.0)
        targets = (y - self.y_mean_) / self.y_scale_
        self._range = targets.min(axis=0), targets.max(axis=0)
        return targets, None

    def _task(self, outputs: int) -> Task:
        return Task(outputs, losses.MeanSquaredError())

    def _answers_of(self, outputs: Array) -> Floats:
        z = np.clip(np.asarray(outputs, np.float64), *self._range)
        return np.asarray(z * self.y_scale_ + self.y_mean_)

    # -- what programs call

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> TabularRegressor:
        """Trains on a table X (n rows) and numbers y (n,) or (n, outputs); `TabularRegressor` has an example.

        Args, returns, errors: see `TabularClassifier.fit`.
        """
        self._fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> Floats:
        """The number of each row, (n,), or (n, outputs) where y had several columns."""
        check_is_fitted(self)
        found = self._each(X).mean(axis=0)
        return np.asarray(found[:, 0] if self._one else found)
