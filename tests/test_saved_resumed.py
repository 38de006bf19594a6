"""Training with the whole vocabulary goes on in a new process to the bit: cases of layer, optimizer and place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastnn
from fastnn import callbacks, layers, losses, optimizers
from fastnn.files.layout import read

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

RNG = np.random.default_rng(0)
X = (RNG.normal(size=(70, 8)) * 3 + 2).astype(np.float32)
Y = np.arange(70) % 3
IDS = RNG.integers(0, 5, (70, 3)).astype(np.float32)
WEIGHTS = RNG.uniform(0.5, 2.0, 70)


@fastnn.register_serializable("tests")
class Own(layers.Layer):
    """A layer of a program's own, with a penalty and noise."""

    def __init__(self, units: int = 6, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.noise = layers.GaussianNoise(0.1)

    def build(self, shape: Any) -> None:
        self.w = self.add_weight(shape=(shape[-1], self.units), name="w", regularizer="l2")

    def call(self, x: Any, training: bool = False) -> Any:
        return fastnn.math.tanh(self.noise(x, training=training) @ self.w)


@fastnn.register_serializable("tests")
class Taped(fastnn.Model):
    """It trains over the tape, with all that draws or moves."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = layers.Dense(6, "tanh"), layers.Dense(3)
        self.moves, self.bent = layers.BatchNormalization(), layers.PReLU()
        self.drop, self.noise = layers.Dropout(0.2), layers.GaussianNoise(0.2)

    def call(self, x: Any, training: bool = False) -> Any:
        h = self.moves(fastnn.math.sin(self.first(x)), training=training)
        h = self.noise(self.drop(h, training=training), training=training)
        return self.last(self.bent(h))


def rich(dtype: str | None = None) -> Any:
    adapted = layers.Normalization()
    adapted.adapt(X)
    made = [
        layers.Input((8,)),
        adapted,
        layers.Dense(
            12,
            "leaky_relu(negative_slope=0.1)",
            kernel_regularizer="l1_l2",
            kernel_constraint=fastnn.constraints.MaxNorm(1.5),
        ),
        layers.BatchNormalization(momentum=0.9, gamma_regularizer="l2"),
        layers.GaussianNoise(0.1),
        layers.Dense(8, "selu", bias_constraint="non_neg"),
        layers.AlphaDropout(0.1),
        layers.PReLU(),
        layers.GaussianDropout(0.1, seed=4),
        layers.RMSNormalization(),
        layers.GroupNormalization(2),
        layers.Dropout(0.2, seed=7),
        layers.Dense(8),
        layers.Activation("glu"),
        layers.UnitNormalization(),
        layers.Dense(3),
    ]
    return fastnn.Sequential(made, seed=4, dtype=dtype)


def numbered() -> Any:
    rows, ids = fastnn.Input((8,), name="rows"), fastnn.Input((3,), name="ids")
    table = layers.Embedding(5, 2, embeddings_constraint="unit_norm")
    parts = [layers.BatchNormalization()(rows), layers.Flatten()(table(ids))]
    h = layers.Concatenate()([*parts, layers.CategoryEncoding(5)(ids)])
    h = layers.Dropout(0.1)(layers.Dense(7, "gelu")(h))
    return fastnn.Model({"rows": rows, "ids": ids}, layers.Dense(3)(h), seed=5)


def shared() -> Any:
    inputs, again, moves = fastnn.Input((8,)), layers.Dense(8, "mish"), layers.BatchNormalization()
    inner = fastnn.Sequential([layers.Dense(8, "silu"), layers.Dropout(0.3), moves], name="inner")
    h = inner(again(again(inner(inputs))))
    return fastnn.Model(inputs, layers.Dense(3)(layers.BatchNormalization()(h)), seed=8)


def own() -> Any:
    made = [layers.Input((8,)), Own(), layers.BatchNormalization(), layers.Dense(3)]
    return fastnn.Sequential(made, seed=6)


def taped() -> Any:
    model = Taped()
    model.predict(X[:2])
    return model


class Case(NamedTuple):
    """A model, an optimizer, callbacks, and whether a backup or a checkpoint is gone on from."""

    model: Callable[[], Any]
    optimizer: Callable[[], Any]
    backup: bool = False
    listed: Callable[[], list[Any]] = list


def _watching() -> list[Any]:
    return [
        callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10.0),
        callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True),
    ]


# Each stops after 11 of 7 steps an epoch: in the middle of one, and of an accumulation.
CASES = {
    "rich, accumulated": Case(
        rich,
        lambda: optimizers.Muon(
            optimizers.schedules.ExponentialDecay(0.02, 5, 0.7),
            gradient_accumulation_steps=4,
            weight_decay=0.01,
            use_ema=True,
        ),
    ),
    "rich, watched": Case(
        lambda: rich("float64"),
        lambda: optimizers.Nadam(0.01, gradient_accumulation_steps=3, clipnorm=1.0),
        True,
        _watching,
    ),
    "numbered": Case(
        numbered, lambda: optimizers.Adam(0.01, amsgrad=True, use_ema=True, ema_momentum=0.9)
    ),
    "shared": Case(
        shared,
        lambda: optimizers.AdamW(
            optimizers.schedules.CosineDecay(0.01, 20, warmup_target=0.02, warmup_steps=5)
        ),
        True,
    ),
    "own": Case(own, lambda: optimizers.Lion(0.003, gradient_accumulation_steps=2)),
    "taped": Case(taped, lambda: optimizers.Lamb(0.01, use_ema=True), True, _watching),
    "taped, centered": Case(taped, lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True)),
}


def made(case: Case) -> Any:
    fastnn.utils.set_random_seed(11)
    model = case.model()
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(case.optimizer(), loss, metrics=["accuracy"])
    return model


def fitted(model: Any, case: Case, *more: Any, **how: Any) -> Any:
    x: Any = {"rows": X, "ids": IDS} if case.model is numbered else X
    how = {"epochs": 4, "batch_size": 8, "verbose": 0, "validation_split": 0.2, **how}
    model.fit(x, Y, sample_weight=WEIGHTS, callbacks=[*case.listed(), *more], **how)


class Stops(callbacks.Callback):
    """Ctrl-C after 11 steps."""

    steps = 0

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
        self.steps += 1
        if self.steps == 11:
            raise KeyboardInterrupt


def begun(case: Case, folder: Path) -> None:
    """What is gone on from, in a folder."""
    if case.backup:
        backup = callbacks.BackupAndRestore(folder, save_freq=5)
        with pytest.raises(KeyboardInterrupt):
            fitted(made(case), case, backup, Stops())
    else:
        keep = callbacks.ModelCheckpoint(folder / "part.safetensors", save_freq=11)
        fitted(made(case), case, keep, epochs=2)


def gone_on(names: list[str], folder: Path) -> None:
    """In another process."""
    for name in names:
        case, place = CASES[name], folder / name
        fastnn.utils.set_random_seed(99)
        if case.backup:
            model = made(case)
            fastnn.utils.set_random_seed(98)
            fitted(model, case, callbacks.BackupAndRestore(place, save_freq=5))
        else:
            model = fastnn.load_model(place / "part.safetensors")
            fitted(model, case, initial_epoch=model.position)
        model.save(folder / f"{name}.safetensors")


PROGRAM = """
import sys
sys.path[:0] = [{tests!r}]
import pathlib, fastnn
fastnn.set_num_threads(3)
import test_saved_resumed as t
t.gone_on(list(t.CASES), pathlib.Path(sys.argv[1]))
"""


def test_training_goes_on_in_a_new_process(tmp_path: Path) -> None:
    wholes = {}
    for name, case in CASES.items():
        (tmp_path / name).mkdir()
        whole = made(case)
        fitted(whole, case)
        wholes[name] = tmp_path / f"{name}, whole.safetensors"
        whole.save(wholes[name])
        begun(case, tmp_path / name)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c"]
        + [PROGRAM.format(tests=str(Path(__file__).parent)), str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    for name, path in wholes.items():
        wanted, got = read(path), read(tmp_path / f"{name}.safetensors")
        assert list(got.tensors) == list(wanted.tensors), name
        for tensor, values in wanted.tensors.items():
            assert got.tensors[tensor].tobytes() == values.tobytes(), (name, tensor)
        states = [json.loads(one.metadata["state"]) for one in (wanted, got)]
        assert states[0] == states[1], name
