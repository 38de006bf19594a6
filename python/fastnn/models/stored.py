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

from numpy.typing import NDArray

from fastnn import _core
from fastnn.console import warn
from fastnn.files.layout import Contents, ModelFileError, parsed
from fastnn.files.texts import check_room
from fastnn.layers.base import room
from fastnn.layers.noise import Noise
from fastnn.models.architecture import Decoder, Encoder
from fastnn.models.packing import packed, unpacked
from fastnn.models.parts import by_first_calls
from fastnn.models.paths import named_layers, named_models, named_weights
from fastnn.models.restored import own_optimizers, position_of, restore, restoring, run
from fastnn.models.training_state import TrainingState
from fastnn.models.wired import Unchanged
from fastnn.objects import serialize_keras_object
from fastnn.protocols import Backup, Position

Array = NDArray[Any]
Path = str | os.PathLike[str]

FORMAT = "fastnn"
VERSION = 1
# Layers of classes with a `call` are named as their attributes stand; in files without this word,
# in the order of their first calls.
_NAMES = "attributes"
# The elements of a parameter's place in a buffer beyond its own: places are aligned.
_ALIGNMENT = 64
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
        "names": _NAMES,
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

    def _inner(part: Any, i: int) -> dict[str, Any]:
        """How a model in the model was compiled for itself."""
        own = TrainingState(weights, f"/models/{i}")
        try:
            return _training_of(part, own, weights, tensors, compiles=compiles)
        except TypeError as why:
            warn(f"save: {part.name!r} in the model will not be compiled: {why}", UserWarning)
            return {}

    told: dict[str, Any] = {
        "position": _position(model.position, tensors),
        "frozen": [name for name, weight in weights.items() if not weight.trainable],
        "epochs": model._epochs,
        "splits": _splits(model, tensors),
        "models": {
            name: _run_of(part)
            | ({"training": found} if training and (found := _inner(part, i)) else {})
            for i, (name, part) in enumerate(named_models(model).items())
        },
        "dropout": {
            name: {"key": f"{layer._key:016x}", "calls": layer._calls}
            for name, layer in named_layers(model).items()
            if isinstance(layer, Noise) and layer._key is not None
        },
    }
    built = state.built
    if built is not None:
        progress = built.network
        told["steps"], told["begun"] = progress.steps, progress.epochs
    if training:
        names = TrainingState(weights)
        told["optimizers"] = names.of_own(own_optimizers(model), tensors)
        told |= _training_of(model, names, weights, tensors, compiles=compiles)
    return told


def _training_of(
    model: Any,
    names: TrainingState,
    weights: Mapping[str, Any],
    tensors: dict[str, Array],
    *,
    compiles: bool,
) -> dict[str, Any]:
    """How a model is compiled, and how far its optimizer is; nothing of one that is not compiled."""
    state = model._state.now
    built, plan = state.built, state.plan
    if plan is None:
        return {}
    told: dict[str, Any] = {}
    if compiles:
        told["compile"] = serialize_keras_object(model.get_compile_config())
    if plan.optimizer.schedule is None:
        told["learning_rate"] = float(plan.optimizer.learning_rate)
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
        "names": _NAMES,
        "state": _text(state),
        "more": _text({"values": packed(more, tensors, "/more")}),
    }
    return _readable(Contents(about, tensors))


def _position(position: Position | None, tensors: dict[str, Array]) -> dict[str, Any] | None:
    if position is None:
        return None
    for i, sums in enumerate(position.sums):
        tensors[f"/position/{i}"] = sums
    told = {
        "epoch": position.epoch,
        "step": position.step,
        "sums": len(position.sums),
        "data": None if position.data is None else list(position.data),
        "logs": packed(position.logs, tensors, "/position/logs"),
    }
    if position.passed:
        told["passed"] = position.passed
    return told if position.layout is None else told | {"layout": position.layout}


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
    with _names_of(contents.metadata):
        return _model_of(contents, path, compiles=compiles)


@contextmanager
def _names_of(about: Mapping[str, str]) -> Iterator[None]:
    """While it lasts, weights have the names that they have in a file."""
    token = by_first_calls.set(about.get("format") == FORMAT and about.get("names") != _NAMES)
    try:
        yield
    finally:
        by_first_calls.reset(token)


def _model_of(contents: Contents, path: Path, *, compiles: bool) -> Any:
    about, tensors = contents
    told = told_model(contents, path)
    weights = {name: value for name, value in tensors.items() if not name.startswith("/")}
    largest = sum(value.size + _ALIGNMENT for value in weights.values()) + _ALIGNMENT
    with _faults(path), _with_room_for(largest):
        model: Any = Decoder().described(told)
    put_weights(model, weights, path)
    state = parsed(f"{os.fspath(path)}: state", about.get("state", "{}"), contents.size)
    with _faults(path), _with_room_for(4 * largest):  # models in it may have run by themselves
        restore(model, state, tensors, compiles=compiles)
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
    if about.get("kind") == "table":
        raise ModelFileError(
            f"{where}: the file has an estimator of tables; use fastnn.sklearn.load_table_estimator"
        )
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


def load_weights_of(model: Any, contents: Contents, path: Path, *, skips: bool) -> None:
    """Writes the weights of a file, also of another program, by their names; errors: as there."""
    about, tensors = contents
    if about.get("format") == FORMAT:
        check_version(about, path)
    with _names_of(about):
        put_weights(model, tensors, path, skips=skips)


def put_weights(
    model: Any, tensors: Mapping[str, Array], path: Path, *, skips: bool = False
) -> None:
    """Writes the weights of a model, all of which are checked before; errors: as `checked_weights`."""
    values = checked_weights(model, tensors, path, skips=skips)
    if values:
        model.set_weights(values)


def checked_weights(
    model: Any, tensors: Mapping[str, Array], path: Path, *, skips: bool = False
) -> list[Array]:
    """The weights of a model as a file has them, for `set_weights`.

    `skips`: those that the file has not, or has in another shape, stay as they are, with a warning.

    Raises:
        ModelFileError: they are not those of the model; the message names one.
    """
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
        if name in stay:
            values.append(weight.numpy())
            continue
        try:
            values.append(weight.converted(given[name]))
        except (TypeError, ValueError) as why:
            raise ModelFileError(f"{where}: {why}") from why
    return values


def backup_in(model: Any, contents: Contents, path: Path) -> Backup:
    """A backup for a model that is compiled, and may be in a `fit`.

    Raises:
        ModelFileError: it is damaged, or of another model; the message names the fault.
    """
    with _names_of(contents.metadata):
        return _backup_in(model, contents, path)


def _backup_in(model: Any, contents: Contents, path: Path) -> Backup:
    about, tensors = contents
    check_version(about, path)
    values = checked_weights(model, tensors, path)
    state = parsed(f"{os.fspath(path)}: state", about.get("state", "{}"), contents.size)
    with _faults(path):
        puts = restoring(model, state, tensors)
        position = position_of(state.get("position"), tensors)
        told = parsed("more", about.get("more", '{"values": {}}'), contents.size)
        more = unpacked(told["values"], tensors)
        if not isinstance(more, dict) or not all(isinstance(v, dict) for v in more.values()):
            raise ValueError("more: expected a dictionary for each callback")

    def put() -> None:
        if values:
            model.set_weights(values)
        run(puts)

    return Backup(position, more, put)
