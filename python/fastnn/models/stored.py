"""Stored: the contents of a model's file, and a model made from them. docs/files.md specifies both.

The file has two objects of JSON in its metadata: "model", the architecture, and "state", what
training has made of it. Names of tensors that begin with "/" are of the state, others of weights.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastnn import _core
from fastnn.console import warn
from fastnn.files.layout import Contents, ModelFileError, parsed
from fastnn.files.texts import check_room
from fastnn.layers.base import room
from fastnn.layers.noise import Dropout
from fastnn.models.architecture import Decoder, Encoder
from fastnn.models.built import restore_progress
from fastnn.models.packing import packed, unpacked
from fastnn.models.paths import named_layers, named_models, named_weights
from fastnn.models.training_state import TrainingState
from fastnn.models.wired import Unchanged
from fastnn.protocols import Position
from fastnn.words import integer, number

Array = NDArray[Any]
Path = str | os.PathLike[str]

FORMAT = "fastnn"
VERSION = 1
# The elements of a parameter's place in a buffer beyond its own: places are aligned.
_ALIGNMENT = 64
_MOST_EPOCHS = 2**62  # so that they can be counted on
_MOST_TEXT = 600  # characters of a message about a file


# -- writing


def contents_of(model: Any, *, training: bool = True, weights_alone: bool = False) -> Contents:
    """What a file of a model has in it.

    Raises:
        RuntimeError: another thread trains or changes the model.
        TypeError, NotImplementedError: something has no config.
    """
    doing = "save_weights" if weights_alone else "save"
    model._training.refuse_others(doing)
    unchanged = Unchanged(model, model._state.now)
    weights = named_weights(model)
    tensors: dict[str, Array] = {name: weight.numpy() for name, weight in weights.items()}
    about = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": "weights" if weights_alone else "model",
        "fastnn": _core.__version__,
    }
    if not weights_alone:
        state = _state(model, weights, tensors, training=training)
        about["model"] = _text(Encoder(exact=True).described(model))
        about["state"] = _text(state)
    unchanged.check(doing)
    return _readable(Contents(about, tensors))


def _readable(contents: Contents) -> Contents:
    """Contents of which no text needs more memory than a reader takes."""
    for name in ("model", "state", "more"):
        check_room(name, contents.metadata.get(name, ""), contents.size)
    return contents


def _text(told: Mapping[str, Any]) -> str:
    try:
        return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except ValueError as why:
        raise TypeError(f"save: a config has a number that is not finite: {why}") from None


def _state(
    model: Any,
    weights: Mapping[str, Any],
    tensors: dict[str, Array],
    *,
    training: bool = True,
    compiles: bool = True,
) -> dict[str, Any]:
    state = model._state.now
    told: dict[str, Any] = {
        "position": _position(model.position, tensors),
        "frozen": [name for name, weight in weights.items() if not weight.trainable],
        "epochs": model._epochs,
        "splits": _splits(model, tensors),
        "models": {name: _run_of(part) for name, part in named_models(model).items()},
        "dropout": {
            name: {"key": f"{layer._key:016x}", "calls": layer._calls}
            for name, layer in named_layers(model).items()
            if isinstance(layer, Dropout) and layer._key is not None
        },
    }
    built, plan = state.built, state.plan
    if built is not None:
        progress = built.network
        told["steps"], told["begun"] = progress.steps, progress.epochs
    if plan is None or not training:
        return told
    if compiles:
        told["compile"] = model.get_compile_config()
    if plan.optimizer.schedule is None:
        told["learning_rate"] = float(plan.optimizer.learning_rate)
    names = TrainingState(weights)
    told["optimizer"] = names.of_optimizer(plan.optimizer, tensors)
    if built is not None and built.settings is not None:
        variables = built.all_variables
        told["network"] = names.of_network(
            built.network, built.settings, variables, plan.optimizer, tensors
        )
    by_id = {id(weight): name for name, weight in weights.items()}
    told["found"] = {
        by_id[id(variable)]: trained
        for variable, trained in plan.objective.found
        if id(variable) in by_id
    }
    return told


def backup_of(model: Any, more: Mapping[str, Any]) -> Contents:
    """The weights and the state of training, with further values, for the same program to go on."""
    weights = named_weights(model)
    tensors: dict[str, Array] = {name: weight.numpy() for name, weight in weights.items()}
    state = _state(model, weights, tensors, compiles=False)
    about = {
        "format": FORMAT,
        "version": str(VERSION),
        "kind": "backup",
        "fastnn": _core.__version__,
        "state": _text(state),
        "more": _text({"values": packed(more, tensors, "/more")}),
    }
    return _readable(Contents(about, tensors))


def _position(position: Position | None, tensors: dict[str, Array]) -> dict[str, Any] | None:
    if position is None:
        return None
    for i, sums in enumerate(position.sums):
        tensors[f"/position/{i}"] = sums
    return {
        "epoch": position.epoch,
        "step": position.step,
        "sums": len(position.sums),
        "data": None if position.data is None else list(position.data),
        "logs": packed(position.logs, tensors, "/position/logs"),
    }


def _run_of(model: Any) -> dict[str, Any]:
    """How far a model in the model is that has run by itself: what its random numbers depend on."""
    built = model._state.now.built
    told: dict[str, Any] = {"key": f"{model._key:016x}"}
    if built is not None and (built.network.steps or built.network.epochs):
        told["build_input_shape"] = [None, *built.shapes[0]]
        told["steps"], told["epochs"] = built.network.steps, built.network.epochs
    return told


def _splits(model: Any, tensors: dict[str, Array]) -> list[dict[str, Any]]:
    told = []
    for i, ((rows, share), bits) in enumerate(model._splits.held()):
        tensors[f"/split/{i}"] = bits
        told.append({"rows": rows, "share": share})
    return told


# -- reading


def model_of(contents: Contents, path: Path, *, compiles: bool) -> Any:
    """The model of a file.

    Raises:
        ModelFileError: the file has no model, or one that this version cannot make; the message
            names the fault.
    """
    about, tensors = contents
    told = told_model(contents, path)
    weights = {name: value for name, value in tensors.items() if not name.startswith("/")}
    largest = sum(value.size + _ALIGNMENT for value in weights.values()) + _ALIGNMENT
    with _faults(path), _with_room_for(largest):
        model: Any = Decoder().described(told)
    put_weights(model, weights, path)
    state = parsed(f"{os.fspath(path)}: state", about.get("state", "{}"), contents.size)
    with _faults(path), _with_room_for(4 * largest):  # models in it may have run by themselves
        _restore(model, state, tensors, compiles=compiles)
    return model


@contextmanager
def _with_room_for(elements: int) -> Iterator[None]:
    """While it lasts, new parameters have this number of elements at most, all together."""
    limit = room.set([elements])
    try:
        yield
    finally:
        room.reset(limit)


def told_model(contents: Contents, path: Path) -> dict[str, Any]:
    """The architecture that a file has; ModelFileError where it has none."""
    where, about = os.fspath(path), contents.metadata
    check_version(about, path)
    if "model" not in about:
        raise ModelFileError(
            f"{where}: the file has weights alone; make the model, and use load_weights"
        )
    return parsed(f"{where}: model", about["model"], contents.size)


def check_version(about: Mapping[str, str], path: Path) -> None:
    """ModelFileError where a file is none of ours, or of a format that is not known."""
    where = os.fspath(path)
    if about.get("format") != FORMAT:
        raise ModelFileError(
            f"{where}: the file has no model of fastnn: its metadata have no format {FORMAT!r}"
        )
    version = about.get("version", "")
    if not version.isdecimal() or not 1 <= int(version[:9]) <= VERSION:
        raise ModelFileError(
            f"{where}: format {version!r:.40} is not known; this version of fastnn reads 1 to "
            f"{VERSION}: a newer one has written the file"
        )


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    """Makes what is wrong with words of a file an error of the file."""
    try:
        yield
    except ModelFileError:
        raise
    except RecursionError:
        raise ModelFileError(f"{os.fspath(path)}: models are nested too deeply") from None
    except MemoryError as why:
        raise ModelFileError(f"{os.fspath(path)}: {why}") from why
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError) as why:
        text = f"{why} is missing" if isinstance(why, KeyError) else str(why)
        if len(text) > _MOST_TEXT:  # a word of the file may have millions of characters
            text = f"{text[: _MOST_TEXT // 2]} ... {text[-_MOST_TEXT // 2 :]}"
        raise ModelFileError(f"{os.fspath(path)}: {text}") from why


def put_weights(
    model: Any, tensors: Mapping[str, Array], path: Path, *, skips: bool = False
) -> None:
    """Writes the weights of a model, all of which are checked before."""
    weights = named_weights(model)
    where = os.fspath(path)
    given = {name: value for name, value in tensors.items() if not name.startswith("/")}
    missing = [name for name in weights if name not in given]
    more = [name for name in given if name not in weights]
    wrong = [
        name
        for name, weight in weights.items()
        if name in given and given[name].shape != weight.shape
    ]
    if skips:
        if missing or wrong:
            warn(
                f"load_weights: {where} has no weights of the right shape for "
                f"{', '.join(sorted({*missing, *wrong}))}: they stay as they are",
                UserWarning,
            )
    elif wrong:
        name = wrong[0]
        raise ModelFileError(
            f"{where}: weight {name!r:.100} has shape {given[name].shape}, but that of the model "
            f"{weights[name].shape}"
        )
    elif missing or more:
        told = [f"the file has no {name!r:.100}" for name in missing[:1]]
        told += [f"the model has no {name!r:.100}" for name in more[:1]]
        raise ModelFileError(
            f"{where}: its weights are not those of the model: {', and '.join(told)}"
        )
    stay = {*missing, *wrong}
    names = {id(weight): name for name, weight in weights.items()}
    values = []
    for weight in model.weights:
        name = names[id(weight)]
        values.append(weight.numpy() if name in stay else given[name])
    if values:
        try:
            model.set_weights(values)
        except (TypeError, ValueError) as why:
            raise ModelFileError(f"{where}: {why}") from why


def go_on_from(
    model: Any, contents: Contents, path: Path
) -> tuple[Position | None, dict[str, Any]]:
    """Puts weights and state of a backup into a model that is compiled, and may be in a `fit`."""
    about, tensors = contents
    check_version(about, path)
    put_weights(model, tensors, path)
    state = parsed(f"{os.fspath(path)}: state", about.get("state", "{}"), contents.size)
    with _faults(path):
        _restore(model, state, tensors, compiles=False)
        more = parsed("more", about.get("more", '{"values": {}}'), contents.size)
        values = unpacked(more["values"], tensors)
        if not isinstance(values, dict) or not all(isinstance(v, dict) for v in values.values()):
            raise ValueError("more: expected a dictionary for each callback")
        return model.position, values


def position_of(told: Any, tensors: Mapping[str, Array]) -> Position | None:
    """Where training was."""
    if told is None:
        return None
    sums = tuple(tensors[f"/position/{i}"] for i in range(integer("sums", told["sums"], 0, 10**6)))
    data = None if told["data"] is None else (*map(int, told["data"][:2]), bool(told["data"][2]))
    epoch, step = integer("epoch", told["epoch"], 0), integer("step", told["step"], 0)
    if step and not sums:
        raise ValueError(f"position: step {step} of an epoch of which nothing was counted")
    logs = unpacked(told.get("logs"), tensors)
    if logs is not None and not isinstance(logs, dict):
        raise ValueError(f"position: logs: expected values by name, got {logs!r:.100}")
    return Position(epoch, step, sums, data, logs)  # type: ignore[arg-type]


def _restore(
    model: Any, told: Mapping[str, Any], tensors: Mapping[str, Array], *, compiles: bool
) -> None:
    """Puts the state of training back.

    `compiles`: the model is made anew, and compiled as it was. Without it the model stays as its
    program has compiled it.
    """
    model.position = position_of(told.get("position"), tensors)
    weights = named_weights(model)
    names = TrainingState(weights)
    for name in told.get("frozen", ()):
        weights[name].trainable = False
    model._epochs = integer("epochs", told.get("epochs", 0), 0, _MOST_EPOCHS)
    for i, split in enumerate(told.get("splits", ())):
        rows = integer("splits: rows", split["rows"], 1)
        bits = tensors[f"/split/{i}"]
        if bits.dtype != np.uint8 or bits.shape != (-(-rows // 8),):
            raise ValueError(f"/split/{i}: expected a bit for each of {rows} rows")
        model._splits.put(rows, number("splits: share", split["share"], 0.0, 1.0), bits)
    models: dict[str, Any] = dict(named_models(model))
    for name, run in told.get("models", {}).items():
        models[name].run_as(
            int(run["key"], 16),
            run.get("build_input_shape"),
            integer("steps", run.get("steps", 0), 0),
            integer("epochs", run.get("epochs", 0), 0),
        )
    layers = named_layers(model)
    for name, counts in told.get("dropout", {}).items():
        layer: Any = layers[name]
        layer._key = int(counts["key"], 16)
        layer._calls = integer("dropout: calls", counts["calls"], 0)
    if compiles and told.get("compile") is not None:
        model.compile_from_config(told["compile"])
    steps, begun = (integer(name, told.get(name, 0), 0) for name in ("steps", "begun"))
    built = model._state.now.built
    if built is not None:
        built.network.steps, built.network.epochs = steps, begun
    plan = model._state.now.plan
    if plan is None:
        return
    if "optimizer" in told:
        names.put_optimizer(plan.optimizer, told["optimizer"], tensors)
        if told.get("learning_rate") is not None:
            plan.optimizer.learning_rate = told["learning_rate"]
    known = told.get("found", {})
    plan.objective.found = [
        (weight, bool(known.get(name, weight.trainable))) for name, weight in weights.items()
    ]
    if "network" in told and plan.native is not None and built is not None:
        variables = built.all_variables
        settings = built.settings
        assert settings is not None
        if compiles:
            settings = names.settings_of(told["network"], variables, settings)
        progress = names.progress_of(
            told["network"], built.network, settings, variables, plan.optimizer, tensors
        )
        if compiles:
            model.go_on(settings, progress)
        else:
            restore_progress(built.network, progress)
