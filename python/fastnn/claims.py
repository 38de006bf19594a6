"""Claims: one call at a time trains or changes an object; other calls are refused, or wait.

A call claims in a `with`, whose first statement takes what is claimed:

    claim = Claim("fit")
    with claim, claim.lock:
        exclusive.take(claim)
        ...

The lock belongs to this claim alone and is held exactly as long as the call runs: C code takes and
releases it, and CPython handles no signal between that code and the block. Where an exception
comes between the two all the same, from a debugger or a tracer, the outer part of the `with`
releases the lock. So an exception, wherever it is raised, leaves no claim behind. No thread ever
waits for such a lock, so a child of a fork waits for none that a thread of its parent held.
"""

from __future__ import annotations

import os
import threading
import time

_PATIENCE = 0.0005  # seconds between looks at a claim that is waited for


class Claim:
    """A call that trains or changes something, or did so."""

    __slots__ = ("by", "doing", "lock")

    def __init__(self, doing: str) -> None:
        self.doing = doing
        self.by = _here()
        self.lock = threading.Lock()

    def __enter__(self) -> None:
        """The lock is taken after this, so that it is released before `__exit__`."""

    def __exit__(self, *_: object) -> None:
        if self.lock.locked():
            self.lock.release()

    def goes_on(self) -> bool:
        """Whether the call has not ended. In the child of a fork every call of the parent has."""
        return self.lock.locked() and self.by[0] == os.getpid()


class _Link:
    """A claim in the chain of those on one object."""

    __slots__ = ("claim", "followed")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        # The link after this one, under the key "next": `setdefault` is atomic.
        self.followed: dict[str, _Link] = {}


class Exclusive:
    """The claims on one object, a chain of which only the last can be under way.

    `what` names the object in messages.
    """

    __slots__ = ("_last", "_what")

    def __init__(self, what: str) -> None:
        self._what = what
        self._last = _Link(Claim("nothing"))

    def take(self, claim: Claim, *, waits: bool = False) -> None:
        """Makes `claim`, whose lock is held, the last one.

        Raises:
            RuntimeError: another claim is under way. With `waits` that is waited for, unless it
                is this very thread's.
        """
        mine = _Link(claim)
        link = self._last
        while link is not mine:
            held = link.claim
            while held is not claim and held.goes_on():
                if held.by == claim.by:
                    self._refuse(claim, held, ", which called this")
                if not waits:
                    self._refuse(claim, held, " in another thread")
                time.sleep(_PATIENCE)
            # One claim alone can follow an ended one, so of several threads one gets through.
            link = link.followed.setdefault("next", mine)
        self._last = mine

    def _refuse(self, claim: Claim, held: Claim, where: str) -> None:
        raise RuntimeError(
            f"{claim.doing}: {self._what} is in {_article(held.doing)} already{where}; "
            "one at a time may change it"
        )

    def refuse_others(self, doing: str) -> None:
        """RuntimeError while another thread has a claim; callbacks of this one may go on."""
        held = self._last.claim
        if held.goes_on() and held.by != _here():
            raise RuntimeError(
                f"{doing}: {self._what} is in {_article(held.doing)} in another thread"
            )

    def goes_on(self, *, elsewhere: bool = False) -> bool:
        """Whether there is a claim; with `elsewhere` one of another thread."""
        held = self._last.claim
        return held.goes_on() and not (elsewhere and held.by == _here())

    def refuse_all(self, doing: str) -> None:
        """RuntimeError while there is a claim, also of this thread."""
        self.refuse_others(doing)
        held = self._last.claim
        if held.goes_on():
            raise RuntimeError(f"{doing}: not possible during {held.doing} of {self._what}")


def _article(doing: str) -> str:
    """ "a fit", "an add"."""
    return f"{'an' if doing[0] in 'aeiou' else 'a'} {doing}"


def _here() -> tuple[int, int]:
    return os.getpid(), threading.get_ident()
