"""Models and files in other processes: pickles, at other numbers of threads, on a GPU, and killed writers."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pickle
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import saved_models
from saved_models import KINDS, LOGITS, X, Y, bits
from test_cuda_faults import told

import fastnn
from fastnn import _core, callbacks, layers, optimizers
from fastnn.files.atomic import replacing
from fastnn.files.layout import read

pytestmark = pytest.mark.filterwarnings("ignore::fastnn.TapeWarning")

TESTS = str(Path(__file__).parent)
HOW: dict[str, Any] = {"batch_size": 16, "verbose": 0, "validation_split": 0.2}


def trained(model: Any, epochs: int = 2) -> list[bytes]:
    """The bits of a model that has trained on; for other processes."""
    model.fit(X, Y, epochs=epochs, **HOW)
    return bits(model)


def run(program: str, *arguments: str, threads: int | str = "") -> str:
    """What a new process prints."""
    environment = {**os.environ, "FASTNN_NUM_THREADS": str(threads)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import sys; sys.path[:0] = [{TESTS!r}]\n{program}"]
        + list(arguments),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# -- pickles


def test_models_and_optimizers_go_through_multiprocessing() -> None:
    models = [KINDS[kind]() for kind in ("chain", "nested", "eager", "own_class_inside")]
    for model in models:
        trained(model)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.map(trained, models)
        history, callback, optimizer = pool.map(_itself, _others(models[0]))
    assert found == [trained(model) for model in models]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert callback.get_config()["monitor"] == "loss"
    assert optimizer.iterations > 0


def _itself(thing: Any) -> Any:
    return thing


def _others(model: Any) -> list[Any]:
    return [model.history, callbacks.ModelCheckpoint("a", "loss"), model.optimizer]


def test_models_go_through_cloudpickle() -> None:
    """Also of a class of the main program, which travels with its code."""
    cloudpickle = pytest.importorskip("cloudpickle")

    class Local(fastnn.Model):
        def __init__(self) -> None:
            super().__init__()
            self.only = layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.only(fastnn.math.sin(x))

    for model in (saved_models.chain(), Local()):
        model.compile("adam", LOGITS)
        trained(model)
        made = pickle.loads(cloudpickle.dumps(model))
        assert trained(made) == trained(model)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_models_go_through_joblib() -> None:
    joblib = pytest.importorskip("joblib")
    models = [KINDS[kind]() for kind in ("chain", "eager")]
    for model in models:
        trained(model)
    found = joblib.Parallel(n_jobs=2)(joblib.delayed(trained)(model) for model in models)
    assert found == [trained(model) for model in models]


UNPICKLED = """
import os, pickle, fastnn
fastnn.set_num_threads(3)
before = len(os.listdir("/proc/self/task"))  # NumPy has some
with open(sys.argv[1], "rb") as file:
    models = [pickle.load(file) for _ in range(3)]
models.append(fastnn.load_model(sys.argv[2]))
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_reading_starts_no_threads(tmp_path: Path) -> None:
    model = fastnn.Sequential([layers.Dense(300, "relu", input_shape=(40,)), layers.Dense(3)])
    model.compile("adam", LOGITS)
    model.fit(np.ones((512, 40)), np.zeros(512, int), batch_size=256, verbose=0)
    model.save(tmp_path / "m.safetensors")
    with (tmp_path / "m.pickle").open("wb") as file:
        for thing in (model, model.history, model.optimizer):
            pickle.dump(thing, file)
    assert run(UNPICKLED, str(tmp_path / "m.pickle"), str(tmp_path / "m.safetensors")) == "0\n"


# -- training that goes on in another process

GOES_ON = """
import numpy as np, fastnn, test_saved_elsewhere as t
fastnn.set_num_threads(int(sys.argv[3]))
model = fastnn.load_model(sys.argv[1])
model.fit(t.X, t.Y, epochs=4, initial_epoch=model.position or 2, **t.HOW)
np.savez(sys.argv[2], *model.get_weights())
"""


