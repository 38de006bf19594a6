"""Exclusive: one call at a time trains a model, and no other thread uses the model meanwhile.

A call that trains claims the model in a `with` of two parts, on one line:

    claim = exclusive.claim("fit")
    with claim.lock, claim:
        ...

The lock belongs to this claim alone and is held exactly as long as the call runs: C code takes and
releases it, and CPython handles no signal between that code and the block. So an exception from a
signal handler, wherever it is raised, leaves no claim behind.
"""

from __future__ import annotations

import os
import threading


class Claim:
    """A call that trains, or has trained, a model."""

    def __init__(self, exclusive: Exclusive, doing: str) -> None:
        self.doing = doing
        self.by = _here()
        self.lock = threading.Lock()
        # The claim that followed this one, under the key "next": `setdefault` is atomic.
        self.followed: dict[str, Claim] = {}
        self._exclusive = exclusive

    def goes_on(self) -> bool:
        """Whether the call has not ended. In the child of a fork every call of the parent has."""
        return self.lock.locked() and self.by[0] == os.getpid()

    def __enter__(self) -> None:
        self._exclusive.take(self)

    def __exit__(self, *_: object) -> None:
        """Nothing is left to do: the release of the lock ends the claim."""


class Exclusive:
    """The claims on one model, a chain of which only the last can be under way."""

    def __init__(self) -> None:
        self._last = Claim(self, "nothing")

    def claim(self, doing: str) -> Claim:
        """A claim for a call of this name, to be taken in a `with`."""
        return Claim(self, doing)

    def take(self, mine: Claim) -> None:
        """Makes `mine`, whose lock is held, the last claim; RuntimeError if one is under way."""
        held = self._last
        while held is not mine:
            if held.goes_on():
                where = ", which called this" if held.by == mine.by else " in another thread"
                raise RuntimeError(
                    f"{mine.doing}: this model is in a {held.doing} already{where}; "
                    "one at a time may change a model"
                )
            # One claim alone can follow an ended one, so of several threads one gets through.
            held = held.followed.setdefault("next", mine)
        self._last = mine

    def refuse_others(self, doing: str) -> None:
        """RuntimeError while another thread trains the model; its own callbacks may go on."""
        held = self._last
        if held.goes_on() and held.by != _here():
            raise RuntimeError(f"{doing}: this model is in a {held.doing} in another thread")

    def refuse_all(self, doing: str) -> None:
        """RuntimeError while the model is being trained, also by this thread."""
        self.refuse_others(doing)
        held = self._last
        if held.goes_on():
            raise RuntimeError(f"{doing}: not possible during {held.doing} of the same model")


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()
