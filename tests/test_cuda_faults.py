"""What goes wrong with a GPU, over the emulated library: always an exception that says what
and what to do, and the process goes on with the CPU.

Each program is a process of its own, since the library is opened once.
"""

from __future__ import annotations

import re
import subprocess

import cases
import emulator
import pytest

# Prints what each of several calls raised, by name.
START = """
import os, sys, tempfile
import numpy as np
import fastnn
from fastnn import layers, ops

draw = np.random.default_rng(1)
x = draw.normal(size=(60, 6)).astype("f4")
y = draw.integers(0, 4, 60)


def attempt(name, call):
    try:
        call()
        print(name, "works")
    except (RuntimeError, MemoryError) as error:
        print(name, type(error).__name__, error)


def built(device="cuda"):
    fastnn.utils.set_random_seed(3)
    model = fastnn.Sequential(
        [fastnn.Input((6,)), layers.Dense(8, activation="relu"), layers.Dense(4)]
    )
    model.compile("adam", "sparse_categorical_crossentropy", device=device)
    return model


def fit(model, **options):
    return model.fit(x, y, **{"batch_size": 8, "epochs": 2, "verbose": 0, **options})


def expected():
    model = built("cpu")
    fit(model)
    return model.get_weights()
"""
SESSIONS = ("plain", "generic", "resident", "wide")
# Where each is a process of its own; test_cuda_sessions.py runs all of them in one.
EACH = [pytest.param(s, marks=[pytest.mark.slow] if s != "generic" else []) for s in SESSIONS]


def told(program, library, **environment):
    """What the program prints, of one that ends well; library None: of the device here."""
    opened = {} if library is None else {"FASTNN_CUDA_LIBRARY": str(library)}
    done = cases.python(
        START + program, **{"FASTNN_DEVICE": "", "FASTNN_NUM_THREADS": "1", **opened, **environment}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- opening ----------------------------------------------------------------

OPENING = """
print(fastnn.show_config(mode="dicts")["cuda"])
fastnn.show_config()
attempt("compile", built)
os.environ["FASTNN_DEVICE"] = "cuda"
attempt("environment", lambda: built("auto"))
attempt("op", lambda: ops.softmax(x))
del os.environ["FASTNN_DEVICE"]
attempt("array", lambda: ops.DeviceArray(x))
# As large as "auto" wants a step to be.
wide = fastnn.Sequential([fastnn.Input((6,)), layers.Dense(4000), layers.Dense(4)])
wide.compile("adam", "sparse_categorical_crossentropy")
attempt("auto", lambda: fit(wide, batch_size=60))
print(wide.network.device(60))
attempt("cpu", lambda: fit(built("cpu")))
attempt("op on the cpu", lambda: ops.softmax(x))
"""


def check_opening(output, reason):
    lines = output.splitlines()
    assert lines[0].startswith("{'usable': False, 'reason': ")
    assert re.search(reason, lines[0]), lines[0]
    (shown,) = (line for line in lines if line.startswith("CUDA "))
    assert "runs on the CPU alone" in shown
    assert re.search(reason, shown)
    rest = lines[lines.index(shown) + 1 :]
    for line, name in zip(rest, ("compile", "environment", "op", "array"), strict=False):
        assert re.match(rf"{name} RuntimeError .*CUDA cannot be used: .*{reason}", line), line
    assert rest[4:] == ["auto works", "cpu", "cpu works", "op on the cpu works"]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("no driver", r"no NVIDIA driver .*; install one"),
        ("old driver", r"driver is too old: it knows CUDA 11.4, and 13.0 is needed; update it"),
        ("no device", r"finds no GPU \(see CUDA_VISIBLE_DEVICES, and nvidia-smi\)"),
    ],
)
def test_a_device_that_cannot_be_opened(emulated, fault, reason):
    check_opening(told(OPENING, emulated, FASTNN_EMULATOR_FAULT=fault), reason)


def test_no_library(tmp_path):
    missing = tmp_path / "_cuda.so"
    check_opening(
        told(OPENING, missing), r"cannot open .*_cuda.so: .* \(FASTNN_CUDA_LIBRARY names it\)"
    )
    missing.write_text("no library")
    check_opening(
        told(OPENING, missing), r"cannot open .*_cuda.so: .* \(FASTNN_CUDA_LIBRARY names it\)"
    )


def made(directory, source):
    """A library of one file in C."""
    if emulator.COMPILER is None:
        pytest.skip("needs a C++ compiler")
    code = directory / "mock.c"
    code.write_text(source)
    library = directory / "mock.so"
    command = [emulator.COMPILER, "-x", "c", "-shared", "-fPIC", code, "-o", library]
    subprocess.run(command, check=True, timeout=60)
    return library


def test_another_library(tmp_path):
    library = made(tmp_path, "int nothing_of_use = 1;")
    check_opening(told(OPENING, library), "mock.so is no library of fastnn")


def test_a_library_of_another_build(tmp_path):
    """Only the version and the layout are looked at, the rest may lie anywhere."""
    source = """
      #include <stdint.h>
      static const struct { uint32_t version; uint64_t layout; } library = {99, 1};
      const void* fastnn_cuda_library(void) { return &library; }
    """
    check_opening(told(OPENING, made(tmp_path, source)), r"another build of fastnn \(version 99,")


