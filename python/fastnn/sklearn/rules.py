"""Rules that end training: scikit-learn's tolerance, which native code follows, and its score.

The rule looks at one number after each epoch, the loss or a score. An epoch whose number is not better
than the best one so far by `tol` counts, one that is begins the count anew; after more than
n_iter_no_change of them training ends, or "adaptive" divides the learning rate by 5.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.base import Callback
from fastnn.console import say
from fastnn.protocols import Logs, Places
from fastnn.sklearn.batches import Batches
from fastnn.sklearn.solvers import LEAST_RATE, Solver
from fastnn.variables import Variable

_NEVER = 2**60


class Term(NamedTuple):
    """scale * logs[key], or of an output's number there, which is an array."""

    key: str
    scale: float = 1.0
    output: int | None = None

    def of(self, logs: Logs) -> float:
        found = logs[self.key]
        return self.scale * float(found if self.output is None else found[self.output])


class Value(NamedTuple):
    """A number of an epoch: the sum of the terms, and the offset."""

    terms: tuple[Term, ...]
    offset: float = 0.0

    def of(self, logs: Logs) -> float:
        """Computed in the order of csrc/nn/watch.h, so that both come to the same bits."""
        found = 0.0
        for term in self.terms:
            found += term.of(logs)
        return found + self.offset


class Watched(NamedTuple):
    """What the rule looks at.

    `score`: a function of the logs, where native code does not know the number.
    """

    value: Value | None
    more_is_better: bool = False
    score: Callable[[Logs], float] | None = None

    def of(self, logs: Logs) -> float:
        if self.value is not None:
            return self.value.of(logs)
        return math.nan if self.score is None else self.score(logs)


class Stopping(NamedTuple):
    """When the rule acts."""

    tol: float
    patience: float  # n_iter_no_change
    keeps_best: bool = False  # whether training ends with the weights of the best epoch
    verbose: bool = False


class Rule(Callback):
    """The rule of one call of `fit`.

    Attributes:
        count: epochs without an improvement; best: the best number so far. Both go on from an earlier
            call.
        losses, scores: of the epochs of this call.
        best_weights: all weights after the best epoch; None: no epoch was better than `best` was.
        converged: whether the rule ended training.
        variables: those of the model, which are to be set before it trains.

    Args:
        loss: of an epoch, in scikit-learn's terms.
        watched: what the rule looks at; None: the loss.
        stopping: when it acts.
        solver: whose learning rate "adaptive" reduces.
        start: the count and the best number before.
        constant: what batches add to the loss of an epoch, besides `loss`.
    """

    acts_last = True

    def __init__(
        self,
        loss: Value,
        watched: Watched | None,
        stopping: Stopping,
        solver: Solver,
        start: tuple[int, float],
        constant: Callable[[int], float] | None = None,
    ) -> None:
        super().__init__()
        self._constant = constant
        self._loss, self._solver, self._stopping = loss, solver, stopping
        self._watched = Watched(loss) if watched is None else watched
        self._has_score = watched is not None
        self.count, self.best = start
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.best_weights: list[NDArray[Any]] | None = None
        self.converged = False
        self.variables: Sequence[Variable] = ()

    def watch(self, place: Places) -> dict[str, Any] | None:
        value = self._watched.value
        if value is None or self._stopping.verbose:
            return None
        if self._constant is not None and not self._has_score:
            return None  # it is another one in each epoch
        terms: list[tuple[int, int, float]] = []
        for term in value.terms:
            found = place(term.key, term.output)
            if found is None or found.root:
                return None
            terms.append((found.numerator, found.denominator, term.scale))
        limit = self._stopping.patience
        return {
            "place": 0,
            "root": False,
            "more_is_better": self._watched.more_is_better,
            "min_delta": self._stopping.tol,
            "first_epoch": 0,
            "patience": _NEVER if math.isinf(limit) else int(limit) + 1,
            "wait": self.count,
            "best": self.best,
            "baseline": None,
            "keeps_best": self._stopping.keeps_best,
            "has_best": True,
            "terms": terms,
            "offset": value.offset,
        }

    def replay(self, first: int, logs: Sequence[Logs], best: Callable[[], list[Any]]) -> None:
        improved = False
        for epoch, row in enumerate(logs, first):
            improved = self._after(epoch, row) or improved
        if improved and self._stopping.keeps_best:
            self.best_weights = best()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if self._after(epoch, logs or {}) and self._stopping.keeps_best:
            self.best_weights = [variable.numpy() for variable in self.variables]

    def _after(self, epoch: int, logs: Logs) -> bool:
        """Takes note of an epoch; whether it is the best so far."""
        loss = self._loss.of(logs)
        if self._constant is not None:
            loss += self._constant(epoch)
        self.losses.append(loss)
        verbose = self._stopping.verbose
        if verbose:
            say(f"Iteration {epoch + 1}, loss = {loss:.8f}")
        now = loss
        if self._has_score:
            watched = self._watched
            now = watched.of(logs)
            self.scores.append(now)
            if verbose:
                say(f"Validation score: {now:f}")
        better = self._compare(now)
        if self.count > self._stopping.patience:
            self._act()
        return better

    def _compare(self, now: float) -> bool:
        # Comparisons with NaN are false: it is neither better nor an epoch that counts.
        tol = self._stopping.tol
        if self._watched.more_is_better:
            short_of, better = now < self.best + tol, now > self.best
        else:
            short_of, better = now > self.best - tol, now < self.best
        self.count = self.count + 1 if short_of else 0
        if better:
            self.best = now
        return better

    def _act(self) -> None:
        what = "Validation score" if self._has_score else "Training loss"
        told = (
            f"{what} did not improve more than tol={self._stopping.tol:f} for "
            f"{self._stopping.patience:g} consecutive epochs."
        )
        solver = self._solver
        if solver.adapts and solver.learning_rate > LEAST_RATE:
            solver.reduce()
            self.count = 0
            told += f" Setting learning rate to {solver.learning_rate:f}"
        else:
            told += " Learning rate too small. Stopping." if solver.adapts else " Stopping."
            self.converged = True
            self.model.stop_training = True
        if self._stopping.verbose:
            say(told)


class RuleOfBatches(Rule):
    """The same for a loss of two numbers, the other of which is to be a mean over batches of unequal
    weight. Logs have its mean over rows, from which that of each batch follows.

    Args:
        batches: whose weights these are.
        rule: the arguments of `Rule`.
    """

    def __init__(self, batches: Batches, *rule: Any) -> None:
        super().__init__(*rule)
        self._batches = batches
        self._second = self._loss.terms[1].key
        self._sums: list[float] = []  # of the batches of an epoch, each with those before

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del batch
        self._sums.append(float((logs or {})[self._second]))

    def _after(self, epoch: int, logs: Logs) -> bool:
        weights = self._batches.weights(epoch)[: len(self._sums)]
        sums = np.diff(np.array(self._sums) * weights.cumsum(), prepend=0.0)
        self._sums = []
        exact = self._batches.mean_of(sums, epoch)
        return super()._after(epoch, {**logs, self._second: exact})
