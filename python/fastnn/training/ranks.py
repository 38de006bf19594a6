"""Ranks: processes that train one model together, each on its part of every batch.

The sums themselves are native (csrc/core/exchange.h). Here is how their bytes travel, over a
communicator of mpi4py or one with the same calls, and how ranks agree before training.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.console import complain, warn
from fastnn.data.sparse import SparseRows
from fastnn.data.table import Table
from fastnn.words import choose, integer, keywords, number

RowsOfRanks = Literal["same", "shards"]
_ROWS_OF_RANKS: tuple[RowsOfRanks, ...] = ("same", "shards")

# The calls of a communicator that training needs; those that do not block are used where they are.
_NEEDED = ("Get_rank", "Get_size", "Allgather", "Alltoall")
# How long a rank asks without a pause, and when it looks for ranks that are gone, in seconds.
_SPIN, _LOOK = 1e-3, 0.5
# After an interrupt the sum that is under way may take so long to end.
_GRACE = 5.0


class Communicator(Protocol):
    """The calls of mpi4py's communicators that training over ranks needs, on NumPy arrays."""

    def Get_rank(self) -> int: ...
    def Get_size(self) -> int: ...
    def Allgather(self, sendbuf: Any, recvbuf: Any) -> None: ...
    def Alltoall(self, sendbuf: Any, recvbuf: Any) -> None: ...


class Ranks:
    """How processes train one model together: the `comm` of `fit`, with options.

        >>> class Alone:  # what MPI.COMM_WORLD is in a program of one process
        ...     Get_rank, Get_size = lambda self: 0, lambda self: 1
        ...     def Allgather(self, sendbuf, recvbuf): recvbuf[...] = sendbuf
        ...     Alltoall = Allgather
        >>> model = fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(2,))])
        >>> model.compile("sgd", "mean_squared_error")
        >>> ranks = fastnn.Ranks(Alone(), rows="shards")
        >>> model.fit(np.ones((8, 2)), np.ones(8), verbose=0, comm=ranks).epoch
        [0]

    Every process makes the same model, from the same seed, and calls `fit` with the same arguments.
    Gradients are added up in the order of ranks, so that all ranks have the same weights to the last
    bit after each step, in each run. They are those of one process, but for rounding: rows, dropout
    masks, statistics of batch normalization, losses and metrics are of the batch of all ranks. That
    holds for arrays, `Chunks`, batches that programs make, and models that train over a tape;
    docs/scale.md lists what does not go over ranks.

    Args:
        comm: a communicator of mpi4py (`MPI.COMM_WORLD`), or an object with its calls `Get_rank`,
            `Get_size`, `Allgather` and `Alltoall` on NumPy arrays. Where it has `Iallgather`,
            `Ialltoall` and `Abort`, too, Ctrl-C and `timeout` act while a rank waits for others.
        rows: "same": every rank has all rows, and takes its part of each batch. "shards": every rank
            has rows of its own, at least one; those of all ranks in order are the data set. The parts
            of a batch are then as random as the rows in it. Of `Chunks` that are shards each rank
            brings about as much of a batch as it has of all rows. Where programs make batches, those
            of a rank are its part of each, with either word, which is then of validation data.
        average_every: 0: gradients are summed in every step. k: each rank makes k steps on its part of
            each batch alone, after which weights are averaged, as also after each epoch (Stich, Local
            SGD converges fast and communicates little, arXiv:1805.09767). For slow networks; the
            weights are no longer those of one process. The state of the optimizer, such as Adam's
            moments, stays with each rank within an epoch, and is averaged where the epoch ends:
            a backup, which is made there, has all that the next epoch begins with.
        timeout: seconds that a rank waits for others, above 0. Then it says so and ends the job.

    Raises:
        TypeError: comm has not these calls.
        ValueError: an option is wrong.
    """

    @keywords()
    def __init__(
        self,
        comm: Communicator,
        rows: RowsOfRanks = "same",
        average_every: int = 0,
        timeout: float = 600.0,
    ) -> None:
        for call in _NEEDED:
            if not callable(getattr(comm, call, None)):
                raise TypeError(
                    f"comm: expected a communicator of mpi4py, or one with its calls "
                    f"{', '.join(_NEEDED)}, got {type(comm).__name__} without {call}"
                )
        self.comm = comm
        self.rows = choose("rows", rows, _ROWS_OF_RANKS)
        self.average_every = integer("average_every", average_every, 0)
        self.timeout = number("timeout", timeout, 0.0, open_low=True)
        self.size = integer("comm: Get_size()", comm.Get_size())
        self.rank = integer("comm: Get_rank()", comm.Get_rank(), 0, self.size - 1)

    def __repr__(self) -> str:
        return f"<Ranks: rank {self.rank} of {self.size}, rows={self.rows!r}>"


class _Place(NamedTuple):
    """Where a rank runs."""

    host: float  # a number that processes of one machine have in common
    pid: float
    threads: float  # that native code uses
    cores: float  # that the process may run on; 0: not all of the machine's


