"""The objective of a model that trains over the tape: a loss and metrics for each output.

It is made from the arguments of `compile`, and settled once the form of the outputs is known.
Losses and metrics of an epoch are sums over its rows, exact whatever the batches are.
"""

from __future__ import annotations

import functools
import operator
import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastnn.autodiff.broadcasting import reduce_sum
from fastnn.autodiff.shared import Part, part_of_batch
from fastnn.autodiff.tensor import Tensor
from fastnn.data.structures import Form, by_output, form_of
from fastnn.losses import Loss
from fastnn.metrics.base import Metric
from fastnn.models.arguments import (
    by_target,
    flat,
    kind_of,
    loss_weights_of,
    losses_of,
    metric_of,
    metrics_of,
    name_in_logs,
    no_loss,
    only,
)
from fastnn.models.bound import Bound
from fastnn.models.columns import check_name
from fastnn.models.sums import LossTracker
from fastnn.variables import Variable
from fastnn.words import unknown

# The mean weight of a row of the data set, for each output with a loss; none: it is not known, as
# of a stream of batches.
RowWeights = Sequence[float]


class Target:
    """An output of the model as training sees it."""

    def __init__(self, name: str | None, loss: Loss | None, weight: float) -> None:
        self.name = name
        self.loss = loss
        self.weight = weight  # of the loss in the sum of losses


class Trained(NamedTuple):
    """Which Variables are trained, where that is not what they say of themselves now."""

    hidden: list[Variable]  # that no tape watches by itself
    frozen: frozenset[int]  # ids; also of those that are no weights of the model
    known: frozenset[int]  # ids of all weights of the model

    def has(self, variable: Variable) -> bool:
        if variable.trainable:
            return id(variable) not in self.frozen
        return any(variable is one for one in self.hidden)


