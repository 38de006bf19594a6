"""Options that several commands have."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from typing import IO

from fastnn.commands.csv_files import Reading
from fastnn.console import results
from fastnn.files.atomic import replacing

_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(s|m|min|h)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "min": 60, "h": 3600}


def add_reading(parser: argparse.ArgumentParser) -> None:
    """How CSV is laid out."""
    group = parser.add_argument_group("how CSV is laid out; by default it is found")
    group.add_argument("--delimiter", metavar="C", help="between the fields; \\t is a tab")
    group.add_argument(
        "--header",
        choices=("auto", "yes", "no"),
        default="auto",
        help="whether the first line has names of columns; no: columns are named 0, 1, ...; auto: it has, "
        "and one of numbers is an error",
    )
    group.add_argument("--encoding", metavar="NAME", help="default: utf-8, or utf-16 by its mark")


def reading_of(parser: argparse.ArgumentParser, asked: argparse.Namespace) -> Reading:
    """How CSV is laid out, as it was asked for."""
    delimiter = "\t" if asked.delimiter == "\\t" else asked.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in "\"'\r\n"):
        parser.error(f"--delimiter: expected one character, got {delimiter!r}")
    return Reading(delimiter, asked.header, asked.encoding)


def names_in(given: Sequence[str] | None, known: Iterable[str] = ()) -> list[str]:
    """Names of an option that may be there several times: a name, or names with commas between them."""
    every = set(known)
    found: list[str] = []
    for text in given or ():
        found += [text] if text in every else [name.strip() for name in text.split(",")]
    return list(dict.fromkeys(name for name in found if name))


def seconds_of(text: str) -> float:
    """A time such as 90, 90s, 5m or 1.5h, in seconds; a type of argparse."""
    parts = _TIME.fullmatch(text.strip())
    found = float(parts[1]) * _SECONDS[parts[2]] if parts else 0.0
    if not found > 0:
        raise argparse.ArgumentTypeError(f"expected a time such as 90s, 5m or 1h, got {text!r}")
    return found


def quantiles_of(text: str) -> tuple[float, ...]:
    """Numbers above 0 and below 1, such as 0.1,0.5,0.9; a type of argparse."""
    try:
        found = tuple(float(part) for part in text.split(","))
    except ValueError:
        found = ()
    if not found or not all(0 < q < 1 for q in found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(
            f"expected different numbers above 0 and below 1 such as 0.1,0.5,0.9, got {text!r}"
        )
    return tuple(sorted(found))


def whole_above_zero(text: str) -> int:
    """A number of things; a type of argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


@contextlib.contextmanager
def output(path: str | None) -> Iterator[IO[str]]:
    """Where results go: a file has all of them, or stays as it was. None: standard output."""
    if path is None:
        out = results()
        yield out
        out.flush()
        return
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.stat(path).st_mode) and not os.path.isdir(path):  # noqa: PTH112, PTH116
            # A pipe or a device is written, not replaced.
            with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
                yield file
            return
    with replacing(path) as binary:
        text = io.TextIOWrapper(binary, "utf-8", newline="")
        yield text
        text.flush()
        text.detach()
