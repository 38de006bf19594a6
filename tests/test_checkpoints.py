"""ModelCheckpoint and BackupAndRestore: training that is interrupted goes on to the same bits."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
from saved_models import KINDS, X, Y, bits

import fastnn
from fastnn import callbacks, optimizers

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

HOW: dict[str, Any] = {"epochs": 4, "batch_size": 16, "verbose": 0}
STEPS = 4  # of an epoch


class Interruption(Exception):
    """What ends a `fit` in these tests."""


class Interrupts(callbacks.Callback):
    def __init__(self, after: int, hook: str = "on_train_batch_end") -> None:
        super().__init__()
        self.left = after
        setattr(self, hook, self.count)

    def count(self, *_: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Interruption


def model(kind: str) -> Any:
    fastnn.utils.set_random_seed(3)
    made = KINDS[kind]()
    if kind == "eager":
        made.predict(X)
    made.compile(optimizers.Adam(0.01, use_ema=True), saved_models.LOGITS, metrics=["accuracy"])
    return made


def stopping() -> Any:
    return callbacks.EarlyStopping("loss", patience=100, restore_best_weights=True)


@pytest.mark.parametrize("kind", ["chain", "eager"])
@pytest.mark.parametrize(("freq", "after"), [("epoch", 1), ("epoch", 6), (1, 6), (3, 5), (5, 11)])
def test_an_interrupted_fit_goes_on(kind: str, freq: Any, after: int, tmp_path: Path) -> None:
    """In a new model, as in a new process; with the History and the callbacks of the first."""
    whole = model(kind)
    history = whole.fit(X, Y, callbacks=[stopping()], validation_split=0.2, **HOW)
    folder = tmp_path / "backup"
    with pytest.raises(Interruption):
        model(kind).fit(
            *(X, Y),
            callbacks=[callbacks.BackupAndRestore(folder, freq), stopping(), Interrupts(after)],
            validation_split=0.2,
            **HOW,
        )
    made = model(kind)
    stops = stopping()
    found = made.fit(
        *(X, Y),
        callbacks=[callbacks.BackupAndRestore(folder, freq), stops],
        validation_split=0.2,
        **HOW,
    )
    assert bits(made) == bits(whole)
    assert found.history == history.history
    assert found.epoch == history.epoch
    assert stops.best == min(history.history["loss"])
    assert not folder.exists()
    assert made.position is None


@pytest.mark.parametrize("hook", ["on_epoch_begin", "on_epoch_end", "on_train_begin"])
def test_interruptions_between_epochs(hook: str, tmp_path: Path) -> None:
    whole = model("chain")
    whole.fit(X, Y, **HOW)
    for _ in range(3):  # several times
        after = 1 if hook == "on_train_begin" else 2
        with pytest.raises(Interruption):
            model("chain").fit(
                *(X, Y),
                callbacks=[callbacks.BackupAndRestore(tmp_path / "b"), Interrupts(after, hook)],
                **HOW,
            )
    made = model("chain")
    made.fit(X, Y, callbacks=[callbacks.BackupAndRestore(tmp_path / "b")], **HOW)
    assert bits(made) == bits(whole)


def test_a_backup_of_other_data(tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path / "b", save_freq=1)
    with pytest.raises(Interruption):
        model("chain").fit(X, Y, callbacks=[backup, Interrupts(2)], **HOW)
    with pytest.raises(
        ValueError, match=r"of 60 rows, batch_size=16, .* there are 60 rows, batch_size=8"
    ):
        model("chain").fit(X, Y, callbacks=[backup], **{**HOW, "batch_size": 8})
    with pytest.raises(
        fastnn.ModelFileError, match=r"latest\.safetensors: weight 'dense/kernel' has shape"
    ):
        model("branches").fit(X, Y, callbacks=[backup], **HOW)
    (tmp_path / "b" / "latest.safetensors").write_bytes(b"\0" * 40)
    with pytest.raises(fastnn.ModelFileError):
        model("chain").fit(X, Y, callbacks=[backup], **HOW)


def test_a_backup_stays_where_it_is_asked_to(tmp_path: Path) -> None:
    backup = callbacks.BackupAndRestore(tmp_path / "b", delete_checkpoint=False)
    made = model("chain")
    made.fit(X, Y, callbacks=[backup], **HOW)
    assert (tmp_path / "b" / "latest.safetensors").exists()
    again = model("chain")
    again.fit(X, Y, callbacks=[backup], **HOW)  # nothing is left to be done
    assert bits(again) == bits(made)


PROGRAM = """
import sys
sys.path[:0] = [{tests!r}]
import numpy as np, fastnn, test_checkpoints as t
from fastnn import callbacks
made = t.model({kind!r})
made.fit(t.X, t.Y, callbacks=[callbacks.BackupAndRestore({folder!r}, 1)], epochs=150, batch_size=8,
         verbose=0)
