"""Format 1 of model files: its fields are those of docs/files.md, and whole families go through it."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
import test_registry
from saved_models import KINDS, LOGITS, X, Y, bits

import fastnn
from fastnn import callbacks, layers, optimizers
from fastnn.files import layout
from fastnn.registry import FAMILIES

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

PAGE = Path(__file__).parents[1] / "docs" / "files.md"
# Their keys are names of weights, layers and models, options of a class, or arguments of a function.
BY_NAME = (
    "arguments",
    "built",
    "config",
    "dictionary",
    "found",
    "group_of",
    "groups",
    "models",
    "dropout",
    "by_name",
)


def fields(told: Any, above: str = "") -> Iterator[str]:
    """The names of all fields."""
    for one in told if isinstance(told, list) else ():
        yield from fields(one, above)
    if isinstance(told, dict):
        for name, value in told.items():
            named = above in BY_NAME or (above == "steps" and isinstance(told, dict))
            graph = above == "config" and isinstance(told.get("layers"), list)
            if not named or graph:
                yield name
            yield from fields(value, name)


class Stops(callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        del logs
        if batch == 2:
            raise KeyboardInterrupt


def files(folder: Path) -> Iterator[layout.Contents]:
    """Of each kind of model one of the middle of an epoch, and a backup."""
    folder.mkdir(exist_ok=True)
    for kind in KINDS:
        model = KINDS[kind]()
        model.predict(X)
        model.compile(
            optimizers.AdamW(0.01, use_ema=True, clipnorm=1.0), LOGITS, metrics=["accuracy"]
        )
        keeps = callbacks.ModelCheckpoint(folder / "m.safetensors", save_freq=1)
        backs = callbacks.BackupAndRestore(folder / kind, save_freq=1)
        with pytest.raises(KeyboardInterrupt):
            model.fit(
                *(X, Y),
                batch_size=16,
                verbose=0,
                validation_split=0.2,
                callbacks=[keeps, backs, Stops()],
            )
        yield layout.read(folder / "m.safetensors")
        yield layout.read(folder / kind / "latest.safetensors")
    model, x, y = saved_models.several()
    model.fit(x, y, verbose=0)
    model.save(folder / "m.safetensors")
    yield layout.read(folder / "m.safetensors")
    for made in (own_layers(), fastnn.Sequential([Scaled(), layers.Dense(3)])):
        made(X)
        made.save(folder / "m.safetensors")
        yield layout.read(folder / "m.safetensors")


Layer: Any = layers.Layer


class Scaled(Layer):
    """A layer of a program's own, with several inputs and outputs."""

    def build(self, input_shape: Any) -> None:
        del input_shape
        self.inner = layers.Dense(4)
        self.scale = self.add_weight(name="scale")

    def call(self, inputs: Any, factor: float = 1.0) -> Any:
        first = inputs[0] if isinstance(inputs, list) else inputs
        return {"a": self.inner(first) * self.scale * factor}["a"]


def own_layers() -> Any:
    inputs = fastnn.Input((4,))
    return fastnn.Model(inputs, layers.Dense(3)(Scaled()([inputs, inputs], factor=2.0)))


def test_every_field_is_specified(tmp_path: Path) -> None:
    text = PAGE.read_text()
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", text))))
    seen = set()
    for found in files(tmp_path):
        assert set(found.metadata) <= words
        for part in ("model", "state", "more"):
            seen |= set(fields(json.loads(found.metadata.get(part, "{}"))))
        for name in found.tensors:
            if name.startswith("/"):
                first, second = name.split("/")[1:3]
                assert first in words
                assert second in words or second.isdecimal()
    assert {"position", "undecayed", "turn", "within", "learning_rate", "tape_calls"} <= seen
    assert seen <= words, sorted(seen - words)


def layers_of_page() -> dict[str, str]:
    """The lines of the table of layers by the names of classes."""
    table = PAGE.read_text().split("## Layers")[1].split("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| `")]
    return {name: line for line in lines for name in re.findall(r"`(\w+)`", line.split("|")[1])}


def test_every_layer_and_option_is_specified() -> None:
    lines = layers_of_page()
    common = {"name", "dtype", "trainable", "input_shape", "batch_size", "seed"}
    common |= {"activity_regularizer"}
    assert set(lines) == {cls.__name__ for cls in FAMILIES["layer"].classes.values()}
    for cls in FAMILIES["layer"].classes.values():
        words = re.findall(r"`(\w+)`", lines[cls.__name__])
        config = test_registry.other(cls).get_config()
        options = {name for name in config if not name.endswith("_initializer")}
        assert options - common - {"axis"} <= set(words), cls
    activations = set(
        re.findall(r"`(\w+)`", PAGE.read_text().split("Activations are")[1].split("\n##")[0])
    )
    assert {row["name"] for row in fastnn._core.activations()} | {"softmax"} <= activations


def test_weights_are_named_as_specified() -> None:
    for cls in FAMILIES["layer"].classes.values():
        layer = test_registry.other(cls)
        try:
            layer.build((None, 4))
        except ValueError:  # it joins inputs
            continue
        told = layers_of_page()[cls.__name__].split("|")[2]
        named = re.findall(r"`(\w+)`", told)
        assert {weight.name for weight in layer.weights} <= set(named), cls
        assert bool(named) == bool(layer.weights) or not layer.weights


