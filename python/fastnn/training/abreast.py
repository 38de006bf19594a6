"""Trainings side by side: those of narrow networks of one kind share vectors, a lane for each.

A thread takes trainings until its lanes are full, and makes their steps by one native call until one of
them ends, which leaves its lane to the next. A training that goes alone (csrc/nn/many.h says which do)
keeps the thread until it ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from fastnn import _core
from fastnn.training.calls import Call, Calls
from fastnn.training.side_by_side import Stop, Work

Result = TypeVar("Result")

LANES = _core.Lanes.count
# Fewer networks are about as fast one after another: steps in lanes take as long whatever is in them.
FEWEST = 8
# Trainings that have begun and wait for lanes, of a thread.
_MOST_HELD = 48


def abreast(
    tasks: Sequence[Callable[[Stop], Calls[Result]]], threads: int | None = None
) -> list[Result]:
    """What all trainings return, in their order.

    Each task begins one, and is given a `Stop`, which it may look at. With one thread all is done on the
    calling thread, and trainings that go alone have all threads of native code.

    Args:
        tasks: what begins a training.
        threads: how many threads train; None: `fastnn.get_num_threads()`.

    Raises:
        Exception: the first that a training raised, once the others have ended.
        KeyboardInterrupt: Ctrl-C, once all trainings have ended.
    """
    at_once = min(_core.num_threads() if threads is None else threads, len(tasks))
    work: Work[Result] = Work(len(tasks))
    if at_once <= 1:
        _Thread(work, tasks).run()
        return work.all_results()
    return work.run(at_once, lambda: _Thread(work, tasks, at_once).run())


class _Training(NamedTuple):
    number: int
    calls: Calls[Any]


class _Thread(Generic[Result]):
    """The trainings of one thread."""

    def __init__(
        self,
        work: Work[Result],
        tasks: Sequence[Callable[[Stop], Calls[Result]]],
        threads: int = 1,
    ) -> None:
        self._work = work
        self._tasks = tasks
        self._threads = threads  # that take trainings; of several, each has its kernels to itself
        self._lanes = _core.Lanes()
        self._kind = b""  # of those in lanes
        self._inside: dict[_core.Run, _Training] = {}
        self._held: dict[bytes, deque[tuple[Call, _Training]]] = {}

    def run(self) -> None:
        """Takes trainings until there are none."""
        try:
            while self._fill():
                more = self._work.left > 0 or bool(self._held.get(self._kind))
                for run in self._lanes.advance(more=more, fewest=FEWEST):
                    self._left(run)
        except BaseException as error:  # noqa: BLE001  raised by Work
            self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        """After an exception between two calls, as of Ctrl-C."""
        self._lanes.clear()
        begun = [*self._inside.values(), *(one for held in self._held.values() for _, one in held)]
        for training in begun:
            try:
                training.calls.close()
            except BaseException as other:  # noqa: BLE001  of a callback that is shown its last epochs
                self._work.failed(other)
            else:
                self._work.failed(error)
        if self._work.error is None:
            self._work.stop.set()
            self._work.error = error

    # -- which train next

    def _fill(self) -> bool:
        """Puts trainings into lanes that are free; whether there are any in lanes."""
        while not self._inside:
            # Too few for lanes are made one after another: other threads get theirs of these.
            share = -(-self._work.left // self._threads)
            while self._lengths(sum) < max(share, 1) and self._lengths(max) < LANES:
                if not self._begin():
                    break
            if not any(self._held.values()):
                return False
            self._kind = max(self._held, key=lambda kind: len(self._held[kind]))
            held = self._held[self._kind]
            if len(held) >= FEWEST:
                break
            self._advance(*held.popleft())
        held = self._held[self._kind]
        while len(self._inside) < LANES and (held or self._begin()):
            if held:
                self._enter(*held.popleft())
        return True

    def _lengths(self, of: Callable[[Iterable[int]], int]) -> int:
        """The sum of the numbers of calls that are held, or the largest number of one kind."""
        return of([0, *map(len, self._held.values())])

    def _begin(self) -> bool:
        """Begins a training, until it makes a call that may share lanes; whether there was one."""
        if self._lengths(sum) >= _MOST_HELD:
            return False
        number = self._work.take()
        if number is None:
            return False
        training = _Training(number, self._tasks[number](self._work.stop))

        def begin() -> Call:
            if self._threads > 1:
                _core.limit_threads(1)
            return next(training.calls)

        self._go_on(training, begin)
        return True

    # -- one training

    def _go_on(self, training: _Training, resume: Callable[[], Call]) -> None:
        """Lets it go on until its next call that may share lanes."""
        while True:
            try:
                call = resume()
            except StopIteration as end:
                self._work.ended(training.number, end.value)
                return
            except BaseException as error:  # noqa: BLE001  raised by Work
                self._work.failed(error)
                return
            try:
                kind = call.run.keep_call(**call.how)
            except BaseException as error:  # noqa: BLE001  which the training handles
                resume = partial(training.calls.throw, error)
                continue
            if kind is not None:
                self._held.setdefault(kind, deque()).append((call, training))
                return
            resume = _resumed(training.calls, partial(call.run.advance, **call.how))

    def _enter(self, call: Call, training: _Training) -> None:
        try:
            _ask(call)
            self._lanes.add(call.run)
        except BaseException as error:  # noqa: BLE001  which the training handles
            self._go_on(training, partial(training.calls.throw, error))
        else:
            self._inside[call.run] = training

    def _left(self, run: _core.Run) -> None:
        training = self._inside.pop(run)
        self._go_on(training, _resumed(training.calls, run.result))

    def _advance(self, call: Call, training: _Training) -> None:
        """Makes a call that was held for lanes without any."""

        def make() -> Any:
            _ask(call)
            return call.run.make_call()

        self._go_on(training, _resumed(training.calls, make))


def _ask(call: Call) -> None:
    """Ends a call that has waited while its training was asked to stop, before it makes a step."""
    if call.looks is not None:
        call.looks()


def _resumed(calls: Calls[Any], made: Callable[[], Any]) -> Callable[[], Call]:
    """Lets a training go on with what a call returns or raises."""

    def resume() -> Call:
        try:
            sums = made()
        except BaseException as error:  # noqa: BLE001  which the training handles
            return calls.throw(error)
        return calls.send(sums)

    return resume