def test_of_the_same_version_but_another_layout(tmp_path):
    header = (emulator.ROOT / "csrc/cuda/abi.h").read_text()
    version = re.search(r"cuda_abi_version = (\d+);", header)
    source = """
      #include <stdint.h>
      static const struct { uint32_t version; uint64_t layout; } library = {%s, 1};
      const void* fastnn_cuda_library(void) { return &library; }
    """
    assert version
    check_opening(told(OPENING, made(tmp_path, source % version[1])), "another build of fastnn")


# -- in use -----------------------------------------------------------------

USE = """
model = built()
before = model.get_weights()
attempt("fit", lambda: fit(model))

def check():
    # The weights are those of the steps that count.
    weights = model.get_weights()
    for a, b in zip(before, weights):
        assert (a == b).all() == (model.network.steps == 0)
    assert all(np.isfinite(w).all() for w in weights)


lost = False
try:
    check()
except RuntimeError as error:
    assert "cannot be read" in str(error)
    lost = True
attempt("predict", lambda: model.predict(x))
attempt("evaluate", lambda: model.evaluate(x, y, verbose=0))
attempt("gradient", lambda: model.value_and_grad(x, y))
attempt("array", lambda: ops.DeviceArray(x).numpy())
os.environ["FASTNN_DEVICE"] = "cuda"
attempt("op", lambda: ops.softmax(x))
del os.environ["FASTNN_DEVICE"]
# The same model, on the CPU.
try:
    model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
except RuntimeError as error:
    assert lost and "after 0 steps" in str(error), error
check()
model.set_weights(before)
os.environ["FASTNN_SESSION"] = "auto"
model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
model.network.steps = model.network.epochs = 0
fit(model)
assert all((a == b).all() for a, b in zip(expected(), model.get_weights()))
"""
FAULTS = {
    "memory": "MemoryError CUDA out of memory: .* Try a smaller batch_size, or device='cpu'.",
    "launch": "RuntimeError CUDA failed: the emulated launch of a kernel failed",
    "wait": "RuntimeError CUDA failed: the emulated device stopped",
}


@pytest.mark.parametrize("session", EACH)
@pytest.mark.parametrize("kind", FAULTS)
def test_faults_in_use(emulated, session, kind):
    """From the first call on and from later ones; where one fails all that follow do."""
    for first in (0, 3, 11, 30):
        output = told(
            USE, emulated, FASTNN_SESSION=session, FASTNN_EMULATOR_FAULT=f"{kind} {first}"
        )
        results = dict(line.split(" ", 1) for line in output.splitlines())
        assert len(results) == 6
        failed = [text for text in results.values() if text != "works"]
        assert failed or first > 9, output
        assert all(re.fullmatch(FAULTS[kind], text) for text in failed), output
        # What only copies launches nothing.
        assert first > 0 or len(failed) == (5 if kind == "launch" else 6)


AGAIN = """
model = built()
before = model.get_weights()
attempt("first", lambda: fit(model, batch_size=1))
model.set_weights(before)
network = model.network
network.set_optimizer_state([0 * slot for slot in network.optimizer_state])
network.steps = network.updates = network.epochs = 0
attempt("second", lambda: fit(model, batch_size=1))
print(model.predict(x).tobytes().hex())
"""


@pytest.mark.parametrize("session", EACH)
def test_what_fails_once_works_again(emulated, session):
    """Whatever had been begun: the same model, trained from the same start to the same bits."""
    good = told(AGAIN, emulated, FASTNN_SESSION=session).split("\n", 1)[1]
    for fault in ("memory 9", "launch 2", "launch 150", "launch 300"):
        output = told(
            AGAIN, emulated, FASTNN_SESSION=session, FASTNN_EMULATOR_FAULT=f"{fault} once"
        )
        first, rest = output.split("\n", 1)
        assert re.match(f"first {FAULTS[fault.split()[0]]}", first) or first == "first works"
        assert rest == good, fault


def test_a_lost_device_is_not_out_of_memory(emulated):
    """Nothing can be had of a device that is lost; no smaller batch would help."""
    done = told(USE, emulated, FASTNN_EMULATOR_FAULT="lost 5", FASTNN_SESSION="generic")
    assert "MemoryError" not in done
    assert done.count("RuntimeError CUDA failed: the emulated device is lost") >= 5, done


def test_a_device_whose_blocks_share_less(emulated):
    program = """
model = fastnn.Sequential([fastnn.Input((6,)), layers.Dense(64), layers.Dense(4)])
model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
print(model.session(32))
fit(model)
os.environ["FASTNN_SESSION"] = "resident"
model.compile("adam", "sparse_categorical_crossentropy", device="cuda")
try:
    fit(model)
except ValueError as error:
    print(error)
"""
    chosen, refused = told(program, emulated, FASTNN_EMULATOR_FAULT="small").splitlines()
    assert chosen == "generic"
    needs = r"session: 'resident' needs \d+ bytes .* this GPU has 16384; expected .*'generic'"
    assert re.match(needs, refused)
    assert told(program, emulated) == "resident\n"


