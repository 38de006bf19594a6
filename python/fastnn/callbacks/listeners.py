"""The callbacks of one call, and which hooks any of them listens to.

Python is called only where a callback listens: a hook that no callback overrides costs nothing,
and a batch hook makes every batch a native call of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from fastnn.callbacks.base import Callback, History
from fastnn.callbacks.limits import TimeLimit
from fastnn.protocols import Places, Position, Trainable

EPOCH_HOOKS = ("on_epoch_begin", "on_epoch_end")
TRAIN_BATCH_HOOKS = (
    "on_train_batch_begin",
    "on_train_batch_end",
    "on_batch_begin",
    "on_batch_end",
)
TEST_HOOKS = ("on_test_begin", "on_test_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_BATCH_HOOKS = ("on_predict_batch_begin", "on_predict_batch_end")


class CallbackList:
    """The callbacks of one call, called in turn; a History comes last.

        >>> history = fastnn.callbacks.History()
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> callbacks = fastnn.callbacks.CallbackList([history], model, {"epochs": 1})
        >>> callbacks.call("on_train_begin")
        >>> callbacks.call("on_epoch_end", 0, {"loss": 0.5})
        >>> history.history
        {'loss': [0.5]}

    Args:
        callbacks: a Callback, or several; None: none.
        model: what their `model` is.
        params: what their `params` are; see `Callback`.
        defaults: further callbacks, each unless there is one of its class.
    """

    def __init__(
        self,
        callbacks: Callback | Iterable[Callback] | None,
        model: Trainable,
        params: dict[str, Any],
        *defaults: Callback,
    ) -> None:
        given = _listed(callbacks)
        # A History or progress line from the user takes the place of the default.
        self.callbacks = given + [
            default
            for default in defaults
            if not any(isinstance(callback, type(default)) for callback in given)
        ]
        if params.get("rank", 0):  # rank 0 tells
            self.callbacks = [one for one in self.callbacks if not one.only_tells]
        self.callbacks.sort(key=lambda callback: callback.acts_last)
        self._model = model
        self._is_limited = any(isinstance(one, TimeLimit) for one in self.callbacks)
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
            callback.set_peers(self.callbacks)

    def first(self, kind: type[Callback]) -> Any:
        """The first callback of a kind, or None."""
        return next((callback for callback in self.callbacks if isinstance(callback, kind)), None)

    def listens(self, *hooks: str) -> bool:
        """Whether any callback overrides any of the hooks."""
        return any(_overrides(callback, hook) for callback in self.callbacks for hook in hooks)

    def watching(self, place: Places, *hooks: str) -> list[tuple[Callback, dict[str, Any]]] | None:
        """The callbacks that listen to the hooks, each with its rule for native code (`watch`).

        None: one of them has to be called after each epoch, or in between.
        """
        found = []
        for callback in self.callbacks:
            heard = [hook for hook in hooks if _overrides(callback, hook)]
            if not heard:
                continue
            rule = callback.watch(place) if heard == ["on_epoch_end"] else None
            if rule is None:
                return None
            found.append((callback, rule))
        return found

    def begins_at(
        self, here: Position, given: Position | None, check_sums: Callable[[Position], None]
    ) -> Position:
        """Where `fit` begins: at `given`, or `here`, unless a callback has a state to go on from.

        ValueError where that is in the middle of an epoch of other data than `here`, or has sums
        that `check_sums` refuses; callbacks have put nothing back then.
        """

        def check(position: Position) -> None:
            position.check_data(here)
            if position.step:
                check_sums(position)

        if given is not None:
            check(given)
        position = (given or here)._replace(data=here.data)
        for callback in self.callbacks:
            position = callback.begins_at(position, check) or position
        return position

    def time_left(self) -> float | None:
        """The seconds that a TimeLimit leaves; None: none is there."""
        return min((one.left for one in self.callbacks if isinstance(one, TimeLimit)), default=None)

    def stops(self) -> bool:
        """Whether no step is to follow: a callback said so, or the time of a TimeLimit is up."""
        left = self.time_left() if self._is_limited else None
        return bool(self._model.stop_training) or (left is not None and left <= 0)

    def call(self, hook: str, *args: Any) -> None:
        """Calls a hook of every callback; hooks always get their logs, as in Keras."""
        for callback in self.callbacks:
            getattr(callback, hook)(*args)


# Hooks of this package that need no call between epochs: the loop of fit feeds the History.
_SILENT = (History.on_epoch_end,)


def _listed(given: object) -> list[Callback]:
    """The callbacks as a list; TypeError for anything else."""
    if given is None:
        return []
    if isinstance(given, Callback):
        return [given]
    listed: list[Any] = list(given) if isinstance(given, Iterable) else [given]
    for callback in listed:
        if not isinstance(callback, Callback):
            meant = ""
            if isinstance(callback, type):
                meant = f"; call the class, {callback.__name__}(...)"
            elif callable(callback):
                meant = "; a function goes into callbacks.LambdaCallback(on_epoch_end=f)"
            raise TypeError(f"callbacks: expected Callback objects, got {callback!r}{meant}")
    return listed


def _overrides(callback: Callback, hook: str) -> bool:
    # LambdaCallback sets hooks on the object, subclasses on the class: both count.
    if hook in callback.ignored_hooks:
        return False
    bound = getattr(callback, hook)
    function = getattr(bound, "__func__", bound)
    return function is not getattr(Callback, hook) and function not in _SILENT
