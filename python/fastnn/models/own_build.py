"""A `build` of a model class of a program's own, which is called once, before the first `call`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from fastnn import calling
from fastnn.models.own_inputs import has_shape, parameters_of, shapes_in

_KEY = "_own_build"  # among the attributes: "runs", "is called", or "done"


def once(build: Callable[..., None]) -> Callable[..., None]:
    """`build` of a class, which runs once for each model, also where a class derived from it calls it."""

    @functools.wraps(build)
    def built_once(self: Any, *shapes: Any, **named: Any) -> None:
        state = vars(self).get(_KEY)
        if state in ("runs", "is called"):  # by super().build(...)
            build(self, *shapes, **named)
        elif state is None:
            _run(self, lambda: build(self, *shapes, **named), "runs")

    return built_once


def is_called(model: Any) -> bool:
    """Whether `build` runs since the model is called: its `call` says what else there is to build."""
    return bool(vars(model).get(_KEY) == "is called")


def is_done(model: Any) -> bool:
    """Whether `build` ran."""
    return bool(vars(model).get(_KEY) == "done")


def build_before_call(model: Any, inputs: Any) -> None:
    """Runs a `build` of the program's own for these inputs, unless it ran."""
    if _KEY not in vars(model) and has_shape(inputs):
        shapes = [shapes_in(inputs)] if parameters_of(type(model).build) else []
        _run(model, lambda: type(model).build.__wrapped__(model, *shapes), "is called")


def _run(model: Any, build: Callable[[], None], doing: str) -> None:
    vars(model)[_KEY] = doing
    now = calling.now()
    inside = now.inside(now.training, False, dtype=model._given_dtype)
    try:
        with calling.entered(inside._replace(tracing=False, building=True)) as lock, lock:
            build()
    except BaseException:
        del vars(model)[_KEY]
        raise
    vars(model)[_KEY] = "done"
