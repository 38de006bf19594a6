"""Members: the networks of an estimator, each trained with its own rows held out.

`fit_members` is the one place that trains. What it is given is plain: rows, targets, plans.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastnn.callbacks.base import Callback
from fastnn.callbacks.limits import TimeLimit
from fastnn.console import say
from fastnn.data.encoding import Encoding
from fastnn.data.table import Table
from fastnn.losses import Loss
from fastnn.models import Model, Sequential
from fastnn.optimizers import AdamW
from fastnn.optimizers.schedules import CosineLog
from fastnn.sklearn.tabular.choice import Choice
from fastnn.sklearn.tabular.net import ROWS, network, start
from fastnn.sklearn.tabular.recipe import Kind, Plan, Recipe, epochs_after
from fastnn.training.loops import Schedule
from fastnn.training.side_by_side import Stop, side_by_side

Floats = NDArray[np.float32]

_LOOK = 0.1  # seconds between looks whether training is to end


class Data(NamedTuple):
    """Rows to train on.

    `raw`: their raw columns. `targets`: (n, outputs). `weights`: of rows; None: all count alike.
    """

    raw: Floats
    encoding: Encoding
    targets: Floats
    weights: NDArray[np.float64] | None


class Task(NamedTuple):
    """What is learned."""

    outputs: int
    loss: Loss
    share: float = 0.0  # of accuracy in the choice of the epoch, see `Choice`


class Member(NamedTuple):
    """A trained network."""

    model: Sequential | Model
    kind: Kind
    epoch: int  # whose weights it has, from 0
    epochs: int  # that it trained for
    curve: dict[str, list[float]]

    @property
    def codes(self) -> bool:
        """Whether its inputs have piecewise linear codes."""
        return self.kind == "pieces"


class Fitted(NamedTuple):
    """A member, and its outputs for the rows that it holds out, (held rows, outputs)."""

    member: Member
    outputs: Floats


def fit_members(
    data: Data, task: Task, plans: Sequence[Plan], recipe: Recipe, time_limit: float | None = None
) -> list[Fitted]:
    """Trains the members, each on a thread of its own; on one thread, one after another.

    Args:
        data, task: what is learned, of which rows.
        plans: of the members.
        recipe: what they share.
        time_limit: seconds; a member for which too little is left is not begun, and those of the
            first round are cut.

    Returns:
        The members that were trained: the first of the plans, at least one.
    """
    begun = time.monotonic()
    took: list[float] = []  # the seconds of each member so far
    turns = Turns(
        [plan.kind for plan in plans],
        recipe.epochs,
        follow=recipe.adapts and time_limit is None and all(len(plan.held) for plan in plans),
    )

    def fit(number: int, epochs: int, stop: Stop) -> Fitted | None:
        since = time.monotonic()
        left = None if time_limit is None else time_limit - (since - begun)
        if stop or (left is not None and took and left < sum(took) / len(took)):
            return None
        plan, own = plans[number], recipe._replace(epochs=epochs)
        made = _fit_one(data, task, plan, own, left, stop)
        outputs = made.model.predict(data.raw[plan.held], verbose=0) if len(plan.held) else ()
        took.append(time.monotonic() - since)
        if recipe.verbose and not stop:
            told = f"member {number + 1}/{len(plans)}: {made.epochs} epochs"
            if len(plan.held):
                loss = made.curve["val_loss"][made.epoch]
                told += f", the best is {made.epoch + 1}: val_loss {loss:.5g}"
            say(told)
        return Fitted(made, np.asarray(outputs, np.float32))

    def next_one(stop: Stop) -> tuple[int, Fitted | None]:
        number, epochs = turns.take(stop)
        found = None
        try:
            found = fit(number, epochs, stop)
        finally:
            turns.ended(number, None if found is None else found.member)
        return number, found

    came = dict(side_by_side([next_one] * len(plans), recipe.threads))
    first = takewhile(lambda one: one is not None, (came[number] for number in range(len(plans))))
    return [one for one in first if one is not None]


class Turns:
    """Which member is trained next, and for how many epochs.

    The first member of a kind has the epochs of the recipe. Where others follow it, they wait until its
    curve has told their length; a thread takes a member that need not wait, if there is one.

    Args:
        kinds: of the members, in their order.
        epochs: of the recipe.
        follow: whether members follow the first of their kind.
    """

    def __init__(self, kinds: Sequence[Kind], epochs: int, *, follow: bool) -> None:
        self._kinds, self._epochs, self._follow = list(kinds), epochs, follow
        self._left = list(range(len(kinds)))
        self._lengths: dict[Kind, int] = {}  # by kind, once its first member has ended
        self._first = {kind: self._kinds.index(kind) for kind in set(kinds)}
        self._changed = threading.Condition()

    def take(self, stop: Stop) -> tuple[int, int]:
        """The number of a member and its epochs; after a stop any one, which is not to be trained."""
        with self._changed:
            while (number := self._ready()) is None and not stop:
                self._changed.wait(_LOOK)
            if number is None:
                number = self._left[0]
            self._left.remove(number)
            kind = self._kinds[number]
            if number == self._first[kind]:
                return number, self._epochs
            return number, self._lengths.get(kind, self._epochs)

    def _ready(self) -> int | None:
        """Of those that are left, the first one of a kind, then one whose kind has its length."""
        for number in self._left:
            if not self._follow or number == self._first[self._kinds[number]]:
                return number
        for number in self._left:
            if self._kinds[number] in self._lengths:
                return number
        return None

    def ended(self, number: int, member: Member | None) -> None:
        """Tells what came of a member; None: it was not trained."""
        kind = self._kinds[number]
        with self._changed:
            if self._follow and number == self._first[kind]:
                best = self._epochs if member is None else member.epoch + 1
                self._lengths[kind] = epochs_after(best, self._epochs)
            self._changed.notify_all()


def _fit_one(
    data: Data, task: Task, plan: Plan, recipe: Recipe, left: float | None, stop: Stop
) -> Member:
    net = network(recipe, data.encoding, plan.kind, task.outputs, plan.seed)
    model = net.model
    random = np.random.default_rng(plan.seed)
    seen = data.raw[plan.train[random.permutation(len(plan.train))[:ROWS]]]
    rows = data.encoding.rows(seen, codes=plan.kind == "pieces")
    start(net, rows, recipe.activation, random)
    steps = recipe.epochs * math.ceil(len(plan.train) / recipe.batch_size)
    optimizer = AdamW(
        CosineLog(recipe.learning_rate, steps, recipe.cycles),
        weight_decay=recipe.weight_decay,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
    )
    optimizer.exclude_from_weight_decay(net.scales, var_names=["bias"])
    optimizer.multiply_learning_rate(recipe.scale_rate, net.scales)
    optimizer.multiply_learning_rate(net.gain, [net.dense[0].kernel])
    model.compile(
        optimizer,
        task.loss,
        weighted_metrics=["accuracy"] if task.share else [],
        device=recipe.device,
        matmul_precision=recipe.matmul_precision,
    )
    validation = _table(data, task, plan.held) if len(plan.held) else None
    choice = Choice(task.share)
    callbacks: list[Callback] = [] if validation is None else [choice]
    if left is not None:
        callbacks.append(TimeLimit(max(left, 1e-3)))
    schedule = Schedule(recipe.batch_size, recipe.epochs, 0, True, 1, recipe.batch_size)
    with stop.ends(model):
        history = model.fit_tables(_table(data, task, plan.train), validation, schedule, callbacks)
    curve = {name: [float(v) for v in values] for name, values in history.history.items()}
    epochs = len(history.epoch)
    return Member(
        model, plan.kind, choice.epoch if choice.epoch >= 0 else epochs - 1, epochs, curve
    )


def _table(data: Data, task: Task, chosen: NDArray[np.int64]) -> Table:
    targets = data.targets
    if targets.shape[1] != task.outputs:  # quantiles have an output each, and one target
        targets = np.repeat(targets, task.outputs // targets.shape[1], axis=1)
    return Table(data.raw, targets, None, data.weights, chosen)