def _place() -> _Place:
    names = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            stat = os.stat(path)  # noqa: PTH116
            names.append(f"{stat.st_dev}.{stat.st_ino}")
    digest = hashlib.blake2b("/".join(names).encode(), digest_size=6).digest()
    host = float(int.from_bytes(digest, "little"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    free = cores == os.cpu_count()
    return _Place(
        host, float(os.getpid()), float(_core.num_threads()), float(free and (cores or 0))
    )


def crowded(own: _Place, places: Sequence[_Place]) -> str | None:
    """What to say where the ranks of a machine have more threads than it has cores; None: they have not.

    Ranks that a launcher has bound to some cores keep to these by themselves.
    """
    here = {place.pid: place for place in places if place.host == own.host}
    threads = sum(place.threads for place in here.values())
    if len(here) < 2 or not own.cores or threads <= max(own.cores, len(here)):
        return None
    return (
        f"fit: {len(here)} ranks of one machine have {threads:.0f} threads on {own.cores:.0f} cores; call "
        f"fastnn.set_num_threads({max(1, int(own.cores) // len(here))}) in each"
    )


def _state_of(pid: int) -> str:
    """How a process of this machine is, as the kernel names it; "": it is gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "" if os.path.isdir("/proc/self") else "?"  # noqa: PTH112


class Link:
    """Carries the bytes of native sums; what the calls need is in `fastnn._core.Exchange`."""

    def __init__(self, ranks: Ranks) -> None:
        self._comm: Any = ranks.comm
        self._ranks = ranks
        self._interrupted = False
        self.places: list[_Place] = []
        self.broken = False  # a call has failed, and ranks no longer make the same ones
        waits = hasattr(self._comm, "Iallgather") and hasattr(self._comm, "Ialltoall")
        self._gather = self._waiting("Iallgather") if waits else self._comm.Allgather
        self._swap = self._waiting("Ialltoall") if waits else self._comm.Alltoall

    def gather(self, mine: NDArray[np.uint8], everyone: NDArray[np.uint8]) -> bool:
        """Whether an interrupt came meanwhile, which `rest` raises."""
        return self._carry(self._gather, mine, everyone)

    def swap(self, out: NDArray[np.uint8], into: NDArray[np.uint8]) -> bool:
        """The same."""
        return self._carry(self._swap, out, into)

    def _carry(self, call: Any, out: NDArray[np.uint8], into: NDArray[np.uint8]) -> bool:
        self.broken = True  # unless it comes back
        call(out, into)
        self.broken = False
        return self._interrupted

    def rest(self) -> None:
        """Raises an interrupt that came while a sum was under way: here no rank waits for bytes."""
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt

    def _waiting(self, name: str) -> Any:
        call = getattr(self._comm, name)

        def called(out: NDArray[np.uint8], into: NDArray[np.uint8]) -> None:
            self._wait(call(out, into))

        return called

    def _wait(self, request: Any) -> None:
        until: float | None = None  # of an interrupt's grace
        began = looked = time.monotonic()
        while True:
            try:
                while not request.Test():
                    now = time.monotonic()
                    if now - began < _SPIN:
                        os.sched_yield()
                        continue
                    time.sleep(2e-5 if now - began < 0.1 else 1e-3)
                    if now - looked < _LOOK:
                        continue
                    looked = now
                    self._look(now - began)
                    if until is not None and now > until:
                        self._end("it was interrupted, and other ranks do not answer")
                return
            except KeyboardInterrupt:
                if self._interrupted:
                    self._end("it was interrupted twice")
                self._interrupted = True
                until = time.monotonic() + _GRACE

    def _look(self, waited: float) -> None:
        """Ends the job where a rank is gone, or the others have not answered for too long."""
        stopped = []
        own = self.places[self._ranks.rank] if self.places else None
        for rank, place in enumerate(self.places):
            if own is None or place.host != own.host or place.pid == own.pid:
                continue
            state = _state_of(int(place.pid))
            if state in ("", "Z", "X"):
                self._end(f"rank {rank} (process {place.pid:.0f}) is gone")
            if state == "T":
                stopped.append(rank)
        if waited > self._ranks.timeout:
            told = "the other ranks have not answered"
            if not self.places:
                told = "not all ranks have called fit"
            elif stopped:
                told += f" (stopped: {', '.join(map(str, stopped))})"
            self._end(f"{told} for {waited:.0f} s")

    def _end(self, why: str) -> None:
        """Ends the job: a sum that is under way can neither be ended nor taken back."""
        told = f"fastnn: fit: rank {self._ranks.rank} of {self._ranks.size}: {why}"
        abort = getattr(self._comm, "Abort", None)
        if abort is not None:
            complain(f"{told}; the job ends")
            abort(1)
        self._interrupted = False
        raise _core.RankError(told)


class Joined:
    """The ranks of one `fit` that is under way."""

    def __init__(self, ranks: Ranks) -> None:
        self.rank, self.size = ranks.rank, ranks.size
        self.shards = ranks.rows == "shards"
        self.average_every = ranks.average_every
        self._link = Link(ranks)
        self.exchange = _core.Exchange(self._link, ranks.rank, ranks.size)
        self.total = self.before = 0
        self.seed = ""

    @property
    def is_first(self) -> bool:
        """Whether this rank prints and writes files."""
        return self.rank == 0

    def meet(self) -> None:
        """Waits until all ranks are here."""
        places = [_Place(*row) for row in self.exchange.gather(np.array(_place()))]
        self._link.places = places
        told = crowded(places[self.rank], places)
        if told is not None and self.is_first:
            warn(told, UserWarning)

    def share(self, rows: int) -> int:
        """Learns how many rows each rank has; returns how many there are."""
        counts = self.exchange.gather(np.array([float(rows)])).ravel().astype(np.int64)
        self.total, self.before = int(counts[0]), 0
        if self.shards:
            self.total, self.before = int(counts.sum()), int(counts[: self.rank].sum())
        return self.total

    def whole(self, table: Table) -> Table:
        """The targets and labels of all ranks' shards, in order, beside rows of zeros."""

        def joined(array: NDArray[Any] | None) -> Any:
            if array is None:
                return None
            made = np.zeros((self.total, *array.shape[1:]))
            made[self.before : self.before + len(array)] = array
            self.exchange.sum_in_place(made)
            return made.astype(array.dtype)

        x = np.broadcast_to(np.zeros(1), (self.total, *table.x.shape[1:]))
        return Table(x, joined(table.targets), joined(table.labels), flat=table.flat)

    def part_of(self, count: int) -> tuple[int, int]:
        """This rank's part of so many rows in order: from the first number up to the second."""
        each, more = divmod(count, self.size)
        begin = each * self.rank + min(self.rank, more)
        return begin, begin + each + (self.rank < more)

    def own(self, chosen: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Which of this rank's `count` rows are among the `chosen` of all ranks, ascending."""
        here = chosen - self.before
        return here[(here >= 0) & (here < count)]

    def any(self, *flags: bool) -> list[bool]:
        """Whether any rank says so, for each flag."""
        return [bool(count > 0) for count in self.exchange.sum(np.array(flags, np.float64))]

    def agree(self, things: Mapping[str, bytes]) -> None:
        """ValueError, on every rank, where one of these things is not the same on all ranks."""
        digests = b"".join(hashlib.blake2b(one, digest_size=8).digest() for one in things.values())
        found = self.exchange.gather(np.frombuffer(digests, np.float64)).view(np.uint64)
        for name, column in zip(things, found.T, strict=True):
            others = [str(rank) for rank in range(1, self.size) if column[rank] != column[0]]
            if others:
                hint = f"; {_HINTS[name]}" if name in _HINTS else ""
                raise ValueError(
                    f"comm: {name} of rank {', '.join(others)} differ from those of rank 0{hint}"
                )

    def run_options(self) -> dict[str, Any]:
        """What a native run is told."""
        return {
            "exchange": self.exchange,
            "shards": self.shards,
            "total": self.total,
            "before": self.before,
            "average_every": self.average_every,
        }

    def joint(self, values: NDArray[Any]) -> NDArray[Any]:
        """The sum over ranks of an array, in an array of its own."""
        made = np.ascontiguousarray(values).copy()
        self.exchange.sum_in_place(made)
        return made

    def leave(self, error: BaseException) -> None:
        """Tells the other ranks, in place of the next sum, that this one has failed."""
        if not self.exchange.is_over and not self._link.broken:
            told = f"{type(error).__name__}: {error}".rstrip(": ")
            self.exchange.leave(told)


_SEED = "call fastnn.utils.set_random_seed before the model is made, or load one file"
_HINTS = {
    "rows": "comm=fastnn.Ranks(comm, rows='shards') trains on rows of each rank's own",
    "seeds": _SEED,
    "weights": _SEED,
}


def digest_of(table: Table) -> bytes:
    """Some thousand rows of a table, and its shape."""
    count = len(table.x)
    rows = np.arange(0, count, max(1, count // 1024))
    parts = [repr((count, table.x.shape[1:])).encode()]
    arrays = [table.targets, table.labels, table.weights]
    if isinstance(table.x, SparseRows):
        parts += table.x.told(rows)
    else:
        arrays.append(table.x)
    parts += [np.ascontiguousarray(array[rows]).tobytes() for array in arrays if array is not None]
    if table.chosen is not None:
        parts.append(table.chosen.tobytes())
    return b"".join(parts)


class joined:
    """The ranks of a communicator, for one call of `fit`; None: there is one process.

    An error in the block ends the call on every rank, with a RankError on those that made none.
    """

    def __init__(self, comm: Communicator | Ranks | None) -> None:
        self._ranks: Joined | None = None
        if comm is not None:
            ranks = comm if isinstance(comm, Ranks) else Ranks(comm)
            self._ranks = Joined(ranks) if ranks.size > 1 else None

    def __enter__(self) -> Joined | None:
        if self._ranks is not None:
            try:
                self._ranks.meet()
            except BaseException as error:
                self._ranks.leave(error)
                raise
        return self._ranks

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if self._ranks is None:
            return
        if error is None:
            self._ranks.any(False)  # no rank has an error in the end
        else:
            self._ranks.leave(error)