def test_headers_are_as_specified(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    saved_models.chain().save(path)
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert length % 8 == 0
    assert header["__metadata__"]["format"] == "fastnn"
    assert header["__metadata__"]["version"] == "1"
    end = 0
    for name, entry in header.items():
        if name != "__metadata__":
            assert entry["data_offsets"][0] == end
            end = entry["data_offsets"][1]
    assert 8 + length + end == len(data)


def test_fields_that_are_not_known_are_left_out(tmp_path: Path) -> None:
    """As another version may write them; options of classes are not left out."""
    path = tmp_path / "m.safetensors"
    model = saved_models.branches()
    model.fit(X, Y, verbose=0)
    model.save(path)
    found = layout.read(path)
    about = {**found.metadata, "more things": "x"}
    for part in ("model", "state"):
        told = json.loads(about[part])
        told["another"] = {"a": [1]}
        if part == "model":
            told["config"]["another"] = 3
            told["config"]["layers"][1]["another"] = 3
            told["config"]["calls"][0]["another"] = 3
        else:
            told["optimizer"]["another"] = told["network"]["another"] = 3
        about[part] = json.dumps(told)
    layout.write(path, layout.Contents(about, found.tensors))
    made = fastnn.load_model(path)
    for one in (model, made):
        one.fit(X, Y, verbose=0)
    assert bits(made) == bits(model)
    told = json.loads(found.metadata["model"])
    told["config"]["layers"][1]["config"]["another"] = 3
    layout.write(path, layout.Contents({**about, "model": json.dumps(told)}, found.tensors))
    with pytest.raises(fastnn.ModelFileError, match=r"Dense\.from_config.*'another'"):
        fastnn.load_model(path)


def classes(family: str) -> Any:
    found = FAMILIES[family].classes.values()
    return pytest.mark.parametrize("cls", found, ids=lambda cls: cls.__name__)


@classes("initializer")
def test_every_initializer(cls: Any, tmp_path: Path) -> None:
    initializer = test_registry.other(cls)
    layer = layers.Dense(3, kernel_initializer=initializer, input_shape=(4,))
    model = fastnn.Sequential([layer, layers.Dense(3, kernel_initializer=test_registry.plain(cls))])
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    assert bits(made) == bits(model)
    for layer, other in zip(model.layers, made.layers, strict=True):
        assert other.get_config() == layer.get_config()
    assert type(made.layers[0].kernel_initializer) is cls


@pytest.mark.parametrize("kind", ["regularizer", "constraint"])
def test_every_regularizer_and_constraint(kind: str, tmp_path: Path) -> None:
    for cls in FAMILIES[kind].classes.values():
        limit = {f"kernel_{kind}": test_registry.other(cls)}
        model = fastnn.Sequential([layers.Dense(3, **limit, input_shape=(4,))])
        model.compile("adam", LOGITS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fastnn.TapeWarning)
            model.fit(X, Y, verbose=0)
            model.save(tmp_path / "m.safetensors")
            made = fastnn.load_model(tmp_path / "m.safetensors")
            assert made.layers[0].get_config() == model.layers[0].get_config()
            for one in (model, made):
                one.fit(X, Y, epochs=2, verbose=0)
        assert bits(made) == bits(model)


@classes("schedule")
def test_every_schedule(cls: Any, tmp_path: Path) -> None:
    model = saved_models.chain()
    model.compile(optimizers.SGD(test_registry.plain(cls)), LOGITS)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    made = fastnn.load_model(tmp_path / "m.safetensors")
    assert type(made.optimizer.schedule) is cls
    for one in (model, made):
        one.fit(X, Y, epochs=3, verbose=0)
    assert bits(made) == bits(model)


@classes("callback")
def test_every_callback_goes_on_from_its_state(
    cls: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some write beside the program
    """What `saved_state` gives goes through a file, and into an object that was just made."""
    options = {"backup_dir": str(tmp_path / "own"), "filepath": str(tmp_path / "own.safetensors")}
    needed = {name: options.get(name, test_registry.REQUIRED[name]) for name in _needed(cls)}
    if "monitor" in cls._arguments():
        needed["monitor"] = "loss"
    before, after = cls(**needed), cls(**needed)
    path = tmp_path / "b.safetensors"
    model = saved_models.chain()
    model.compile(optimizers.Adam(0.01, use_ema=True), LOGITS)  # SwapEMAWeights needs averages

    class Writes(callbacks.Callback):
        acts_last = True

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            del epoch, logs
            self.model.write_state(path, {"it": before.saved_state()})

    model.fit(X, Y, epochs=2, verbose=0, callbacks=[before, Writes()])
    after.set_model(model)
    after.put_state(model.read_state(path).more["it"])
    got, want = after.saved_state(), before.saved_state()
    assert got.keys() == want.keys()
    for name, value in want.items():
        if name == "spent":  # a time, which goes on
            assert 0 < got[name] <= value
        else:
            np.testing.assert_equal(got[name], value)


def _needed(cls: Any) -> list[str]:
    return [name for name in cls._arguments() if name in test_registry.needed(cls)]


def test_all_families_are_looked_at() -> None:
    """Layers, optimizers, losses and metrics are in test_saved_models.py."""
    elsewhere = {"layer", "optimizer", "loss", "metric"}
    assert set(FAMILIES) == elsewhere | {
        *("initializer", "schedule", "callback", "regularizer", "constraint")
    }