def made(kind: str) -> Any:
    """Models with all that has a state: averages, dropout, normalization, decay, frozen layers."""
    dtype = "float64" if kind == "double" else None
    model = (
        KINDS["eager"]()
        if kind == "eager"
        else fastnn.Sequential(
            [
                layers.Dense(40, "relu", input_shape=(4,), name="first"),
                layers.Dropout(0.3),
                layers.LayerNormalization(),
                layers.Dense(30, "relu"),
                layers.Dense(3),
            ],
            seed=9,
            dtype=dtype,
        )
    )
    model.predict(X)
    optimizer = optimizers.AdamW(0.01, use_ema=True, ema_momentum=0.9, weight_decay=0.1)
    optimizer.exclude_from_weight_decay([model.weights[0]], ["bias"])
    model.compile(optimizer, LOGITS, metrics=["accuracy"])
    if kind != "eager":
        model.get_layer("first").trainable = False  # `compile` found it trainable
    return model


@pytest.mark.parametrize(
    ("kind", "threads", "at"),
    [
        ("single", 1, "step"),
        ("double", 3, "step"),
        ("eager", 2, "step"),
        pytest.param("single", 2, "epoch", marks=pytest.mark.slow),
        pytest.param("single", 3, "epoch", marks=pytest.mark.slow),
        pytest.param("double", 1, "epoch", marks=pytest.mark.slow),
        pytest.param("eager", 3, "epoch", marks=pytest.mark.slow),
    ],
)
def test_all_that_has_a_state_goes_on(kind: str, threads: int, at: str, tmp_path: Path) -> None:
    whole, part = made(kind), made(kind)
    part.set_weights(whole.get_weights())
    if kind == "eager":  # the keys of models that draw by themselves
        part = pickle.loads(pickle.dumps(whole))
    whole.fit(X, Y, epochs=4, **HOW)
    path, out = tmp_path / "m.safetensors", tmp_path / "out.npz"
    keep = callbacks.ModelCheckpoint(path, save_freq=5 if at == "step" else 6)
    part.fit(X, Y, epochs=2, callbacks=[keep], **HOW)
    run(GOES_ON, str(path), str(out), str(threads), threads=threads)
    with np.load(out) as found:
        assert [found[name].tobytes() for name in found.files] == bits(whole)


@pytest.fixture
def device(request: pytest.FixtureRequest) -> Any:
    """The library of it; None: of the device that is here."""
    return None if _core.cuda_state()["usable"] else request.getfixturevalue("emulated")


ON_GPU = """
from fastnn import callbacks, optimizers
def model():
    fastnn.utils.set_random_seed(3)
    made = fastnn.Sequential([fastnn.Input((6,)), layers.Dense(8, activation="relu"),
                              layers.Dropout(0.25), layers.Dense(4)])
    made.compile(optimizers.Adam(0.01, use_ema=True), "sparse_categorical_crossentropy",
                 metrics=["accuracy"], device="cuda")
    return made
how = dict(batch_size=8, verbose=0, validation_split=0.2)
"""
WRITES = """
keep = callbacks.ModelCheckpoint({path!r}, save_freq=9)
part = model()
part.fit(x, y, epochs=2, callbacks=[keep], **how)
whole = model()
whole.fit(x, y, epochs=4, **how)
print([w.tobytes().hex() for w in whole.get_weights()])
"""
READS = """
made = fastnn.load_model({path!r})
made.fit(x, y, epochs=4, initial_epoch=made.position, **how)
print([w.tobytes().hex() for w in made.get_weights()])
"""
ELSEWHERE = """
import warnings
with warnings.catch_warnings(record=True) as found:
    warnings.simplefilter("always")
    made = fastnn.load_model({path!r})
print(*(warning.message for warning in found))
made.fit(x, y, epochs=4, initial_epoch=made.position, **how)
print(np.isfinite(made.get_weights()[0]).all())
"""


