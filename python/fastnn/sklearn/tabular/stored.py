"""Files of tabular estimators: one of safetensors for all members, columns and parameters; never pickle.

The metadata have "estimator", JSON of all that is no array, and for each member the texts of a model's file
(docs/files.md) as "<number>/model" and "<number>/state". Tensors of member k begin with "<k>/".
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.data.encoding import Encoding
from fastnn.files import layout
from fastnn.files.layout import Contents, ModelFileError, parsed
from fastnn.files.texts import check_room
from fastnn.models.packing import packed, unpacked
from fastnn.models.stored import FORMAT, VERSION, check_version, contents_of, model_of
from fastnn.sklearn.tabular.members import Member
from fastnn.sklearn.tabular.recipe import KINDS, Kind

Array = NDArray[Any]
Path = str | os.PathLike[str]

KIND = "table"
_OWN = "/estimator"
# What values of the wrong kind raise.
_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_HALF = re.compile("[\ud800-\udfff]")
_OF_MEMBER = ("model", "state", "names")


def write(path: Path, kind: str, params: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Writes an estimator.

    Args:
        path: the file.
        kind: the name of the class.
        params: of its constructor.
        state: its fitted attributes: numbers, texts, lists, dictionaries and arrays, "encoding_" and
            "members_".

    Raises:
        TypeError: a parameter or class label is something else.
        OSError: the file cannot be written.
    """
    tensors: dict[str, Array] = {}
    about = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": KIND,
        "fastnn": _core.__version__,
    }
    members: list[Member] = state["members_"]
    for i, member in enumerate(members):
        own = contents_of(member.model, training=False)
        tensors |= {f"{i}/{name}": value for name, value in own.tensors.items()}
        about |= {f"{i}/{name}": own.metadata[name] for name in _OF_MEMBER if name in own.metadata}
    told = {
        "class": kind,
        "params": dict(params),
        "state": {name: value for name, value in state.items() if name not in _SPECIAL},
        "encoding": state["encoding_"].state(),
        "members": [
            [member.kind, member.epoch, member.epochs, dict(member.curve)] for member in members
        ],
    }
    about["estimator"] = _text(packed(_plain(told), tensors, _OWN))
    contents = Contents(about, tensors)
    check_room("estimator", about["estimator"], contents.size)
    layout.write(path, contents)


_SPECIAL = ("encoding_", "members_")


def _text(told: Any) -> str:
    """JSON in letters as they are; half a pair of surrogates, which UTF-8 has not, as an escape."""
    made = json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    if _HALF.search(made) is None:
        return made
    return json.dumps(told, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Arrays of texts, dates and objects, tuples, and dictionaries by other keys than texts, as
    dictionaries that JSON has."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "M":
        unit, count = np.datetime_data(value.dtype)
        return {"dates": value.view(np.int64), "unit": f"{count}{unit}"}
    if isinstance(value, np.ndarray) and value.dtype.kind in "OUST":
        return {"values": _plain(value.tolist()), "dtype": "O" if value.dtype.kind == "O" else "U"}
    if isinstance(value, Mapping) and not all(isinstance(name, str) for name in value):
        return {"pairs": [[_plain(name), _plain(one)] for name, one in value.items()]}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return {"tuple": [_plain(one) for one in value]}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


def _arrays(value: Any) -> Any:
    """The reverse of `_plain`."""
    if isinstance(value, dict):
        if set(value) == {"values", "dtype"}:
            if value["dtype"] == "U":
                return np.array(value["values"])
            found = np.empty(len(value["values"]), object)
            found[:] = value["values"]
            return found
        if set(value) == {"dates", "unit"}:
            return value["dates"].astype(f"datetime64[{value['unit']}]")
        if set(value) == {"tuple"}:
            return tuple(_arrays(one) for one in value["tuple"])
        if set(value) == {"pairs"}:
            return {name: _arrays(one) for name, one in value["pairs"]}
        return {name: _arrays(one) for name, one in value.items()}
    return [_arrays(one) for one in value] if isinstance(value, list) else value


def read(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The class, the parameters and the fitted attributes that a file has.

    Raises:
        ModelFileError: the file is damaged, or has no estimator of tables; the message names the fault.
        OSError: it cannot be opened or read.
    """
    contents = layout.read(path)
    where, about = os.fspath(path), contents.metadata
    check_version(about, path)
    if about.get("kind") != KIND or "estimator" not in about:
        raise ModelFileError(
            f"{where}: the file has no estimator of tables; fastnn.load_model reads models"
        )
    told = parsed(f"{where}: estimator", about["estimator"], contents.size)
    try:
        told = _arrays(unpacked(told, contents.tensors))
        state = dict(told["state"])
        state["encoding_"] = Encoding.of_state(told["encoding"])
        state["members_"] = [
            Member(_model(contents, i, path), _kind(kind), int(epoch), int(epochs), curve)
            for i, (kind, epoch, epochs, curve) in enumerate(told["members"])
        ]
        return str(told["class"]), dict(told["params"]), state
    except ModelFileError:
        raise
    except _FAULTS as why:
        raise ModelFileError(f"{where}: estimator: {why!s:.300}") from why


def _kind(told: Any) -> Kind:
    for kind in KINDS:
        if told == kind:
            return kind
    raise ValueError(f"unknown kind of member {told!r:.60}")


def _model(contents: Contents, number: int, path: Path) -> Any:
    start = f"{number}/"
    about = {
        name: contents.metadata[start + name]
        for name in _OF_MEMBER
        if start + name in contents.metadata
    }
    tensors = {
        name.removeprefix(start): value
        for name, value in contents.tensors.items()
        if name.startswith(start)
    }
    about |= {"format": FORMAT, "version": str(VERSION)}
    return model_of(Contents(about, tensors), path, compiles=False)
