"""Training by sgd, adam or another optimizer: one native `fit`, with scikit-learn's rules in it."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any

from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastnn.callbacks.base import Callback
from fastnn.console import warn
from fastnn.losses import Loss
from fastnn.sklearn.batches import Batches, Order
from fastnn.sklearn.net import Net, Plan
from fastnn.sklearn.parts import Given, Parts, some, split, table_of
from fastnn.sklearn.rules import Rule, RuleOfBatches, Stopping, Term, Value
from fastnn.sklearn.scores import MSE, metrics_for, watched_by
from fastnn.sklearn.solvers import Scale, Solver
from fastnn.training.loops import Schedule

Array = NDArray[Any]

NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need "
    "to be preprocessed."
)


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
    parts = split(estimator, given, random, incremental)
    _begin(estimator)
    size = _batch_size(estimator, parts.length)
    wanted = metrics_for(estimator, given.targets, parts.held, scale)
    seed = int(random.randint(2**31 - 1))
    net = _net_for(estimator, plan, _loss_for(loss, given), wanted, seed, size, incremental)
    solver.penalizes(net.penalty_rows)
    solver.begins(estimator, math.ceil(parts.length / size), parts.length)
    order = Order(size, bool(estimator.shuffle), net.model.network.key, net.model.network.epochs)
    rule = _rule_for(estimator, net, scale, parts, solver, order)
    rule.variables = net.model.weights
    before = net.model.get_weights() if estimator.early_stopping else None
    epochs = 1 if incremental else int(estimator.max_iter)
    schedule = Schedule(size, epochs, 0, order.shuffled, 1, size)
    interrupted = diverged = False
    try:
        _run(estimator, net, parts, schedule, rule)
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


def _run(estimator: Any, net: Net, parts: Parts, schedule: Schedule, rule: Rule) -> None:
    given = parts.given
    callbacks = [*_listed(estimator.callbacks), rule]
    progress: Any = {True: "auto", False: 0}.get(estimator.progress, estimator.progress)
    train = given.rows.table(given.targets, given.weights, parts.chosen)
    validation = None if parts.held is None else table_of(parts.held)
    told = net.model.fit_tables(train, validation, schedule, callbacks, progress)
    estimator.history_ = told.history


def _listed(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return [callbacks] if isinstance(callbacks, Callback) else list(callbacks)


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
    batches = Batches(order, parts.length, some(given.weights, parts.chosen))
    constants = some(estimator._constants(given.targets), parts.chosen)
    varies = batches.vary and batches.shuffled
    if constants is not None and not varies:
        scale = scale._replace(constant=batches.mean(constants, 0))
    loss = Value((Term("loss", scale.loss),), scale.constant)
    if not scale.is_one_sum:
        # The loss here has penalties of another share than scikit-learn's.
        penalties = 1.0 / scale.gradient
        terms = Term("loss", penalties), Term(MSE, scale.loss - penalties)
        loss = Value(terms, scale.constant)
    watched = watched_by(estimator, net, parts.held)
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
    if len(loss.terms) > 1 and batches.vary:
        return RuleOfBatches(batches, loss, watched, stopping, solver, start)
    constant = None
    if constants is not None and varies:
        constant = functools.partial(batches.mean, constants)
    return Rule(loss, watched, stopping, solver, start, constant)


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