def test_training_goes_on_on_a_gpu(device: Any, tmp_path: Path) -> None:
    """In the middle of an epoch and in another process, to the bit; or without a GPU, with a warning."""
    path = str(tmp_path / "m.safetensors")
    whole = told(ON_GPU + WRITES.format(path=path), device)
    assert told(ON_GPU + READS.format(path=path), device) == whole
    if device is not None:
        text = told(ELSEWHERE.join((ON_GPU, "")).format(path=path), None)
        assert "load_model: compiled for a GPU, which cannot be used here" in text
        assert text.endswith("True\n")


# -- killed writers


@pytest.mark.parametrize("times", [20, pytest.param(1000, marks=pytest.mark.long)])
def test_a_program_that_saves_and_is_killed(times: int, tmp_path: Path) -> None:
    """At any moment the file is a whole one: of one number."""
    path = tmp_path / "m.safetensors"
    model = fastnn.Sequential([layers.Dense(100, input_shape=(300,)), layers.Dense(3)])
    model.compile("adam", LOGITS)
    model.set_weights([weight * 0 - 1 for weight in model.get_weights()])
    model.save(path)
    draw = random.Random(0)
    seen = set()
    for i in range(times):
        child = os.fork()
        if child == 0:
            try:
                for number in range(1000 * i, 1000 * i + 1000):
                    model.set_weights([weight * 0 + number for weight in model.get_weights()])
                    model.save(path)
            finally:
                os._exit(1)
        time.sleep(draw.random() * 0.03)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found = fastnn.load_model(path)
        values = {float(value) for weight in found.get_weights() for value in np.unique(weight)}
        assert len(values) == 1
        seen |= values
    assert len(seen) > 1
    model.save(path)
    assert list(tmp_path.iterdir()) == [path]  # nothing is left of those that were killed


def test_what_killed_writers_left_is_removed(tmp_path: Path) -> None:
    """And nothing else: neither what is being written, nor files of other names and kinds."""
    model = fastnn.Sequential([layers.Dense(3, input_shape=(3,))])
    path = tmp_path / "m.safetensors"
    left = tmp_path / f".m.safetensors.{'0' * 16}.tmp"
    others = [
        tmp_path / f".n.safetensors.{'0' * 16}.tmp",
        tmp_path / f".m.safetensors.{'0' * 15}x.tmp",
        tmp_path / f".m.safetensors.{'0' * 16}",
        tmp_path / f"m.safetensors.{'0' * 16}.tmp",
    ]
    for file in (left, *others):
        file.write_bytes(b"half")
    linked = tmp_path / f".m.safetensors.{'1' * 16}.tmp"
    linked.symlink_to(others[0])
    os.mkfifo(tmp_path / f".m.safetensors.{'2' * 16}.tmp")
    (tmp_path / f".m.safetensors.{'3' * 16}.tmp").mkdir()
    kept = {*tmp_path.iterdir()} - {left}
    with replacing(path) as file:
        file.write(b"another writer, not yet at its end")
        file.flush()
        model.save(path)
        assert fastnn.load_model(path).count_params() == 12
        assert len({*tmp_path.iterdir()} - kept - {path}) == 1
    assert {*tmp_path.iterdir()} == {*kept, path}
    assert path.read_bytes().startswith(b"another")
    long = tmp_path / f"{'é' * 120}.safetensors"
    model.save(long)
    assert {*tmp_path.iterdir()} == {*kept, path, long}


def test_writers_of_one_file_in_many_threads(tmp_path: Path) -> None:
    """None removes what another one writes."""
    model = fastnn.Sequential([layers.Dense(3, input_shape=(3,))])
    path = tmp_path / "m.safetensors"

    def saves() -> None:
        for _ in range(20):
            model.save(path)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(saves) for _ in range(8)]:
            done.result()
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = fastnn.Sequential([layers.Dense(300, input_shape=(300,))])
    model.save(path)
    before = path.read_bytes()
    run(
        """
import resource, signal, fastnn
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
model = fastnn.load_model(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
for save in (model.save, model.save_weights):
    try:
        save(sys.argv[1])
    except OSError as error:
        print(error)
    else:
        sys.exit("it was written")
print(model.predict([[1.0] * 300]).shape)
""",
        str(path),
    )
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.safetensors"]
    assert read(path).metadata["kind"] == "model"
