"""Training on Chunks that was interrupted goes on with the same bits, also in the middle of an epoch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chunked import LABELS, X, Y, classifier, files, model_of, parts, same

import fastnn
from fastnn.callbacks import BackupAndRestore, LambdaCallback
from fastnn.data import Chunks

QUIET = {"verbose": 0}


class PowerCut(Exception):
    pass


class Counts(fastnn.callbacks.Callback):
    """Counts the steps of a fit."""

    steps = 0

    def on_train_batch_end(self, *_):
        self.steps += 1


def failing(at):
    """Fails after so many steps of a fit."""
    made = []

    def count(step, _):
        made.append(step)
        if len(made) == at:
            raise PowerCut

    return LambdaCallback(on_train_batch_end=count)


MAKE = {
    "arrays": lambda: Chunks(X, LABELS, rows=33, window=77),
    "sequence": lambda: Chunks(parts(33, X, LABELS), window=77),
    "function": lambda: Chunks(lambda: iter(parts(33, X, LABELS)), window=77),
}


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("at", [1, 5, 6, 13, 14, 15, 33])
def test_a_fit_goes_on_after_any_step(tmp_path, kind, at):
    how = {"epochs": 3, **QUIET}
    ours, theirs = classifier(), classifier()
    expected = theirs.fit(MAKE[kind](), **how)
    backup = BackupAndRestore(tmp_path / "backup", save_freq=at)
    with pytest.raises(PowerCut):
        ours.fit(MAKE[kind](), callbacks=[failing(at + 1), backup], **how)
    again = classifier()  # as in a new process
    counts = Counts()
    found = again.fit(MAKE[kind](), callbacks=[backup, counts], **how)
    assert counts.steps == 3 * 14 - at
    assert same(again, theirs)
    assert same(found, expected)


@pytest.mark.parametrize("kind", MAKE)
@pytest.mark.parametrize("at", [3, 4, 5, 9])
def test_a_fit_with_steps_per_epoch_goes_on(tmp_path, kind, at):
    how = {"epochs": 6, "batch_size": 32, "steps_per_epoch": 4, **QUIET}
    chunks = MAKE[kind]
    ours, theirs, again = classifier(), classifier(), classifier()
    with pytest.warns(UserWarning, match="steps_per_epoch=4"):
        expected = theirs.fit(chunks(), **how)
    backup = BackupAndRestore(tmp_path / "backup", save_freq=at)
    with pytest.raises(PowerCut):
        ours.fit(chunks(), callbacks=[failing(at + 1), backup], **how)
    with pytest.warns(UserWarning, match="steps_per_epoch=4"):
        found = again.fit(chunks(), callbacks=[backup, counts := Counts()], **how)
    assert counts.steps == 14 + 8 - at  # a pass and a half
    assert same(again, theirs)
    assert same(found, expected)


def test_metrics_of_all_rows_go_on(tmp_path):
    def model():
        return model_of("binary_crossentropy", 1, metrics=[fastnn.metrics.AUC()])

    y = (Y[:, 0] > 0).astype(np.float32)
    how = {"epochs": 2, **QUIET}
    weights = np.ones(len(X)) * 2
    theirs, ours, again = model(), model(), model()

    def chunks():
        return Chunks(X, y, weights, rows=33, window=77)

    expected = theirs.fit(chunks(), **how)
    backup = BackupAndRestore(tmp_path / "backup", save_freq=19)
    with pytest.raises(PowerCut):
        ours.fit(chunks(), callbacks=[failing(20), backup], **how)
    found = again.fit(chunks(), callbacks=[backup], **how)
    assert same(again, theirs)
    assert same(found, expected)


def own_loss(y, p):
    return fastnn.math.reduce_mean((y - p) * (y - p), axis=-1)


@pytest.mark.parametrize("kind", ["arrays", "function"])
@pytest.mark.parametrize("at", [1, 6, 13, 14, 15])
@pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")
def test_a_fit_over_the_tape_goes_on(tmp_path, kind, at):
    how = {"epochs": 2, **QUIET}
    made = {
        "arrays": lambda: Chunks(X, Y, rows=33, window=77),
        "function": lambda: Chunks(lambda: iter(parts(33, X, Y)), window=77),
    }[kind]
    theirs, ours, again = (model_of(own_loss, metrics=["mae"]) for _ in range(3))
    expected = theirs.fit(made(), **how)
    backup = BackupAndRestore(tmp_path / "backup", save_freq=at)
    with pytest.raises(PowerCut):
        ours.fit(made(), callbacks=[failing(at + 1), backup], **how)
    found = again.fit(made(), callbacks=[backup, counts := Counts()], **how)
    assert counts.steps == 2 * 14 - at
    assert same(again, theirs)
    assert same(found, expected)


def test_other_chunks_or_windows_are_refused(tmp_path):
    backup = BackupAndRestore(tmp_path / "backup", save_freq=4)
    with pytest.raises(PowerCut):
        classifier().fit(MAKE["arrays"](), callbacks=[failing(5), backup], **QUIET)
    for other in (Chunks(X, LABELS, rows=33, window=78), Chunks(X, LABELS, rows=34, window=77)):
        with pytest.raises(ValueError, match="other chunks, or windows"):
            classifier().fit(other, callbacks=[backup], **QUIET)
    with pytest.raises(ValueError, match="other chunks, or windows"):
        classifier().fit(X, LABELS, callbacks=[backup], **QUIET)
    with pytest.raises(ValueError, match="436 rows"):
        classifier().fit(Chunks(X[1:], LABELS[1:], rows=33, window=77), callbacks=[backup], **QUIET)


PROGRAM = """
import sys
import numpy as np, fastnn
x, y, folder, at = *sys.argv[1:4], int(sys.argv[4])
fastnn.utils.set_random_seed(4)
model = fastnn.Sequential([fastnn.layers.Dense(6, "relu", input_shape=(5,)), fastnn.layers.Dropout(0.2),
                           fastnn.layers.Dense(3)])
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
made = []
def count(step, _):
    made.append(step)
    if len(made) == at:
        import os
        os._exit(9)
callbacks = [fastnn.callbacks.BackupAndRestore(folder, save_freq=4, delete_checkpoint=False),
             fastnn.callbacks.LambdaCallback(on_train_batch_end=count)]
model.fit(fastnn.data.Chunks(x, y, rows=33, window=77), epochs=3, callbacks=callbacks, verbose=0)
model.save(folder + ".safetensors")
"""


def test_a_process_that_was_killed_is_followed_by_another(tmp_path):
    def run(folder, at):
        made = [sys.executable, "-c", PROGRAM, *files(tmp_path, X, LABELS), str(tmp_path / folder)]
        return subprocess.run([*made, str(at)], check=False, timeout=120).returncode

    assert run("whole", 0) == 0
    assert run("cut", 22) == 9
    assert not Path(tmp_path / "cut.safetensors").exists()
    assert run("cut", 0) == 0
    models = [fastnn.load_model(tmp_path / f"{name}.safetensors") for name in ("whole", "cut")]
    assert same(*models)


def test_an_interrupted_fit_keeps_the_weights_and_ends_its_thread():
    import threading

    def interrupt(step, _):
        if step == 7:
            raise KeyboardInterrupt

    model = classifier()
    halt = LambdaCallback(on_train_batch_end=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(MAKE["arrays"](), callbacks=[halt], epochs=3, **QUIET)
    assert model.network.steps == 8
    assert "fastnn batches" not in [t.name for t in threading.enumerate()]
    model.fit(MAKE["arrays"](), **QUIET)
