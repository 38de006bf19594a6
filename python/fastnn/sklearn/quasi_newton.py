"""The solver lbfgs: SciPy's L-BFGS-B over the native loss and gradient of all rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning

from fastnn import optimizers
from fastnn.console import say, warn
from fastnn.losses import Loss
from fastnn.sklearn.net import Net, Plan
from fastnn.sklearn.parts import Given
from fastnn.sklearn.solvers import Scale
from fastnn.sklearn.training import NOT_FINITE

Flat = NDArray[np.float64]


class Objective:
    """scikit-learn's loss of all rows, and its gradient, as functions of all weights in one array.

    The array is laid out as the native buffer. Gaps between parameters are 0, and so are their
    gradients.

    Args:
        net: whose weights are written.
        given: all rows.
        scale: of the loss.
        alpha: of the penalty alpha / 2 * sum(W ** 2), divided by the weight of all rows.
    """

    def __init__(self, net: Net, given: Given, scale: Scale, alpha: float) -> None:
        self._network = net.model.network
        self._buffer = net.buffer
        self._scale = scale
        self._data = given.rows.table(given.targets, given.weights).native()
        self._network.check(self._data)
        weights = given.weights
        total = float(len(given.rows)) if weights is None else float(weights.sum())
        self._penalty = alpha / total
        self._kernels = net.kernel_mask()
        self.evaluations = 0
        self.loss = math.nan  # of the last evaluation

    def __call__(self, flat: Flat) -> tuple[float, Flat]:
        self._buffer.write(0, np.ascontiguousarray(flat))
        loss, gradient = self._network.gradients(self._data)
        weights = flat * self._kernels
        loss = self._scale.loss * loss + self._scale.constant
        loss += 0.5 * self._penalty * float(weights @ weights)
        gradient /= self._scale.gradient
        gradient += self._penalty * weights
        self.evaluations += 1
        self.loss = loss
        return loss, gradient


def fit_lbfgs(
    estimator: Any, given: Given, plan: Plan, loss: Loss, scale: Scale, random: Any
) -> None:
    """Minimizes the estimator's loss over all rows."""
    for name in ("dropout", "early_stopping", "validation_data", "schedule", "optimizer"):
        value = getattr(estimator, name)
        if value is not None and value is not False and value != 0 and name != "early_stopping":
            raise ValueError(f"{name}: expected none with solver='lbfgs', got {value!r}")
    old: Net | None = estimator._net
    net = Net(plan, int(random.randint(2**31 - 1)))
    net.compile(optimizers.SGD(), loss)
    net.put(estimator.coefs_, estimator.intercepts_)
    if estimator._moments is not None:
        net.put_moments(*estimator._moments)
    if old is not None and len(old.model.layers) == len(net.model.layers):
        net.take_rest(old)
    constants = estimator._constants(given.targets)
    if constants is not None:
        scale = scale._replace(constant=float(np.average(constants, weights=given.weights)))
    objective = Objective(net, given, scale, float(estimator.alpha))
    start = net.buffer.view(0, (net.buffer.size,)).copy()

    def told(_: Any) -> None:
        say(f"Evaluation {objective.evaluations}, loss = {objective.loss:.8f}")

    found = minimize(
        objective,
        start,
        method="L-BFGS-B",
        jac=True,
        callback=told if estimator.verbose else None,
        options={
            "maxfun": estimator.max_fun,
            "maxiter": estimator.max_iter,
            "gtol": estimator.tol,
        },
    )
    net.buffer.write(0, np.ascontiguousarray(found.x))
    estimator._hold(net)
    estimator.n_iter_ = min(int(found.nit), int(estimator.max_iter))
    estimator.loss_ = float(found.fun)
    if not np.isfinite(found.x).all():
        raise ValueError(NOT_FINITE)
    if found.status != 0:
        warn(
            f"fit: lbfgs has not converged after {estimator.n_iter_} iterations and "
            f"{objective.evaluations} evaluations: {found.message}. Allow more of them (max_iter, "
            "max_fun), or scale the data (scale=True)",
            ConvergenceWarning,
        )
