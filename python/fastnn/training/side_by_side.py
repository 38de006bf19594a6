"""Tasks side by side: calls that train or predict, each on one thread of its own.

Native code gives Python's lock away, so that such threads run at the same time. A task alone has one
thread for its kernels, too: its numbers are those that it has alone, which never depend on threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from fastnn import _core

Result = TypeVar("Result")

_LOOK = 0.1  # seconds between looks for signals, which only the main thread gets


class Stop:
    """Whether tasks are to end early, because another failed or the user interrupted them."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __bool__(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        """Asks all tasks to end."""
        self._event.set()


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
    stop = Stop()
    at_once = min(_core.num_threads() if threads is None else threads, len(tasks))
    if at_once <= 1:
        return [task(stop) for task in tasks]
    with ThreadPoolExecutor(at_once, initializer=_core.limit_threads, initargs=(1,)) as pool:
        futures: list[Future[Result]] = []
        try:
            futures.extend(pool.submit(task, stop) for task in tasks)
            _wait(futures)
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]


def _wait(futures: Sequence[Future[Result]]) -> None:
    """Until all are done; raises what the first failed one raised."""
    left: set[Future[Result]] = set(futures)
    while left:
        done, left = wait(left, _LOOK, FIRST_EXCEPTION)
        for future in done:
            future.result()