# -- after a fork -----------------------------------------------------------

FORK = """
def in_child(call):
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            call()
            sys.stdout.flush()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize("session", EACH)
def test_a_child_of_a_process_that_used_cuda(emulated, session):
    program = (
        FORK
        + """
model = built()
fit(model, batch_size=1, epochs=10)  # of steps enough for a graph
weights = model.get_weights()


def child():
    state = fastnn.show_config(mode="dicts")["cuda"]
    assert not state["usable"] and "forked process" in state["reason"]
    attempt("fit", lambda: fit(model, batch_size=1))
    attempt("predict", lambda: model.predict(x))
    attempt("compile", built)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights()))
    os.environ["FASTNN_SESSION"] = "auto"
    # Which gives up all that the parent had on the device.
    model.compile("adam", "sparse_categorical_crossentropy", device="cpu")
    attempt("cpu", lambda: fit(model))
    other = built("auto")
    attempt("auto", lambda: fit(other))


in_child(child)
attempt("parent", lambda: fit(model))
"""
    )
    lines = told(program, emulated, FASTNN_SESSION=session).splitlines()
    for line, name in zip(lines, ("fit", "predict", "compile"), strict=False):
        assert re.match(rf"{name} RuntimeError .*forked process.*\"spawn\".*device='cpu'", line)
    assert lines[3:] == ["cpu works", "auto works", "parent works"]


def test_a_child_of_a_process_that_did_not(emulated):
    program = (
        FORK
        + """
in_child(lambda: attempt("child", lambda: fit(built())))
in_child(lambda: attempt("child", lambda: fit(built())))
attempt("parent", lambda: fit(built()))
"""
    )
    assert told(program, emulated) == "child works\nchild works\nparent works\n"


# -- order ------------------------------------------------------------------

ORDER = """
import hashlib


def put(*values):
    for value in values:
        print(hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest())


class Look(fastnn.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        put(model.layers[0].kernel.numpy())


model = built()
fit(model, callbacks=[Look()])
history = fit(model, validation_split=0.2).history
put(*history.values(), *model.get_weights(), model.predict(x))
put(model.evaluate(x, y, verbose=0), *model.value_and_grad(x, y)[1])
put(model.train_on_batch(x[:8], y[:8]), model.predict(x))
model.set_weights([w / 2 for w in model.get_weights()])
put(model.predict(x))
fit(model, callbacks=[fastnn.callbacks.EarlyStopping("loss", patience=5)])
put(*model.get_weights())
array = ops.DeviceArray(x)
put(ops.softmax(array).numpy(), ops.dense_forward(array, ops.DeviceArray(x[:6]), None, "relu"))
os.environ["FASTNN_DEVICE"] = "cuda"
put(ops.softmax_cross_entropy(x, y.astype("i4"))[1])
"""


@pytest.mark.parametrize("session", EACH)
def test_nothing_is_read_before_it_is_there(emulated, session):
    """Work is put off until it is waited for, in one of the orders that streams allow."""
    first = told(ORDER, emulated, FASTNN_SESSION=session)
    for seed in ("2", "3"):
        assert told(ORDER, emulated, FASTNN_SESSION=session, FASTNN_EMULATOR_SEED=seed) == first


WRITES = """
class Look(fastnn.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        pass


class LookOften(Look):
    def on_train_batch_end(self, batch, logs=None):
        pass


model = built()
many = np.tile(x, (10, 1)), np.tile(y, 10)
for look in ([], [Look()], [LookOften()]):
    given = {"batch_size": 200, "epochs": 5, "verbose": 0, "validation_data": many}
    model.fit(*many, callbacks=look, **given)
    with open(os.environ["FASTNN_EMULATOR_LOG"], "r+") as log:
        print(sum(line.startswith("write") for line in log))
        log.truncate(0)
"""


@pytest.mark.parametrize("session", EACH)
def test_data_are_brought_once(emulated, session, tmp_path):
    """However often a callback looks: x of training, and of validation, though that each
    time where it is a call of its own, after the batches of an epoch."""
    log = tmp_path / "log"
    output = told(WRITES, emulated, FASTNN_SESSION=session, FASTNN_EMULATOR_LOG=str(log))
    assert output == "2\n2\n6\n"


def test_validation_is_where_training_is(emulated):
    """A prediction before a second compile leaves nothing on the CPU that training would use."""
    program = """
model = fastnn.Sequential([fastnn.Input((6,)), layers.Dense(4000), layers.Dense(4)])
losses = []
for turn in range(2):
    model.compile(fastnn.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    model.predict(x)
    assert model.network.device(60) == "cuda"
    history = fit(model, batch_size=60, epochs=3, validation_data=(x, y)).history
    losses = history["val_loss"]
    assert losses[-1] == model.evaluate(x, y, verbose=0), (losses, turn)
    assert len(set(losses)) == 3, (losses, turn)  # each of other weights
print("fine")
"""
    assert told(program, emulated, FASTNN_SESSION="plain") == "fine\n"
