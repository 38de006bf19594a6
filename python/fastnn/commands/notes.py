"""Notes: what `train` writes into the file of a model, beside the model, for the other commands.

They are JSON, the text "command" among the metadata of the file. A model without them, of a program, works in
all commands, too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, get_args

from fastnn.commands.content import Column, Pairs
from fastnn.commands.kinds import Kind
from fastnn.files import layout
from fastnn.files.layout import Contents, ModelFileError

_KEY = "command"
_VERSION = 1


class Notes(NamedTuple):
    """What training knew, and the model does not tell."""

    targets: tuple[str, ...] = ()  # names of what is predicted; none: not known
    kinds: Mapping[str, Kind] = {}  # of the columns of X
    facts: Pairs = ()
    remarks: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    versions: Pairs = ()


def add(path: str, notes: Notes) -> None:
    """Writes notes into the file of a model, which is replaced whole."""
    contents = layout.read(path)
    told = json.dumps(
        {
            "version": _VERSION,
            "targets": list(notes.targets),
            "kinds": dict(notes.kinds),
            "facts": list(notes.facts),
            "remarks": list(notes.remarks),
            "columns": list(notes.columns),
            "versions": list(notes.versions),
        },
        ensure_ascii=False,
        separators=(",", ":"),
    )
    layout.write(path, Contents(contents.metadata | {_KEY: told}, contents.tensors))


def of(path: str | os.PathLike[str], metadata: Mapping[str, str]) -> Notes:
    """The notes among the metadata of a file; without any those of `Notes()`.

    Raises:
        ModelFileError: they are damaged.
    """
    text = metadata.get(_KEY)
    if text is None:
        return Notes()
    where = f"{os.fspath(path)}: {_KEY}"
    told = layout.parsed(where, text)
    try:
        if told["version"] != _VERSION:
            return Notes()  # of a newer fastnn: the model can be used without them
        return _notes(told)
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        raise ModelFileError(f"{where}: damaged: {type(why).__name__}: {why}") from why


def _notes(told: Mapping[str, Any]) -> Notes:
    kinds = {str(name): kind for name, kind in dict(told["kinds"]).items()}
    for kind in kinds.values():
        if kind not in get_args(Kind):
            raise ValueError(f"unknown kind {kind!r:.40}")
    return Notes(
        tuple(map(str, told["targets"])),
        kinds,
        _pairs(told["facts"]),
        tuple(map(str, told["remarks"])),
        tuple(Column(*map(str, _three(column))) for column in told["columns"]),
        _pairs(told["versions"]),
    )


def _pairs(told: Any) -> Pairs:
    return tuple((str(name), str(value)) for name, value in told)


def _three(told: Any) -> Any:
    name, kind, text = told
    return name, kind, text
