"""Training by sgd, adam or another optimizer: one native `fit`, with scikit-learn's rules in it."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split

from fastnn import metrics
from fastnn.callbacks.base import Callback
from fastnn.console import warn
from fastnn.data.table import Table
from fastnn.losses import Loss
from fastnn.sklearn.batches import Batches, Order
from fastnn.sklearn.net import Net, Plan
from fastnn.sklearn.rows import Rows, SparseBatches, Targets
from fastnn.sklearn.rules import Rule, RuleOfBatches, Stopping, Value, Watched
from fastnn.sklearn.solvers import Scale, Solver
from fastnn.training.loops import Schedule

Array = NDArray[Any]

_MSE = "mean_squared_error"
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need "
    "to be preprocessed."
)


class Given(NamedTuple):
    """Rows to train on. `by_batch`: whether their weights are the caller's alone, and the gradient of
    a batch is divided by its weight as in scikit-learn."""

    rows: Rows
    targets: Targets
    weights: NDArray[np.float64] | None
    by_batch: bool = False


class Held(NamedTuple):
    """Rows held out, or given, for validation; `rows` of `given` where `chosen` is not None."""

    given: Given
    chosen: NDArray[np.int64] | None = None


class Parts(NamedTuple):
    """What a call trains on, and what it validates on."""

    given: Given
    chosen: NDArray[np.int64] | None
    held: Held | None

    @property
    def length(self) -> int:
        return len(self.given.rows) if self.chosen is None else len(self.chosen)


def fit_stochastic(
    estimator: Any,
    given: Given,
    plan: Plan,
    loss: Loss,
    scale: Scale,
    random: Any,
    incremental: bool,
) -> None:
    """Trains the estimator for max_iter epochs, for one where it is `incremental`."""
    if not incremental or not hasattr(estimator, "_optimizer"):
        estimator._optimizer = Solver(estimator, scale)
    solver: Solver = estimator._optimizer
    parts = _split(estimator, given, random, incremental)
    _begin(estimator)
    size = _batch_size(estimator, parts.length)
    wanted = _metrics_for(estimator, given.targets, parts.held, scale)
    seed = int(random.randint(2**31 - 1))
    net = _net_for(estimator, plan, _loss_for(loss, given), wanted, seed, size, incremental)
    if hasattr(solver.native, "penalty_rows"):
        solver.native.penalty_rows = net.penalty_rows
    solver.begins(estimator, math.ceil(parts.length / size), parts.length)
    order = Order(size, bool(estimator.shuffle), net.model.network.key, net.model.network.epochs)
    rule = _rule_for(estimator, net, scale, parts, solver, order)
    before = net.model.get_weights() if estimator.early_stopping else None
    epochs = 1 if incremental else int(estimator.max_iter)
    schedule = Schedule(size, epochs, 0, order.shuffled, 1, size)
    interrupted = diverged = False
    try:
        _run(estimator, net, parts, schedule, rule, order)
    except KeyboardInterrupt:
        warn("Training interrupted by user.", UserWarning)
        interrupted = True
    except ArithmeticError as error:
        if not estimator.early_stopping:
            _note(estimator, rule, parts.length)
            estimator._hold(net)
            raise ValueError(NOT_FINITE) from error
        diverged = True
        rule.losses.append(math.nan)
        rule.scores.append(math.nan)
    _note(estimator, rule, parts.length)
    if before is not None:
        best = rule.best_weights or estimator._best_weights or before
        estimator._best_weights = best
        net.model.set_weights(best)
    estimator._hold(net)
    _warn(estimator, incremental or interrupted or rule.converged, diverged)


def _begin(estimator: Any) -> None:
    """Curves and the like of an estimator whose earlier calls, with other parameters, had none."""
    for name in ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_"):
        if not hasattr(estimator, name):
            setattr(estimator, name, [] if name == "loss_curve_" else None)
    if estimator.early_stopping and estimator.validation_scores_ is None:
        estimator.validation_scores_, estimator.best_loss_ = [], None


def _run(
    estimator: Any, net: Net, parts: Parts, schedule: Schedule, rule: Rule, order: Order
) -> None:
    given = parts.given
    callbacks = [*_listed(estimator.callbacks), rule]
    progress: Any = {True: "auto", False: 0}.get(estimator.progress, estimator.progress)
    model = net.model
    if not given.rows.sparse:
        train = given.rows.table(given.targets, given.weights, parts.chosen)
        validation = None if parts.held is None else _table_of(parts.held)
        estimator.history_ = model.fit_tables(
            train, validation, schedule, callbacks, progress
        ).history
        return
    weights = given.weights
    if weights is not None and not given.by_batch:
        # A stream takes the mean weight as 1. Penalties are divided by the weight of rows.
        counted = weights if parts.chosen is None else weights[parts.chosen]
        mean = float(counted.sum()) / len(counted)
        weights = weights / mean
        native = estimator._optimizer.native
        if hasattr(native, "penalty_rows"):
            native.penalty_rows = net.penalty_rows / mean
    held = None
    if parts.held is not None:
        own = parts.held.given
        plain = order._replace(shuffled=False)
        held = SparseBatches(own.rows, own.targets, own.weights, plain, parts.held.chosen)
    history = model.fit(
        SparseBatches(given.rows, given.targets, weights, order, parts.chosen),
        batch_size=schedule.batch_size,
        epochs=schedule.epochs,
        shuffle=False,
        validation_data=held,
        callbacks=callbacks,
        verbose=progress,
    )
    estimator.history_ = history.history


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks)


def _table_of(held: Held) -> Table:
    own = held.given
    return own.rows.table(own.targets, own.weights, held.chosen)


# -- what is held out


def _split(estimator: Any, given: Given, random: Any, incremental: bool) -> Parts:
    if estimator.early_stopping and incremental:
        raise ValueError("partial_fit does not support early_stopping=True")
    if estimator.validation_data is not None:
        return Parts(given, None, Held(_validation_of(estimator, given)))
    if not estimator.early_stopping:
        return Parts(given, None, None)
    # As scikit-learn splits, with the same random_state into the same rows.
    targets = given.targets
    stratify = None
    if targets.values is not None and hasattr(estimator, "classes_") and targets.width == 1:
        stratify = targets.values.astype(bool)
    chosen, held = train_test_split(
        np.arange(len(given.rows)),
        random_state=random,
        test_size=estimator.validation_fraction,
        stratify=stratify,
    )
    if len(held) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            "dataset."
        )
    return Parts(given, chosen.astype(np.int64), Held(given, held.astype(np.int64)))


def _validation_of(estimator: Any, given: Given) -> Given:
    """The rows of validation_data, checked."""
    data = estimator.validation_data
    if len(data) not in (2, 3):
        raise ValueError(
            f"validation_data: expected (X, y) or (X, y, sample_weight), got {len(data)} parts"
        )
    X, y, *more = data
    x = estimator._validation_rows(X)
    targets = estimator._validation_targets(y)
    weights = np.asarray(more[0], np.float64) if more and more[0] is not None else None
    rows = Rows(x, estimator.coefs_[0].dtype.name)
    if rows.sparse and not given.rows.sparse:
        rows = Rows(rows.dense(slice(None)), estimator.coefs_[0].dtype.name)
    counts = {len(rows), len(targets.y), len(rows) if weights is None else len(weights)}
    if len(counts) > 1:
        raise ValueError(f"validation_data: parts have different lengths: {sorted(counts)}")
    return Given(rows, targets, weights)


def _batch_size(estimator: Any, count: int) -> int:
    given = estimator.batch_size
    if isinstance(given, str):
        return min(200, count)
    if given > count:
        warn(
            f"batch_size: {given} is larger than the {count} rows to train on, and counts as {count}",
            UserWarning,
        )
    return min(int(given), count)


# -- the network and the rule


def _loss_for(loss: Loss, given: Given) -> Loss:
    if given.weights is None or not given.by_batch:
        return loss
    made = copy.copy(loss)
    made.reduction = "mean_with_sample_weight"
    return made


def _metrics_for(estimator: Any, targets: Targets, held: Held | None, scale: Scale) -> list[Any]:
    """Metrics that the rule needs of the native passes."""
    wanted: list[Any] = [] if scale.is_one_sum else [metrics.MeanSquaredError(name=_MSE)]
    if estimator.monitor is not None:
        name = estimator.monitor.removeprefix("val_")
        if name != "loss" and name not in [metric.name for metric in wanted]:
            wanted.append(name)
    elif held is not None and not hasattr(estimator, "classes_"):
        wanted = [metrics.MeanSquaredError(name=_MSE)]
    elif held is not None and (targets.labels is not None or targets.width == 1):
        wanted.append("accuracy")
    return wanted


def _net_for(
    estimator: Any,
    plan: Plan,
    loss: Loss,
    wanted: list[Any],
    seed: int,
    size: int,
    incremental: bool,
) -> Net:
    """The compiled network: that of the last call, where `partial_fit` goes on with it."""
    old: Net | None = estimator._net
    names = [metric if isinstance(metric, str) else metric.name for metric in wanted]
    made_for = (plan, type(loss), loss.get_config(), names)
    if incremental and old is not None and old.made_for == made_for:
        if not estimator._in_sync():
            old.put(estimator.coefs_, estimator.intercepts_)
        return old
    net = Net(plan, seed, penalty_rows=size)
    net.made_for = made_for
    net.compile(estimator._optimizer.native, loss, wanted)
    net.put(estimator.coefs_, estimator.intercepts_)
    if estimator._moments is not None:
        net.put_moments(*estimator._moments)
    if old is not None and len(old.model.layers) == len(net.model.layers):
        net.take_rest(old)
        if incremental:
            net.take_state(old)
    return net


def _rule_for(
    estimator: Any, net: Net, scale: Scale, parts: Parts, solver: Solver, order: Order
) -> Rule:
    given = parts.given
    batches = Batches(order, parts.length, _some(given.weights, parts.chosen))
    constants = _some(estimator._constants(given.targets), parts.chosen)
    varies = batches.vary and batches.shuffled
    if constants is not None and not varies:
        scale = scale._replace(constant=batches.mean(constants, 0))
    loss = Value("loss", scale.loss, scale.constant)
    if not scale.is_one_sum:
        # The loss here has penalties of another share than scikit-learn's.
        penalties = 1.0 / scale.gradient
        loss = Value("loss", penalties, scale.constant, _MSE, scale.loss - penalties)
    watched = _watched(estimator, net, parts)
    stopping = Stopping(
        float(estimator.tol),
        float(estimator.n_iter_no_change),
        bool(estimator.early_stopping),
        bool(estimator.verbose),
    )
    best = estimator.best_validation_score_ if estimator.early_stopping else estimator.best_loss_
    more = watched is not None and watched.more_is_better
    if best is None or math.isinf(best) or (watched is not None and not estimator.early_stopping):
        best = -math.inf if more else math.inf  # there is none yet
    start = (estimator._no_improvement_count, float(best))
    if loss.other is not None and batches.vary:
        return RuleOfBatches(batches, loss, watched, stopping, solver, start)
    constant = None
    if constants is not None and varies:
        constant = functools.partial(batches.mean, constants)
    return Rule(loss, watched, stopping, solver, start, constant)


def _some(values: Array | None, chosen: Array | None) -> Array | None:
    return values if values is None or chosen is None else values[chosen]


def _watched(estimator: Any, net: Net, parts: Parts) -> Watched | None:
    """What the rule looks at besides the loss: the score of early_stopping, or `monitor`."""
    monitor = estimator.monitor
    if monitor is not None:
        if monitor.startswith("val_") and parts.held is None:
            raise ValueError(f"monitor: {monitor!r} needs early_stopping=True or validation_data")
        more = net.model.more_is_better(monitor)
        if more is None:
            raise ValueError(f"monitor: whether more of {monitor!r} is better is not known")
        return Watched(Value(monitor), more)
    if not estimator.early_stopping or parts.held is None:
        return None
    held = parts.held
    targets, weights = held.given.targets, held.given.weights
    if held.chosen is not None:
        targets = targets.take(held.chosen)
        weights = None if weights is None else weights[held.chosen]
    if hasattr(estimator, "classes_"):
        if targets.labels is not None or targets.width == 1:
            return Watched(Value("val_accuracy"), True)
        return Watched(None, True, lambda: _subset_accuracy(net, held, targets, weights))
    values = np.asarray(targets.values, np.float64)
    mean = np.average(values, axis=0, weights=weights)
    variances = np.average((values - mean) ** 2, axis=0, weights=weights)
    # R^2 of one output is a function of the mean squared error; of several it is their mean.
    variance = float(variances[0]) if len(variances) == 1 else 0.0
    if variance > 0:
        return Watched(Value(f"val_{_MSE}", -1.0 / variance, 1.0), True)
    return Watched(None, True, lambda: _r2(net, held, targets, weights))


def _answers(net: Net, held: Held) -> Array:
    rows = held.given.rows
    chosen = np.arange(len(rows)) if held.chosen is None else held.chosen
    found: Array = net.model.predict(rows.dense(chosen), verbose=0)
    return found


def _subset_accuracy(net: Net, held: Held, targets: Targets, weights: Any) -> float:
    found = _answers(net, held)
    if not np.isfinite(found).all():
        return math.nan
    right = ((found > 0.5) == (np.asarray(targets.values) > 0.5)).all(axis=1)
    return float(np.average(right, weights=weights))


def _r2(net: Net, held: Held, targets: Targets, weights: Any) -> float:
    found = _answers(net, held)
    if not np.isfinite(found).all():
        return math.nan
    return float(r2_score(targets.values, found, sample_weight=weights))


# -- afterwards


def _note(estimator: Any, rule: Rule, rows: int) -> None:
    """Writes what the epochs of a call have shown."""
    epochs = len(rule.losses)
    estimator.n_iter_ = epochs
    estimator.t_ += rows * epochs
    estimator.loss_curve_ += rule.losses
    if estimator.loss_curve_:
        estimator.loss_ = estimator.loss_curve_[-1]
    estimator._no_improvement_count = rule.count
    estimator._optimizer.ended(estimator)
    if estimator.early_stopping:
        estimator.validation_scores_ += rule.scores
        estimator.best_validation_score_ = rule.best
    elif rule.losses:
        before = [] if estimator.best_loss_ is None else [estimator.best_loss_]
        estimator.best_loss_ = min([*before, *rule.losses])


def _warn(estimator: Any, settled: bool, diverged: bool) -> None:
    if diverged:
        warn(
            "fit: training diverged, and the weights are those of the best epoch before; try a lower "
            "learning_rate_init, or scale=True",
            ConvergenceWarning,
        )
    elif not settled and estimator.n_iter_ == estimator.max_iter:
        warn(
            f"fit: max_iter={estimator.max_iter} epochs are over, and training has not converged: in "
            f"the last {estimator.n_iter_no_change} it still improved by more than tol",
            ConvergenceWarning,
        )