class Objective:
    """Losses and metrics of a model over the tape.

    Args:
        loss, loss_weights, metrics, weighted: as `compile` takes them.
    """

    def __init__(self, loss: Any, loss_weights: Any, metrics: Any, weighted: Any) -> None:
        self.loss = losses_of(loss)
        self.loss_weights = loss_weights_of(loss_weights)
        self._given = (metrics_of(metrics), metrics_of(weighted))
        self.tracker = LossTracker()
        self._lock = os.getpid(), threading.RLock()
        self.form: Form | None = None
        self.targets: list[Target] = []
        self.bound: list[Bound] = []
        self.row_weights: RowWeights = ()
        self.trained: Trained | None = None  # while a `fit` runs
        self.told_missing = False  # that Variables have no gradient
        # Whether `compile` found each Variable trainable; those that are made later join.
        self.found: list[tuple[Variable, bool]] = []

    @property
    def lock(self) -> threading.RLock:
        """Held while metrics count: threads that evaluate one model do so in turn.

        In the child of a fork it is another one, since a thread of the parent may have held it.
        """
        if self._lock[0] != os.getpid():
            self._lock = os.getpid(), threading.RLock()
        return self._lock[1]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, kept: dict[str, Any]) -> None:
        vars(self).update(kept)
        self._lock = os.getpid(), threading.RLock()

    @property
    def given(self) -> tuple[Any, Any]:
        """The arguments `metrics` and `weighted_metrics`, with functions made metrics."""
        return self._given

    # -- forms

    @property
    def has_several(self) -> bool:
        """Whether the arguments are those of several outputs."""
        one = len(self.loss) == 1 if isinstance(self.loss, (list, dict)) else True
        nested = any(
            isinstance(part, (list, tuple))
            for given in self._given
            for part in (given if isinstance(given, list) else ())
        )
        return not one or nested or any(isinstance(given, dict) for given in self._given)

    def own_loss(self) -> Loss | None:
        """A loss that a user wrote, if there is any."""
        return next((one for one in self.all_losses() if one.is_own), None)

    def only_loss(self) -> Loss:
        """The loss of a model of one output; ValueError where there is none."""
        loss: Loss | None = only("loss", self.loss)
        if loss is None:
            raise no_loss()
        return loss

    def all_losses(self) -> list[Loss]:
        return [part for part in flat(self.loss) if isinstance(part, Loss)]

    def check_only_name(self, name: str) -> None:
        """ValueError where a dictionary names another output than the one of a model."""
        given = {
            "loss": self.loss,
            "loss_weights": self.loss_weights,
            "metrics": self._given[0],
            "weighted_metrics": self._given[1],
        }
        for what, one in given.items():
            for other in one if isinstance(one, dict) else ():
                if other != name:
                    raise ValueError(unknown(f"{what}: output", other, (name,)))

    def outline(self, form: Form) -> None:
        """Finds the loss and its weight for each output; errors where numbers do not match."""
        if form == self.form:
            return
        if form.kind is None:
            loss, weight = only("loss", self.loss), only("loss_weights", self.loss_weights)
            self.targets = [Target(None, loss, 1.0 if weight is None else weight)]
        else:
            one = not isinstance(self.loss, (list, dict))
            found = [self.loss] * form.outputs if one else by_output("loss", self.loss, form)
            weights: list[Any] = [1.0] * form.outputs
            if self.loss_weights is not None:
                weights = by_output("loss_weights", self.loss_weights, form)
            self.targets = [
                Target(name, loss, 1.0 if weight is None else weight)
                for name, loss, weight in zip(form.names, found, weights, strict=True)
            ]
        self.bound, self._settled = [], False
        self.tracker.parts = [(t.name, t.weight) for t in self.targets if t.loss is not None]
        self.form = form

    def settle(self, y: Any, y_pred: Any, names: Sequence[str] = (), *, anew: bool = False) -> None:
        """Finds the metrics of outputs of this form; "accuracy" depends on targets and outputs.

        With `anew` it looks whether these are others than the last time.
        """
        form = form_of(y_pred, names)
        if form == self.form and self._settled and not anew:
            return
        self.outline(form)
        ys = self.targets_of(y)
        outputs = zip(self.targets, ys, form.leaves(y_pred), strict=True)
        kinds = [kind_of(target.loss, one, pred) for target, one, pred in outputs]
        if self._settled and kinds == self._kinds:
            return
        self.bound, self._kinds = [], kinds
        for is_weighted, given in enumerate(self._given):
            for k, several in enumerate(by_target(given, form)):
                target = self.targets[k]
                for identifier in several:
                    found = metric_of(identifier, target.loss, kinds[k])
                    self._bind(found, k, bool(is_weighted))
        self._settled = True

    _settled = False
    _kinds: Sequence[str] = ()

    def _bind(self, metric: Metric, k: int, weighted: bool) -> None:
        target = self.targets[k]
        check_name(metric.name)
        name = metric.name if target.name is None else f"{target.name}_{metric.name}"
        taken = [bound.name for bound in self.bound]
        if weighted and name in taken:
            prefix = "" if target.name is None else f"{target.name}_"
            name = f"{prefix}weighted_{metric.name}"
        unique, count = name, 0
        while unique in taken:
            count += 1
            unique = f"{name}_{count}"
        assert self.form is not None
        output = None if self.form.kind is None else k
        bound = Bound(metric, unique, output, self.form, target.loss)
        bound.weighted = weighted
        self.bound.append(bound)

    def targets_of(self, y: Any) -> list[Any]:
        """y for each output; None for an output without a loss, which y may leave out."""
        assert self.form is not None
        if self.form.kind is None:
            listed = isinstance(y, (list, tuple)) and len(y) == 1 and getattr(y[0], "ndim", 0) > 0
            return [y[0] if listed else y]
        wanted = [i for i, target in enumerate(self.targets) if target.loss is not None]
        if y is None:
            return [None] * len(self.targets)
        if isinstance(y, (list, tuple)) and len(y) == len(wanted) < len(self.targets):
            places = dict(zip(wanted, y, strict=True))
            return [places.get(i) for i in range(len(self.targets))]
        found = by_output("y", y, self.form)
        for i in wanted:
            if found[i] is None:
                raise ValueError(f"y: expected targets of the output {self.form.names[i]!r}")
        return found

    def weights_of(self, weights: Any) -> list[Any]:
        """sample_weight for each output; one array serves all."""
        assert self.form is not None
        if self.form.kind is None or weights is None:
            return [weights] * self.form.outputs
        if isinstance(weights, Mapping) or (
            isinstance(weights, (list, tuple)) and not np.isscalar(weights[0] if weights else 0)
        ):
            return by_output("sample_weight", weights, self.form)
        return [weights] * self.form.outputs

    def trained_of(self, variables: Sequence[Variable]) -> Trained:
        """Which Variables are trained: as `compile` found them; those made later, as they are."""
        found = {id(variable): trained for variable, trained in self.found}
        hidden = [v for v in variables if not v.trainable and found.get(id(v), False)]
        frozen = {id(v) for v in variables if v.trainable and not found.get(id(v), True)}
        return Trained(hidden, frozenset(frozen), frozenset(map(id, variables)))

    # -- values

    def value(
        self,
        y: Any,
        y_pred: Any,
        sample_weight: Any,
        training: bool,
        added: Sequence[Tensor] = (),
    ) -> Tensor:
        """The loss to minimise: for each output the sum of w * l over the rows of the batch,
        divided by these rows times the mean weight of the data set; not in training, by sum(w).

        `added`: losses that the model adds. Over an epoch they are a mean over rows.
        """
        assert self.form is not None
        outputs = zip(
            self.targets,
            self.targets_of(y),
            self.form.leaves(y_pred),
            self.weights_of(sample_weight),
            strict=True,
        )
        found: list[_Weighed] = []
        rows = 0
        for target, yk, pred, weights in outputs:
            if target.loss is None:
                continue
            if yk is None and not target.loss.is_own:
                raise ValueError(f"{target.loss.name}: expected y, got None")
            rows = len(pred)
            found.append(_Weighed(target, *target.loss.weighed(yk, pred, weights), rows))
        sums = [
            (float(one.mean) * one.weight if one.weight > 0 else 0.0, one.weight) for one in found
        ]
        rows = rows or (len(self.form.leaves(y_pred)[0]) if added else 0)
        # Over ranks it is what this rank's rows add to the loss of the whole batch.
        part = part_of_batch() if training else None
        of_all = found if part is None else _over_ranks(part, found)
        total: Tensor | None = None
        for mine, (one, every) in enumerate(zip(found, of_all, strict=True)):
            mean, by_weight = one.mean, one.target.loss.by_batch_weight
            whole = every.weight
            if training and not by_weight:
                known = mine < len(self.row_weights)
                whole = every.rows * self.row_weights[mine] if known else every.parts
            if training and whole and one.weight != whole:
                mean = mean * (one.weight / whole)
            if one.target.weight != 1:
                mean = mean * one.target.weight
            total = mean if total is None else total + mean
        if added:
            more = functools.reduce(operator.add, map(reduce_sum, added))
            sums.append((float(more) * rows, float(rows)))
            if part is not None:
                more = more * (part.own / part.whole)
            total = more if total is None else total + more
        if total is None:
            raise no_loss()
        self.tracker.expect(total, sums, rows)
        return total

    def count(self, y: Any, y_pred: Any, sample_weight: Any) -> None:
        """Updates the metrics, each row once or, of weighted metrics, by its weight."""
        if not self.bound:
            return
        assert self.form is not None
        ys, preds = self.targets_of(y), self.form.leaves(y_pred)
        by_row = self.weights_of(sample_weight)
        for bound in self.bound:
            k = bound._output or 0
            bound.update_one(ys[k], preds[k], by_row[k] if bound.weighted else None)

    @property
    def metrics(self) -> list[Metric]:
        """The metrics of `compile`; of one output those that were given."""
        return [
            bound.metric if bound._output is None and bound.name == bound.metric.name else bound
            for bound in self.bound
        ]

    def names(self) -> list[str]:
        """Names in logs, as far as they are known."""
        if self.bound or self._settled:
            return [*self.tracker.names, *(bound.name for bound in self.bound)]
        plain = (
            [name for given in self._given for part in flat(given) if (name := name_in_logs(part))]
            if not self.has_several
            else []
        )
        return [*(self.tracker.names or ["loss"]), *plain]

    def more_is_better(self, key: str) -> bool | None:
        """Whether more of a value in the logs is better; None where that is not known."""
        name = key.removeprefix("val_")
        for bound in self.bound:
            if name == bound.name:
                return bound.more_is_better
        return False if name == "loss" or name.endswith("_loss") else None


class _Weighed(NamedTuple):
    """The loss of an output: its mean, the weight and the parts of that, and rows."""

    target: Any
    mean: Tensor
    weight: float
    parts: float
    rows: int


def _over_ranks(part: Part, found: Sequence[_Weighed]) -> list[_Weighed]:
    """The same with the weights, parts and rows of all ranks."""
    own = [float(n) for one in found for n in (one.weight, one.parts, one.rows)]
    sums = iter(part.sums(own))
    return [
        one._replace(weight=next(sums), parts=next(sums), rows=round(next(sums))) for one in found
    ]


def only_native(objective: Objective) -> Loss | None:
    """The loss of a model of one output, where native code has it."""
    loss = objective.loss[0] if isinstance(objective.loss, list) else objective.loss
    return loss if isinstance(loss, Loss) and not loss.is_own else None
