"""Words of the calls of a model as checked values: batches, verbosity, and what goes with batches alone."""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Literal

import numpy as np

from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.told import values_text
from fastnn.callbacks.tqdm_bar import TqdmBar
from fastnn.console import is_terminal, say
from fastnn.extras import needed
from fastnn.protocols import Logs, Position
from fastnn.words import choose, integer


def refuse_beside_batches(
    share: float,
    sample_weight: object,
    begins: Position | None = None,
    *,
    chunks_y: object = None,
) -> None:
    """ValueError for arguments that go with arrays alone; `chunks_y`: y beside chunks."""
    told = "x makes batches; "
    if chunks_y is not None:
        raise ValueError("y: the chunks of x hold it; give it to Chunks")
    if share:
        raise ValueError(f"validation_split: {told}give validation_data")
    if sample_weight is not None:
        raise ValueError(f"sample_weight: {told}let it make (x, y, sample_weight)")
    if begins is not None and begins.step:
        raise ValueError(f"initial_epoch: {told}training goes on where an epoch begins")


# Rows of a batch where none are said, as in Keras.
DEFAULT_BATCH = 32


def batches_of(
    name: str, steps: int | None, batch_size: int | None, rows: int, default: int
) -> tuple[int, int]:
    """The rows of a batch, and how many of the rows are taken: all, or those of `steps` batches.

    As in Keras, without a batch_size all rows make `steps` batches. Errors call these `name`.
    """
    if steps is None:
        return batch_size_of("batch_size", batch_size, default), rows
    count = integer(name, steps)
    size = batch_size_of("batch_size", batch_size, max(1, -(-rows // count)))
    return size, min(rows, size * count)


def steps_of(given: int | None, name: str = "steps") -> int | None:
    """A number of batches; None: all that there are."""
    return None if given is None else integer(name, given)


def batch_size_of(name: str, given: int | None, default: int) -> int:
    return default if given is None else integer(name, given)


def frequency_of(value: object) -> int | Container[int]:
    if isinstance(value, Container) and not isinstance(value, str):
        return value
    return integer("validation_freq", value)


def progress_of(verbose: object) -> tuple[int, list[ProgbarLogger]]:
    """The verbosity as a number, and what shows the progress."""
    level = verbosity_of(verbose)
    if verbose == "tqdm":
        needed("tqdm.auto", "verbose='tqdm'", "progress")
        return level, [TqdmBar()]
    return level, [ProgbarLogger(live=level == 1)] if level else []


def verbosity_of(verbose: object) -> int:
    if isinstance(verbose, str) and verbose in ("auto", "tqdm"):
        word: Literal["auto", "tqdm"] = choose("verbose", verbose, ("auto", "tqdm"))
        return 1 if word == "tqdm" or is_terminal() else 2
    if isinstance(verbose, (int, np.integer)) and int(verbose) in (0, 1, 2):
        return int(verbose)
    raise ValueError(f"verbose: expected 'auto', 'tqdm', 0, 1 or 2, got {verbose!r}")


def told(logs: Logs, level: int, as_dict: bool) -> float | list[Any] | Logs:
    if level:
        say(f"evaluate{values_text(logs)}")
    return results_of(logs, as_dict)


def results_of(logs: Logs, as_dict: bool) -> float | list[Any] | Logs:
    if as_dict:
        return logs
    values = list(logs.values())
    return values if len(values) > 1 else float(values[0])
