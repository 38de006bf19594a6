"""TapedSteps: steps over the tape, of batches that a program makes as they are asked for."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal

from fastnn.models.checked import check
from fastnn.models.compiled import Plan
from fastnn.models.steps import Logs, own_steps
from fastnn.models.taped import Taped, Training, kept_metrics
from fastnn.models.taped_tables import Given
from fastnn.protocols import Position
from fastnn.training import taped
from fastnn.training.snapshots import Snapshots


class TapedSteps:
    """One step after the other, each of a batch that is checked before it.

    `given` makes the parts of a batch.
    """

    def __init__(
        self, model: Taped, plan: Plan, doing: str, class_weight: Any, given: Callable[..., Given]
    ) -> None:
        self._model = model
        self._plan = plan
        self._doing = doing
        self._class_weight = class_weight
        self._given = given
        self._settled = False
        self._shapes: Any = None
        self._copies: Snapshots[Any] | None = None
        self._epoch = self._step = 0
        self._logs: Logs = {}

    def training(self) -> Any:
        """A `with` block around training."""
        return Training(self._model, self._plan, ())

    @contextlib.contextmanager
    def testing(self) -> Iterator[None]:
        """A `with` block around a test outside of training."""
        objective = self._plan.objective
        with objective.lock, kept_metrics([objective.tracker, *self._model.metrics]):
            yield

    def begin(self, epoch: int = 0) -> None:
        self._model.reset_metrics()
        self._epoch, self._step = epoch, 0

    def _data(self, batch: Any, doing: Literal["train", "test"]) -> Any:
        model, plan = self._model, self._plan
        own = f"{doing}_step" in own_steps(model, doing)
        given = self._given(batch, self._doing)
        inputs = model._inputs(self._doing, given)
        if not self._settled:
            self._shapes = model._settled(self._doing, plan, inputs, given, inputs[1], own)
            self._settled = True
            reason = plan.reason or model._reason_of_call(given.x)
            if reason is not None and doing == "train":
                model._tell(reason)
        found = model._batches(self._doing, plan, inputs, given, own)
        found = model._with_class_weights(plan, found, self._class_weight, self._shapes)
        check(plan.objective, found, self._shapes)
        return taped.data_of(found, slice(None))

    def settle(self, batch: Any) -> None:
        """Finds losses and metrics for the outputs of a batch, before the first step."""
        self._data(batch, "train")

    def check_counted(self, begins: Position) -> None:
        self._model.check_counted(begins.sums)

    def counted(self) -> tuple[Any, ...]:
        return self._model.counted()

    def go_on(self, begins: Position) -> None:
        self._model.count_on(begins.sums)
        self._step, self._logs = begins.step, dict(begins.logs or {})

    def train(self, batch: Any) -> Logs:
        model = self._model
        data = self._data(batch, "train")
        if self._copies is None:
            self._copies = Snapshots(model.copies_every(), model.copied_state)
        self._copies.before_step()
        model.more_follows = True
        try:
            logs = model.train_on_data(data)
        finally:
            model.more_follows = False
        bad = model.bad_loss(logs)
        if bad is not None:
            self._copies.after_step(0.0)
            taped.diverge(
                f"the loss became {bad}", self._epoch, self._step, bad, self._copies, model
            )
        self._copies.after_step(model.mean_of_step(logs))
        self._step += 1
        self._logs = logs
        return logs

    def test(self, batch: Any) -> Logs:
        data = self._data(batch, "test")
        self._model.more_follows = True
        try:
            self._logs = self._model.test_on_data(data)
        finally:
            self._model.more_follows = False
        return self._logs

    def finish(self, *, trained: bool, ends: bool) -> Logs:
        model = self._model
        if ends and model.has_bad_weights() and self._copies is not None:
            what = "a weight became nan or infinite"
            taped.diverge(what, self._epoch, self._step - 1, math.nan, self._copies, model)
        if trained:
            steps, epoch = model._counts()
            model._set_counts((steps, epoch + 1))
        return model.completed(self._logs)
