"""The base of both estimators: parameters, checks, first weights, attributes, predictions.

How a call trains is in `training` and `quasi_newton`; what y means is in the two classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fastnn.data.sparse import is_sparse
from fastnn.losses import Loss
from fastnn.models import Sequential
from fastnn.sklearn.net import Net, Plan, checked_sizes
from fastnn.sklearn.parts import Given
from fastnn.sklearn.quasi_newton import fit_lbfgs
from fastnn.sklearn.rows import Rows, Targets, plain
from fastnn.sklearn.solvers import Scale, Solver
from fastnn.sklearn.training import fit_stochastic

Array = NDArray[Any]

# Rows up to which an array is answered without scikit-learn's checks, which cost more than the
# answer.
_FEW = 256
_FLOATS = (np.float64, np.float32)


def _as_wide(found: Array, dtype: np.dtype[Any]) -> Array:
    """Outputs in the wider of their own type and that of X, as a product of the two is in NumPy."""
    if dtype == found.dtype or np.result_type(found, dtype) == found.dtype:
        return found
    return found.astype(np.float64)


class BaseMLP(BaseEstimator):
    """What MLPClassifier and MLPRegressor have in common; not for use by itself."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({"identity", "logistic", "tanh", "relu"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        # What scikit-learn's classes have not.
        "loss": "no_validation",  # by `_loss_of`
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "layer_norm": ["boolean"],
        "scale": ["boolean"],
        "optimizer": "no_validation",
        "schedule": [callable, Mapping, None],
        "validation_data": [tuple, list, None],
        "monitor": [str, None],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "matmul_precision": [StrOptions({"highest", "high", "medium"}), None],
        "callbacks": "no_validation",
        "progress": ["boolean", StrOptions({"auto", "tqdm"})],
    }

    # Members that training shares with the estimator. Weights may be set before the first call.
    _net: Net | None = None
    _optimizer: Solver
    # The arrays of coefs_ and intercepts_ that the net has; others are the caller's.
    _held: tuple[Array, ...] = ()
    _no_improvement_count: int = 0
    _best_weights: list[Array] | None = None

    # -- what the classes say of y

    def _validated(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Targets]:
        """X and y checked as scikit-learn does, y as targets of the network."""
        raise NotImplementedError

    def _validation_targets(self, y: Any) -> Targets:
        """y of validation_data as targets of the network."""
        raise NotImplementedError

    def _loss_of(self) -> tuple[Loss, str]:
        """The loss and the activation of the outputs."""
        raise NotImplementedError

    def _scale_of(self, targets: Targets) -> Scale:
        raise NotImplementedError

    def _constants(self, _targets: Targets) -> NDArray[np.float64] | None:
        """What scikit-learn's loss of each row has besides the loss here; None: nothing."""
        return None

    def _weigh(self, y: Any, weights: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
        """Weights of rows with those of classes."""
        raise NotImplementedError

    # -- fit

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        sizes = self._hidden_sizes()
        first_pass = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        given_y = y
        X, targets = self._validated(X, y, incremental, first_pass)
        weights = None
        if sample_weight is not None:
            weights = np.array(_check_sample_weight(sample_weight, X), np.float64)
        weights = self._weigh(given_y, weights)
        loss, out_activation = self._loss_of()
        outputs = len(self.classes_) if targets.labels is not None else targets.width
        self.n_outputs_ = outputs
        units = (X.shape[1], *sizes, outputs)
        random = check_random_state(self.random_state)
        if first_pass:
            self._initialize(random, units, X.dtype, out_activation)
        else:
            self._check_layers(units)
        dtype = "float64" if self.solver == "lbfgs" else np.result_type(*self.coefs_).name
        rows = Rows(X)
        if first_pass or not hasattr(self, "_moments"):
            self._moments = rows.moments(weights) if self.scale else None
        targets = self._scaled(targets, weights, first_pass)
        of_classes = getattr(self, "class_weight", None) is not None
        given = Given(rows, targets, weights, sample_weight is not None and not of_classes)
        scale = self._scale_of(targets)
        alpha = 0.0 if self.solver == "lbfgs" else scale.gradient * float(self.alpha) / 2
        plan = Plan(
            units,
            self.activation,
            self.out_activation_,
            dtype,
            alpha,
            float(self.dropout),
            bool(self.layer_norm),
            self._moments is not None,
            self.device,
            self.matmul_precision,
        )
        if self.solver == "lbfgs":
            fit_lbfgs(self, given, plan, loss, scale, random)
        else:
            fit_stochastic(self, given, plan, loss, scale, random, incremental)
        return self

    def _hidden_sizes(self) -> tuple[int, ...]:
        return checked_sizes(self.hidden_layer_sizes)

    def _check_layers(self, units: tuple[int, ...]) -> None:
        """ValueError where parameters ask for other layers than those that a call goes on from."""
        now = (self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_))
        if units != now:
            raise ValueError(
                f"hidden_layer_sizes: warm_start and partial_fit go on with the layers of the last "
                f"call, whose units are {now}, got {units}"
            )

    def _initialize(
        self, random: Any, units: tuple[int, ...], dtype: np.dtype[Any], out_activation: str
    ) -> None:
        """First weights and empty curves. Draws in the order of scikit-learn, so that the same
        random_state gives the same weights."""
        self.n_iter_ = 0
        self.t_ = 0
        self.n_layers_ = len(units)
        self.out_activation_ = out_activation
        self.coefs_, self.intercepts_ = [], []
        factor = 2.0 if self.activation == "logistic" else 6.0
        for inputs, outputs in itertools.pairwise(units):
            bound = math.sqrt(factor / (inputs + outputs))
            coef = random.uniform(-bound, bound, (inputs, outputs))
            intercept = random.uniform(-bound, bound, outputs)
            self.coefs_.append(coef.astype(dtype, copy=False))
            self.intercepts_.append(intercept.astype(dtype, copy=False))
        self._net, self._held, self._best_weights = None, (), None
        self._no_improvement_count = 0
        if self.solver == "lbfgs":
            return
        self.loss_curve_: list[float] = []
        if self.early_stopping:
            self.validation_scores_: list[float] | None = []
            self.best_validation_score_: float | None = -np.inf
            self.best_loss_: float | None = None
        else:
            self.validation_scores_ = self.best_validation_score_ = None
            self.best_loss_ = np.inf

    def _scaled(
        self,
        targets: Targets,
        _weights: NDArray[np.float64] | None,
        _first_pass: bool,
    ) -> Targets:
        """Targets as the network learns them: those of a regression may be standardized."""
        return targets

    # -- the network

    def _in_sync(self) -> bool:
        """Whether coefs_ and intercepts_ are those of the network, and not set from outside."""
        now = (*self.coefs_, *self.intercepts_)
        held = self._held
        return len(now) == len(held) and all(a is b for a, b in zip(now, held, strict=True))

    def _hold(self, net: Net) -> None:
        """Makes the weights of a network those of the estimator."""
        self._net = net
        self.coefs_, self.intercepts_ = net.views()
        self._held = (*self.coefs_, *self.intercepts_)

    def _ready(self) -> Net:
        """The network with the estimator's weights.

        Weights that were set from outside are written again for each call: such arrays may have
        changed in place.
        """
        net = self._net
        if net is None:
            dtype = np.result_type(*self.coefs_).name
            units = (self.coefs_[0].shape[0], *(coef.shape[1] for coef in self.coefs_))
            plan = Plan(units, self.activation, self.out_activation_, dtype, 0.0)
            net = Net(plan, 0)
            net.put(self.coefs_, self.intercepts_)
        elif not self._in_sync():
            net.put(self.coefs_, self.intercepts_)
            self._held = ()
        return net

    @property
    def model_(self) -> Sequential:
        """The `fastnn.Sequential` that answers, to be saved, exported or looked at.

        Of a regressor with scale=True its outputs are standardized: y is `y_mean_` + output *
        `y_scale_`.
        """
        check_is_fitted(self)
        return self._ready().model

    # -- answers

    def _outputs(self, X: Any) -> Array:
        """What the network gives, (n, outputs)."""
        if (
            type(X) is np.ndarray
            and X.dtype.type in _FLOATS
            and X.ndim == 2
            and 0 < len(X) <= _FEW
            and X.shape[1] == getattr(self, "n_features_in_", -1)
            and not hasattr(self, "feature_names_in_")
            and hasattr(self, "coefs_")
        ):
            try:
                return _as_wide(self._ready().predict(X), X.dtype)
            except ValueError:  # scikit-learn's checks say what is wrong
                pass
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        return _as_wide(self._outputs_of(X), X.dtype)

    def _validation_rows(self, X: Any) -> Any:
        """X of validation_data, checked as that of `predict`."""
        return validate_data(self, X, accept_sparse=["csr", "csc"], dtype=_FLOATS, reset=False)

    def _outputs_of(self, X: Any) -> Array:
        net = self._ready()
        if not is_sparse(X):
            X = plain(X)
            if len(X) <= _FEW:
                return net.predict(np.ascontiguousarray(X))
        found: Array = net.model.predict(X, verbose=0)
        return found

    # -- what pickles hold, and what scikit-learn asks

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "coefs_")

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if state.get("_net") is not None and self._in_sync():
            # The network has them; once is enough.
            state["coefs_"] = state["intercepts_"] = state["_held"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if state.get("_net") is not None and state["coefs_"] is None:
            self._hold(state["_net"])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_solver(self) -> bool:
        if self.solver == "lbfgs":
            raise AttributeError(
                "partial_fit is only available for stochastic solvers, sgd and adam; "
                f"{self.solver} is not one of them"
            )
        return True
