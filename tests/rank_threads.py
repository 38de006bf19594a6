"""Ranks as threads of one process: a communicator with mpi4py's calls, and a way to run on each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


class Aborted(Exception):
    """A rank called Abort."""


class _Round:
    """One call that all ranks make together."""

    def __init__(self, size: int) -> None:
        self.given: list[Any] = [None] * size
        self.names: list[str] = [""] * size


class World:
    """What the communicators of all ranks share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rounds: list[_Round] = []
        self.changed = threading.Condition()
        self.aborted = False
        self.calls = 0

    def post(self, number: int, rank: int, name: str, array: Any) -> None:
        with self.changed:
            while len(self.rounds) <= number:
                self.rounds.append(_Round(self.size))
            self.rounds[number].given[rank] = np.array(array, copy=True)
            self.rounds[number].names[rank] = name
            self.calls += 1
            self.changed.notify_all()

    def is_done(self, number: int) -> bool:
        with self.changed:
            if self.aborted:
                raise Aborted
            return all(one is not None for one in self.rounds[number].given)

    def wait(self, number: int) -> None:
        with self.changed:
            self.changed.wait_for(
                lambda: self.aborted or all(one is not None for one in self.rounds[number].given),
                timeout=60,
            )
            if self.aborted:
                raise Aborted


class Comm:
    """The blocking calls."""

    def __init__(self, world: World, rank: int) -> None:
        self._world, self._rank, self._count = world, rank, 0

    def Get_rank(self) -> int:
        return self._rank

    def Get_size(self) -> int:
        return self._world.size

    def _begin(self, name: str, sendbuf: Any, recvbuf: Any) -> Request:
        assert recvbuf.flags.writeable
        number = self._count
        self._count += 1
        self._world.post(number, self._rank, name, sendbuf)
        return Request(self._world, number, self._rank, name, recvbuf)

    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None:
        self._begin("gather", sendbuf, recvbuf).Wait()

    def Alltoall(self, sendbuf: Any, recvbuf: Any) -> None:
        self._begin("swap", sendbuf, recvbuf).Wait()


class WaitingComm(Comm):
    """Those that do not block, too."""

    def Iallgather(self, sendbuf: Any, recvbuf: Any) -> Request:
        return self._begin("gather", sendbuf, recvbuf)

    def Ialltoall(self, sendbuf: Any, recvbuf: Any) -> Request:
        return self._begin("swap", sendbuf, recvbuf)

    def Abort(self, code: int) -> None:
        with self._world.changed:
            self._world.aborted = True
            self._world.changed.notify_all()
        raise Aborted(code)


class Request:
    def __init__(self, world: World, number: int, rank: int, name: str, into: Any) -> None:
        self._world, self._number, self._rank = world, number, rank
        self._name, self._into = name, into

    def Test(self) -> bool:
        if not self._world.is_done(self._number):
            return False
        self._finish()
        return True

    def Wait(self) -> None:
        self._world.wait(self._number)
        self._finish()

    def _finish(self) -> None:
        made = self._world.rounds[self._number]
        # With MPI the job would hang or crash here.
        assert set(made.names) == {self._name}, f"ranks make different calls: {made.names}"
        for row, given in zip(self._into, made.given, strict=True):
            row[...] = given if self._name == "gather" else given[self._rank]


def on_ranks(
    size: int,
    work: Callable[[int, Any], Any],
    kind: type[Comm] = Comm,
    world: World | None = None,
) -> list[Any]:
    """What work(rank, comm) returns, or raises, on each rank, all at once."""
    world = world or World(size)
    found: list[Any] = [None] * size

    def run(rank: int) -> None:
        try:
            found[rank] = work(rank, kind(world, rank))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            found[rank] = error

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert not any(thread.is_alive() for thread in threads), "a rank hangs"
    return found


def results(found: Sequence[Any]) -> list[Any]:
    """The same, where no rank may have failed."""
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return list(found)
