"""Tasks side by side: calls that train or predict, each on one thread of its own.

Native code gives Python's lock away, so that such threads run at the same time. A task alone has one
thread for its kernels, too: its numbers are those that it has alone, which never depend on threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from fastnn import _core

Result = TypeVar("Result")

_LOOK = 0.1  # seconds between looks for signals, which only the main thread gets


class Stop:
    """Whether tasks are to end early, because another failed or the user interrupted them."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._running: list[Any] = []

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Asks all tasks to end, again if need be: a `fit` that begins forgets what was asked before."""
        self._event.set()
        for model in list(self._running):
            model.stop_training = True

    @contextmanager
    def ends(self, model: Any) -> Iterator[None]:
        """While a model trains here, `set` ends its `fit` at its next step."""
        self._running.append(model)
        try:
            yield
        finally:
            self._running.remove(model)


def side_by_side(
    tasks: Sequence[Callable[[Stop], Result]], threads: int | None = None
) -> list[Result]:
    """The results of all tasks, in their order.

        >>> side_by_side([lambda stop: 1, lambda stop: 2], threads=2)
        [1, 2]

    A task is given a `Stop`, which it may look at. With one thread, or one task, tasks run one after
    another on the calling thread, with all threads of native code.

    Args:
        tasks: what to call.
        threads: how many tasks run at the same time; None: `fastnn.get_num_threads()`.

    Raises:
        Exception: the first that a task raised, once the others have ended.
        KeyboardInterrupt: Ctrl-C, once all tasks have ended.
    """
    at_once = min(_core.num_threads() if threads is None else threads, len(tasks))
    if at_once <= 1:
        stop = Stop()
        return [task(stop) for task in tasks]
    work: Work[Result] = Work(len(tasks))

    def each() -> None:
        while (number := work.take()) is not None:
            try:
                _core.limit_threads(1)
                result = tasks[number](work.stop)
            except BaseException as error:  # noqa: BLE001  raised in the caller's thread
                work.failed(error)
            else:
                work.ended(number, result)

    return work.run(at_once, each)


class Work(Generic[Result]):
    """Tasks, which threads take one after another, and what came of them."""

    def __init__(self, count: int) -> None:
        self.stop = Stop()
        self.results: dict[int, Result] = {}
        self.error: BaseException | None = None
        self._count = count
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """The number of the next task, which has begun then; None: there is none, or all are to end."""
        with self._lock:
            if self.stop or self._next == self._count:
                return None
            self._next += 1
            return self._next - 1

    @property
    def left(self) -> int:
        """How many tasks there are to take."""
        return 0 if self.stop else self._count - self._next

    def ended(self, number: int, result: Result) -> None:
        """A task has ended well."""
        self.results[number] = result

    def failed(self, error: BaseException) -> None:
        """A task has ended by an exception; all are to end."""
        self.stop.set()
        with self._lock:
            if self.error is None:
                self.error = error

    def run(self, threads: int, each: Callable[[], None]) -> list[Result]:
        """Calls `each`, which takes tasks until there are none, on so many threads; all results."""

        # Join and is_alive of Python before 3.13 take a running thread for ended once a signal handler
        # has interrupted them.
        ends = [threading.Event() for _ in range(threads)]
        begun: list[threading.Event] = []

        def run_each(end: threading.Event) -> None:
            begun.append(end)
            try:
                each()
            except BaseException as error:  # noqa: BLE001  raised in the caller's thread
                self.failed(error)
            finally:
                end.set()

        try:
            for end in ends:
                threading.Thread(target=run_each, args=(end,), daemon=True).start()
            self._wait(ends)
        except BaseException:
            # A thread that begins only now finds that there is nothing left to do.
            self.stop.set()
            self._wait(begun)
            raise
        return self.all_results()

    def all_results(self) -> list[Result]:
        """The results of all tasks, in order; raises what the first that failed raised."""
        if self.error is not None:
            raise self.error
        return [self.results[i] for i in range(self._count)]

    def _wait(self, ends: Sequence[threading.Event]) -> None:
        """Waits until the threads have ended; that wakes it, or a signal, or that all are to end."""
        for end in ends:
            while not end.wait(_LOOK):
                if self.stop:
                    self.stop.set()
