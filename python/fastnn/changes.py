"""Changes: values in many objects that are replaced at one moment, all of them or none.

A change of a model concerns the model, its layers and their Variables. Each keeps what a change
may replace in a Switch. The change is made aside: every Switch gets the new value beside the
former one, which stays in force. Then one assignment settles the change, and all Switches show
their new values. An exception at any line, from a signal too, leaves all old or all new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

from fastnn.claims import Claim

T = TypeVar("T")


class Change(Claim):
    """A call that changes objects; `change.settled = True` makes its new values those in force.

    At most one change of an object is under way (see `Exclusive`).
    """

    __slots__ = ("settled",)

    def __init__(self, doing: str) -> None:
        super().__init__(doing)
        self.settled = False


class Switch(Generic[T]):
    """A value, or a former one and the one that a change puts in its place."""

    __slots__ = ("_change", "_former", "_value")

    def __init__(self, value: T, former: T | None = None, change: Change | None = None) -> None:
        self._value = value
        self._former: Any = former
        self._change = change

    @property
    def now(self) -> T:
        """The value in force."""
        former = self._former  # read first: once the change is settled, it may go at any time
        change = self._change
        return self._value if change is None or change.settled else former

    @property
    def is_final(self) -> bool:
        """Whether the value stays in force as long as the object has this Switch: no change is under
        way."""
        self.forget_former()
        return self._change is None

    def to(self, value: T, change: Change) -> Switch[T]:
        """A switch from the value in force to this one."""
        return Switch(value, self.now, change)

    def forget_former(self) -> None:
        """Lets go of the former value once its change is settled."""
        change = self._change
        if change is not None and change.settled:
            self._change = self._former = None


def forget_former(switches: Iterable[Switch[Any]]) -> None:
    """Lets go of what a settled change replaced."""
    for switch in switches:
        switch.forget_former()
