"""Backups and states of training that were damaged, or made to do harm, and what is told only later.

See test_hostile_files.py for the architecture, and for memory.
"""

from __future__ import annotations

import contextlib
import copy
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
from saved_models import KINDS, X, Y
from test_hostile_files import ODD, changed, places

import fastnn
from fastnn import callbacks, optimizers
from fastnn.files import layout
from fastnn.files.layout import Contents, ModelFileError

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

HOW: dict[str, Any] = {"epochs": 2, "batch_size": 16, "verbose": 0, "validation_split": 0.2}


class Interruption(Exception):
    """What ends a `fit` in these tests."""


class Keeps(callbacks.Callback):
    """Saves the model in the middle of an epoch, or ends the `fit` there."""

    def __init__(self, path: Path | None = None) -> None:
        super().__init__()
        self.path = path

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del logs
        if batch != 1:
            return
        if self.path is None:
            raise Interruption
        self.model.save(self.path)


def model(kind: str) -> Any:
    made = KINDS[kind]()
    made.predict(X)
    made.compile(optimizers.Adam(0.01, use_ema=True), saved_models.LOGITS, metrics=["accuracy"])
    return made


@pytest.fixture(scope="module", params=["chain", "eager"])
def contents(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """A file of the middle of an epoch."""
    path = tmp_path_factory.mktemp("files") / "m.safetensors"
    model(request.param).fit(X, Y, callbacks=[Keeps(path)], **HOW)
    return layout.read(path)


def told_by_load(contents: Contents, path: Path, tensors: dict[str, Any]) -> str:
    layout.write(path, Contents(contents.metadata, tensors))
    with pytest.raises(ModelFileError) as told:
        fastnn.load_model(path)
    return str(told.value)


def test_rows_held_out(contents: Contents, tmp_path: Path) -> None:
    bits = contents.tensors["/split/0"]
    for wrong in (np.zeros_like(bits), np.full_like(bits, 255)):
        text = told_by_load(contents, tmp_path / "m", {**contents.tensors, "/split/0": wrong})
        assert "splits: expected some of 60 rows to be held out, got" in text
    for wrong in (bits[1:], bits.astype(np.int64), bits[None]):
        text = told_by_load(contents, tmp_path / "m", {**contents.tensors, "/split/0": wrong})
        assert "/split/0: expected a bit for each of 60 rows" in text


def test_every_array_of_the_state(contents: Contents, tmp_path: Path) -> None:
    """Of another shape or type, and missing: it is told before anything can be computed with it."""
    names = [name for name in contents.tensors if name.startswith(("/optimizer", "/apply"))]
    assert any("average" in name for name in names)
    for name in names:
        value = contents.tensors[name]
        wrongs = [value[..., None], value.astype(np.int64), np.zeros(0, np.float32)]
        for wrong in [*wrongs, np.float32(0), np.float64(value)]:
            text = told_by_load(contents, tmp_path / "m", {**contents.tensors, name: wrong})
            assert f"{name!r}: expected float32 of shape {value.shape}, got" in text
        if "apply_gradients/average" in name:
            continue  # an average may not have begun
        fewer = {one: v for one, v in contents.tensors.items() if one != name}
        assert f"there is no array {name!r}" in told_by_load(contents, tmp_path / "m", fewer)


def test_what_an_epoch_has_counted(contents: Contents, tmp_path: Path) -> None:
    path = tmp_path / "m"
    fewer = {n: v for n, v in contents.tensors.items() if n != "/position/0"}
    assert "'/position/0' is missing" in told_by_load(contents, path, fewer)
    state = json.loads(contents.metadata["state"])
    state["position"]["sums"] = 0
    about = {**contents.metadata, "state": json.dumps(state)}
    text = told_by_load(Contents(about, {}), path, contents.tensors)
    assert "step 2 of an epoch of which nothing was counted" in text
    # The metrics say what they take, so these are told when training begins.
    for name in [name for name in contents.tensors if name.startswith("/position")]:
        value = contents.tensors[name]
        for wrong in (value[None], value.astype(np.int64), np.float64(3), value[..., None]):
            layout.write(path, Contents(contents.metadata, {**contents.tensors, name: wrong}))
            made = fastnn.load_model(path)
            with pytest.raises(ValueError, match=r"the metrics are not those|sums: expected"):
                made.fit(X, Y, initial_epoch=made.position, **HOW)


def test_counts_that_could_not_go_on(contents: Contents, tmp_path: Path) -> None:
    for name in ("epochs", "steps", "begun"):
        for wrong in (2**63, -1, 0.5, True, "1", None, [1]):
            state = {**json.loads(contents.metadata["state"]), name: wrong}
            about = {**contents.metadata, "state": json.dumps(state)}
            text = told_by_load(Contents(about, {}), tmp_path / "m", contents.tensors)
            assert f"{name}: expected an integer" in text or "below 2**63" in text
    state = {**json.loads(contents.metadata["state"]), "epochs": 2**63 - 1}
    about = {**contents.metadata, "state": json.dumps(state)}
    assert "epochs: " in told_by_load(Contents(about, {}), tmp_path / "m", contents.tensors)


def test_names_that_are_no_regular_expressions(contents: Contents, tmp_path: Path) -> None:
    for wrong, message in (
        (["("], "no regular expression"),
        ([1], "expected a string"),
        ([["a"]], ""),
    ):
        state = json.loads(contents.metadata["state"])
        state["optimizer"]["undecayed_names"] = wrong
        about = {**contents.metadata, "state": json.dumps(state)}
        text = told_by_load(Contents(about, {}), tmp_path / "m", contents.tensors)
        assert "undecayed_names: " in text
        assert message in text


def test_a_position_of_another_model(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model("eager").fit(X, Y, callbacks=[Keeps(path)], **HOW)
    position = fastnn.load_model(path).position
    assert position.step
    with pytest.raises(ValueError, match="middle of an epoch, but this model has begun none"):
        model("eager").fit(X, Y, initial_epoch=position, **HOW)


def test_messages_are_short(contents: Contents, tmp_path: Path) -> None:
    """Words of the file are in them, but not millions of characters."""
    long = "x" * 20_000
    for part in ("model", "state"):
        told = json.loads(contents.metadata[part])
        for place in places(told):
            if len(place) > 6:
                continue
            for to in (long, {long: 1}, [long], {"class_name": long, "config": {}}):
                about = {**contents.metadata, part: json.dumps(changed(told, place, to))}
                text = _told(Contents(about, contents.tensors), tmp_path / "m.safetensors")
                assert len(text) < 1000 + len(str(tmp_path)), place


def _told(given: Contents, path: Path) -> str:
    """The message for contents, without writing them to the disk; "" where a model is made."""
    from fastnn.models.stored import model_of

    try:
        model_of(given, path, compiles=True)
    except ModelFileError as error:
        return str(error)
    return ""


# -- backups


@pytest.fixture(scope="module", params=["chain", "eager"])
def backup(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path, Contents]:
    """The kind of model, its folder, and the backup of a `fit` that was interrupted."""
    folder = tmp_path_factory.mktemp("backups")
    with pytest.raises(Interruption):
        model(request.param).fit(X, Y, callbacks=_callbacks(folder, Keeps()), **HOW)
    return request.param, folder, layout.read(folder / "latest.safetensors")


def _callbacks(folder: Path, *more: Any) -> list[Any]:
    stops = callbacks.EarlyStopping("loss", restore_best_weights=True, patience=9)
    best = callbacks.ModelCheckpoint(
        folder.parent / "best.safetensors", "loss", save_best_only=True, save_weights_only=True
    )
    return [callbacks.BackupAndRestore(folder, save_freq=1), stops, best, *more]


def goes_on(kind: str, folder: Path, about: dict[str, str], tensors: dict[str, Any]) -> str:
    """What `fit` says with such a backup: "" where it goes on. A refused one has changed nothing."""
    folder.mkdir(exist_ok=True)
    layout.write(folder / "latest.safetensors", Contents(about, tensors))
    made, given = model(kind), _callbacks(folder)
    before = state_of(made, folder)
    try:
        made.fit(X, Y, callbacks=given, **HOW)
    except ModelFileError as error:
        assert state_of(made, folder) == before
        assert str([one.saved_state() for one in given]) == str(begun(folder))
        return str(error)
    return ""


def state_of(model: Any, folder: Path) -> Any:
    """All that a file has of a model, but for the rows held out, which `fit` chooses first."""
    model.save(folder / "now")
    found = layout.read(folder / "now")
    state = {k: v for k, v in json.loads(found.metadata["state"]).items() if k != "splits"}
    tensors = {k: v.tobytes() for k, v in found.tensors.items() if not k.startswith("/split")}
    return found.metadata["model"], state, tensors


def begun(folder: Path) -> list[Any]:
    """What callbacks have when training begins."""
    return [one.saved_state() for one in _callbacks(folder)]


@pytest.mark.parametrize("what", ["rows", "batch_size", "metrics", "optimizer"])
def test_a_backup_of_another_fit_changes_nothing(
    what: str, backup: tuple[str, Path, Contents]
) -> None:
    kind, folder, found = backup
    folder.mkdir(exist_ok=True)
    layout.write(folder / "latest.safetensors", found)
    made, given, how = model(kind), _callbacks(folder), dict(HOW)
    if what == "metrics":
        made.compile(made.optimizer, saved_models.LOGITS, metrics=["accuracy", top_two()])
    elif what == "optimizer":
        made.compile(optimizers.SGD(0.01, momentum=0.5), saved_models.LOGITS, metrics=["accuracy"])
    elif what == "batch_size":
        how["batch_size"] = 17
    count = 50 if what == "rows" else 60
    before = state_of(made, folder)
    with pytest.raises(ValueError, match=r"middle of an epoch of|metrics are not those|no array"):
        made.fit(X[:count], Y[:count], callbacks=given, **how)
    assert str([one.saved_state() for one in given]) == str(begun(folder))
    assert state_of(made, folder) == before


def top_two() -> Any:
    return fastnn.metrics.SparseTopKCategoricalAccuracy(k=2)


def test_states_of_callbacks(backup: tuple[str, Path, Contents]) -> None:
    kind, folder, found = backup
    more = json.loads(found.metadata["more"])
    pairs = dict(more["values"]["by_name"])
    assert {"History_1", "EarlyStopping_1", "ModelCheckpoint_1"} <= set(pairs)
    faults: list[tuple[str, Any]] = [
        ("EarlyStopping_1", {"by_name": []}),
        ("EarlyStopping_1", {"by_name": [["monitor", 3], ["_model", None]]}),
        ("EarlyStopping_1", [1]),
        ("EarlyStopping_1", "x"),
        ("History_1", {"by_name": [["history", 3], ["epoch", []]]}),
        ("History_1", {"by_name": [["history", {"by_name": [["loss", 3]]}], ["epoch", []]]}),
        ("ModelCheckpoint_1", {"by_name": [["best", "x"]]}),
        ("ModelCheckpoint_1", {"by_name": [["best", [1]]]}),
    ]
    for name in ("wait", "best", "best_epoch", "stopped_epoch", "best_weights"):
        for wrong in ("x", [1], {"by_name": []}, True if name == "wait" else [[]]):
            state = dict(pairs["EarlyStopping_1"]["by_name"])
            state[name] = wrong
            faults.append(("EarlyStopping_1", {"by_name": [list(item) for item in state.items()]}))
    for name, wrong in faults:
        values = {**pairs, name: wrong}
        told = {"values": {"by_name": [list(item) for item in values.items()]}}
        about = {**found.metadata, "more": json.dumps(told)}
        text = goes_on(kind, folder, about, dict(found.tensors))
        expected = "more: expected" if not isinstance(wrong, dict) else f"the state of {name}: "
        assert f"latest.safetensors: {expected}" in text, (wrong, text)
    deep: Any = 1
    for _ in range(3000):
        deep = [deep]
    for to in (None, 3, [], {"by_name": 3}, {"array": "/none"}, {"array": []}, {"number": "x"}):
        about = {**found.metadata, "more": json.dumps({"values": to})}
        assert "latest.safetensors: " in goes_on(kind, folder, about, dict(found.tensors))
    about = {**found.metadata, "more": '{"values":' + "[" * 900 + "]" * 900 + "}"}
    assert "latest.safetensors: " in goes_on(kind, folder, about, dict(found.tensors))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("times", [25, pytest.param(1500, marks=pytest.mark.long)])
def test_changed_backups(times: int, backup: tuple[str, Path, Contents]) -> None:
    kind, folder, found = backup
    draw = random.Random(times)
    for _ in range(times):
        part = draw.choice(["state", "more"])
        told = copy.deepcopy(json.loads(found.metadata[part]))
        place = draw.choice(list(places(told))[1:])
        made = changed(told, place, draw.choice([*ODD, "gone"]))
        about = {**found.metadata, part: json.dumps(made)}
        # What is right in itself and of another run is told by `fit` in its own words.
        with contextlib.suppress(ValueError, ArithmeticError):
            goes_on(kind, folder, about, dict(found.tensors))
