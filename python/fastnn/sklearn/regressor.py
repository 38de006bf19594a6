"""MLPRegressor: numbers, one or several for each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from fastnn import losses
from fastnn.losses import Loss
from fastnn.sklearn.base import BaseMLP
from fastnn.sklearn.rows import Targets
from fastnn.sklearn.solvers import Scale
from fastnn.sklearn.words_of_y import refuse_words

Array = NDArray[Any]
_FLOATS = (np.float64, np.float32)
# scikit-learn's words for losses, here and in its other regressors.
_WORDS = {
    "squared_error": "mean_squared_error",
    "poisson": "poisson",
    "absolute_error": "mean_absolute_error",
    "gamma": "gamma",
    "quantile": "quantile",
}


class MLPRegressor(RegressorMixin, BaseMLP):
    """A multi-layer perceptron for regression: `sklearn.neural_network.MLPRegressor`, faster.

        >>> import numpy as np
        >>> from fastnn.sklearn import MLPRegressor
        >>> x = np.linspace(-1, 1, 50)[:, None]
        >>> mlp = MLPRegressor(hidden_layer_sizes=(8,), solver="lbfgs", random_state=0)
        >>> mlp.fit(x, 100 * x[:, 0] ** 2).score(x, 100 * x[:, 0] ** 2) > 0.99
        True

    Parameters up to `max_fun`, their defaults, methods and fitted attributes are scikit-learn's, with
    the same meaning; docs/sklearn.md goes through them. y is (n,) or (n, outputs).

    Args:
        loss: "squared_error" (half of it, as there) or "poisson" (counts; the outputs are exponentials);
            more than there, "absolute_error", "gamma", "quantile" (the median), or an object or name of
            `fastnn.losses`, for example `fastnn.losses.Quantile(0.9)`. Losses whose targets may not be
            negative have exponential outputs.
        scale: whether to standardize the columns of X and, unless the loss is one of those, y, inside.
            Without it large values of y are learnt slowly or not at all.
        hidden_layer_sizes, activation, solver, alpha, batch_size, learning_rate, learning_rate_init,
        power_t, max_iter, shuffle, random_state, tol, verbose, warm_start, momentum,
        nesterovs_momentum, early_stopping, validation_fraction, beta_1, beta_2, epsilon,
        n_iter_no_change, max_fun, dropout, layer_norm, optimizer, schedule, validation_data, monitor,
        device, matmul_precision, callbacks, progress: see `MLPClassifier`. The score of early_stopping
            is R^2.

    Attributes:
        coefs_, intercepts_, loss_ and so on: see `MLPClassifier`. With scale=True losses are those of
            standardized y.
        y_mean_, y_scale_: by which y is standardized, with scale=True.
    """

    if TYPE_CHECKING:  # scikit-learn's carries no types

        def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float: ...

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        layer_norm: bool = False,
        scale: bool = False,
        optimizer: Any = None,
        schedule: Any = None,
        validation_data: Any = None,
        monitor: str | None = None,
        device: str = "auto",
        matmul_precision: str | None = None,
        callbacks: Any = None,
        progress: Any = False,
    ) -> None:
        given = dict(locals())
        del given["self"]
        self.__dict__.update(given)

    # -- y

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Targets]:
        del incremental
        refuse_words(y, "MLPClassifier")
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=_FLOATS,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, self._targets(y)

    def _targets(self, y: Array) -> Targets:
        return Targets(None, y[:, None] if y.ndim == 1 else y)

    def _validation_targets(self, y: Any) -> Targets:
        found = self._targets(np.asarray(y, np.float64))
        return self._standardized(found)

    def _weigh(self, y: Any, weights: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        del y
        return weights

    def _scaled(
        self, targets: Targets, weights: NDArray[np.float64] | None, first_pass: bool
    ) -> Targets:
        if first_pass or not hasattr(self, "_standardizes"):
            self._standardizes = bool(self.scale) and self.out_activation_ == "identity"
            for name in ("y_mean_", "y_scale_"):
                self.__dict__.pop(name, None)
            if self._standardizes:
                values = np.asarray(targets.values, np.float64)
                self.y_mean_ = np.average(values, axis=0, weights=weights)
                variance = np.average((values - self.y_mean_) ** 2, axis=0, weights=weights)
                least = (10 * np.finfo(np.float64).eps * np.abs(self.y_mean_)) ** 2
                self.y_scale_ = np.where(variance > least, np.sqrt(variance), 1.0)
        return self._standardized(targets)

    def _standardized(self, targets: Targets) -> Targets:
        if not self._standardizes:
            return targets
        values = (np.asarray(targets.values, np.float64) - self.y_mean_) / self.y_scale_
        return Targets(None, values)

    # -- the loss

    def _loss_of(self) -> tuple[Loss, str]:
        given = _WORDS.get(self.loss, self.loss) if isinstance(self.loss, str) else self.loss
        loss = losses.get(given)
        row = None if loss.is_own else loss.row
        if row is None or row.has_classes or row.targets == "signs" or row.outputs_of_target > 1:
            raise ValueError(
                f"loss: expected one of {', '.join(map(repr, _WORDS))}, or a loss of numbers of "
                f"fastnn.losses with one output for each target, got {self.loss!r}"
            )
        positive = row.targets in ("not_negative", "positive")
        return loss, "exp" if positive else "identity"

    def _scale_of(self, targets: Targets) -> Scale:
        outputs = targets.width
        if self.loss == "squared_error":
            return Scale(0.5, 2.0 / outputs)
        if self.loss == "poisson":
            return Scale(float(outputs), 1.0 / outputs)
        return Scale()

    def _constants(self, targets: Targets) -> NDArray[np.float64] | None:
        if self.loss != "poisson":
            return None
        # Its deviance has y log(y) - y besides, which no weight depends on.
        y = np.asarray(targets.values, np.float64)
        logs = np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0)) - y, 0.0)
        found: NDArray[np.float64] = logs.sum(axis=1)
        return found

    # -- what programs call

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """Trains on X (n, features), dense or sparse, and numbers y (n,) or (n, outputs).

            >>> import numpy as np
            >>> from fastnn.sklearn import MLPRegressor
            >>> x = np.linspace(0, 1, 30)[:, None]
            >>> mlp = MLPRegressor(hidden_layer_sizes=(4,), solver="lbfgs", random_state=0)
            >>> mlp.fit(x, 2 * x[:, 0]).predict([[0.5]]).round(2).tolist()
            [1.0]

        Args, returns, errors and warnings: see `MLPClassifier.fit`.
        """
        self._fit(X, y, sample_weight, incremental=False)
        return self

    @available_if(lambda self: self._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> MLPRegressor:
        """Trains for one epoch on these rows, from where the last call ended."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> Array:
        """The numbers of each row, (n,), or (n, outputs) where there are several."""
        found = self._outputs(X)
        if getattr(self, "_standardizes", False):
            found = (found * self.y_scale_ + self.y_mean_).astype(found.dtype, copy=False)
        return found[:, 0] if found.shape[1] == 1 else found