np.savez({out!r}, *made.get_weights())
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["chain", "eager"])
def test_a_process_that_is_killed_again_and_again(kind: str, tmp_path: Path) -> None:
    whole = model(kind)
    whole.fit(X, Y, epochs=150, batch_size=8, verbose=0)
    out = tmp_path / "out.npz"
    program = PROGRAM.format(
        tests=str(Path(__file__).parent), kind=kind, folder=str(tmp_path / "b"), out=str(out)
    )
    rng = np.random.default_rng(0)
    for _ in range(12):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", program])
        time.sleep(rng.uniform(0.4, 1.6))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], check=True, timeout=300)
    with np.load(out) as found:
        assert [found[name].tobytes() for name in found.files] == bits(whole)


# -- ModelCheckpoint


@pytest.mark.parametrize("kind", ["chain", "eager"])
@pytest.mark.parametrize("freq", ["epoch", 3])
def test_training_goes_on_from_every_checkpoint(kind: str, freq: Any, tmp_path: Path) -> None:
    name = "{epoch}.safetensors" if freq == "epoch" else "{epoch}-{batch}.safetensors"
    whole = model(kind)
    keep = callbacks.ModelCheckpoint(tmp_path / "deep" / name, save_freq=freq)
    history = whole.fit(X, Y, callbacks=[keep], **HOW).history
    plain = model(kind)
    plain.fit(X, Y, **HOW)
    assert bits(plain) == bits(whole)
    files = sorted((tmp_path / "deep").iterdir())
    assert len(files) == (4 if freq == "epoch" else 4 * STEPS // 3)
    for path in files:
        made = fastnn.load_model(path)
        assert made.position is not None
        again = made.fit(X, Y, initial_epoch=made.position, **HOW).history
        assert bits(made) == bits(whole)
        count = len(again.get("loss", []))
        assert again.get("loss", []) == history["loss"][4 - count :]


def test_the_best_model(tmp_path: Path) -> None:
    path = tmp_path / "best.safetensors"
    keep = callbacks.ModelCheckpoint(path, "loss", save_best_only=True, verbose=1)
    made = model("chain")
    losses = made.fit(X, Y, callbacks=[keep], **HOW).history["loss"]
    assert keep.best == min(losses)
    before = path.read_bytes()
    worse = callbacks.ModelCheckpoint(
        path, "loss", save_best_only=True, initial_value_threshold=-1.0
    )
    made.fit(X, Y, callbacks=[worse], **HOW)
    assert path.read_bytes() == before  # no loss is below -1
    made.fit(X, Y, callbacks=[keep], **{**HOW, "epochs": 12})
    assert path.read_bytes() != before
    assert keep.best < min(losses)
    with pytest.warns(UserWarning, match="fit will not produce 'val_loss'"):
        made.fit(X, Y, callbacks=[callbacks.ModelCheckpoint(path, save_best_only=True)], **HOW)


def test_weights_alone(tmp_path: Path) -> None:
    path = tmp_path / "{epoch:02d}-{accuracy:.3f}.safetensors"
    made = model("chain")
    made.fit(X, Y, callbacks=[callbacks.ModelCheckpoint(path, save_weights_only=True)], **HOW)
    files = sorted(tmp_path.iterdir())
    assert [file.name[:3] for file in files] == ["01-", "02-", "03-", "04-"]
    with pytest.raises(fastnn.ModelFileError, match="the file has weights alone"):
        fastnn.load_model(files[0])
    made.load_weights(files[0])
    wrong = callbacks.ModelCheckpoint(tmp_path / "{val_loss}.safetensors")
    with pytest.raises(
        ValueError, match=r"has 'val_loss', but the logs have loss, accuracy, epoch"
    ):
        made.fit(X, Y, callbacks=[wrong], **HOW)


def test_arguments() -> None:
    with pytest.raises(TypeError, match="filepath: expected a path, got 3"):
        callbacks.ModelCheckpoint(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="save_freq: expected 'epoch' or a number of steps"):
        callbacks.BackupAndRestore("b", "batch")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="save_freq"):
        callbacks.BackupAndRestore("b", 0)


@pytest.mark.parametrize(
    "way", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))]
)
def test_copies(way: Any, tmp_path: Path) -> None:
    for made in (
        callbacks.ModelCheckpoint(tmp_path / "a", save_freq=2),
        callbacks.BackupAndRestore(tmp_path / "b", save_freq=2),
    ):
        model("chain").fit(X, Y, callbacks=[made], **HOW)
        assert way(made).get_config() == made.get_config()
