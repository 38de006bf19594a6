"""Printing never decides over training: odd streams cost the line, and nothing else."""

from __future__ import annotations

import ast
import contextlib
import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from pathlib import Path

import networks
import numpy as np
import pytest

import fastnn
from fastnn import callbacks, console, layers, metrics
from fastnn.callbacks.progress import ProgbarLogger
from fastnn.callbacks.told import values_text

PACKAGE = Path(fastnn.__file__).parent


class Bare:
    """Only what `print` needs."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text


class Raising(io.StringIO):
    """A stream of which some methods raise."""

    def __init__(self, error, *names):
        super().__init__()
        for name in names:
            setattr(self, name, self._raises(error))

    @staticmethod
    def _raises(error):
        def method(*_):
            raise error

        return method


class Numbered(Exception):
    """An error that no one expects of a stream."""


class Odd(io.StringIO):
    """`isatty` answers what is neither True nor False."""

    def isatty(self):
        return np.array([1, 2])  # has no truth


class Broken:
    """Every attribute raises what is not an AttributeError."""

    def __getattr__(self, name):
        raise Numbered(name)


def closed():
    stream = io.StringIO()
    stream.close()
    return stream


def narrow(encoding="ascii", errors="strict"):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


def closed_below():
    stream = narrow()
    stream.buffer.close()
    return stream


def detached():
    stream = narrow()
    stream.detach()
    return stream


STREAMS = {
    "None": lambda: None,
    "an object": object,
    "write alone": Bare,
    "closed": closed,
    "closed below": closed_below,
    "detached": detached,
    "bytes alone": io.BytesIO,
    "read-only": lambda: io.TextIOWrapper(io.BufferedReader(io.BytesIO())),
    "truth of isatty": Odd,
    "attributes raise": Broken,
    "ascii": narrow,
    "no codec": lambda: Raising(UnicodeEncodeError("x", "ö", 0, 1, "no"), "write"),
    **{
        f"{name} raises {type(error).__name__}": (lambda n=name, e=error: Raising(e, n))
        for name in ("write", "flush", "isatty")
        for error in (
            OSError(28, "No space left on device"),
            BrokenPipeError(32, "Broken pipe"),
            BlockingIOError(11, "again"),
            ValueError("I/O operation on closed file"),
            RuntimeError("reentrant call"),
            NotImplementedError(),
            AttributeError("write"),
            TypeError("bytes"),
            MemoryError(),
            UserWarning("a warning made an error"),
            Numbered(),
        )
    },
}


def small(name="größe"):
    model = fastnn.Sequential([layers.Dense(2, input_shape=(3,), name="schicht_ö")])
    model.compile("adam", "mse", metrics=[metrics.MeanSquaredError(name=name)])
    return model


X, Y = np.ones((8, 3), np.float32), np.zeros((8, 2), np.float32)


def everything(verbose):
    """All calls that print; what training came to."""
    model = small()
    stopping = callbacks.EarlyStopping("loss", min_delta=1e9, patience=1, verbose=1)
    history = model.fit(X, Y, epochs=3, batch_size=4, verbose=verbose, callbacks=[stopping])
    model.fit(X, Y, batch_size=4, verbose=verbose, callbacks=[callbacks.ProgbarLogger(live=True)])
    model.evaluate(X, Y, verbose=verbose)
    model.predict(X, verbose=verbose)
    model.summary(batch_size=4)
    fastnn.show_config()
    return history.history, model.get_weights()


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_odd_streams(stream, verbose, monkeypatch):
    monkeypatch.setattr(ProgbarLogger, "interval", 0.0)
    fastnn.utils.set_random_seed(1)
    expected = everything(0)
    fastnn.utils.set_random_seed(1)
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", STREAMS[stream]())
        history, weights = everything(verbose)
    assert history == expected[0]
    assert len(history["loss"]) == 2
    for ours, theirs in zip(weights, expected[1], strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_stream_at_all(monkeypatch):
    with monkeypatch.context() as context:
        context.delattr(sys, "stdout")
        everything("auto")


@pytest.mark.parametrize(
    ("encoding", "seen"),
    [("ascii", "gr??e"), ("latin-1", "größe"), ("utf-8", "größe"), ("koi8-r", "gr??e")],
)
def test_letters_that_an_encoding_lacks(encoding, seen, monkeypatch):
    stream = narrow(encoding)
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", stream)
        small().fit(X, Y, verbose=2)
    written = stream.buffer.getvalue().decode(encoding)
    assert re.fullmatch(
        rf"Epoch 1/1 - [\d.]+s - loss: [\d.]+ - {re.escape(seen)}: [\d.]+\n", written
    )


def test_letters_that_no_encoding_has(monkeypatch):
    """A lone surrogate, as file names may hold."""
    stream = narrow("utf-8")
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", stream)
        small("a\udc80b").fit(X, Y, verbose=2)
    assert b"a?b: " in stream.buffer.getvalue()


@pytest.mark.parametrize("told", ["utf-8", None, "no such codec", 7])
def test_an_encoding_that_is_not_told_truly(told, monkeypatch):
    class Liar(Bare):
        encoding = told

        def write(self, text):
            super().write(text.encode("ascii").decode())

    stream = Liar()
    monkeypatch.setattr(sys, "stdout", stream)
    console.say("größe")
    assert stream.text == "gr??e\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize("method", ["write", "flush"])
def test_what_ends_programs_comes_through(error, method, monkeypatch):
    model = small()
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", Raising(error(), method))
        with pytest.raises(error):
            model.fit(X, Y, epochs=3, verbose=2)
    model.fit(X, Y, verbose=0)  # nothing holds the model


def test_an_interrupt_of_a_live_line(monkeypatch):
    """Native code calls Python there."""
    monkeypatch.setattr(ProgbarLogger, "interval", 0.0)
    model = small()
    line = ProgbarLogger(live=True)
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", Raising(KeyboardInterrupt(), "write"))
        with pytest.raises(KeyboardInterrupt):
            line.update(1, {"loss": 1.0})
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, verbose=1)


def test_errors_of_a_users_own_print_fn_are_raised():
    def fails(_line):
        raise Numbered

    with pytest.raises(Numbered):
        small().summary(print_fn=fails)


class Unspeakable:
    def __str__(self):
        raise Numbered


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Unspeakable(), "<Unspeakable>"),
        (10**400, "<int>"),
        (np.float32(0.5), "0.5000"),
        (float("nan"), "nan"),
        (None, "None"),
        ("word", "word"),
    ],
)
def test_values_that_callbacks_add(value, text, monkeypatch):
    class Adds(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):  # noqa: ARG002
            logs["added"] = value

    stream = io.StringIO()
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", stream)
        history = small().fit(X, Y, verbose=2, callbacks=[Adds()])
    assert stream.getvalue().endswith(f" - added: {text}\n")
    assert history.history["added"][0] is value
    assert values_text({"added": value}) == f" - added: {text}"


PROGRAM = """
import sys
import numpy as np, fastnn
{before}
model = fastnn.Sequential([fastnn.Input((3,)), fastnn.layers.Dense(2)])
model.compile("adam", "mse", metrics=[fastnn.metrics.MeanSquaredError(name="größe")])
x, y = np.ones((8, 3)), np.zeros((8, 2))
for verbose in ("auto", 1, 2):
    h = model.fit(x, y, epochs=3, verbose=verbose)
    model.evaluate(x, y, verbose=verbose)
    model.predict(x, verbose=verbose)
model.summary()
fastnn.show_config()
print("trained", len(h.history["loss"]), file=sys.stderr)
"""


def run(before="", arguments=None, program=None, **how):
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **how.pop("env", {})}
    command = program or [sys.executable, *(arguments or ("-c", PROGRAM.format(before=before)))]
    return subprocess.run(
        command, stderr=subprocess.PIPE, env=environment, timeout=120, check=False, **how
    )


full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@full
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk(unbuffered):
    """Nor does what could not be written decide how the process ends."""
    with Path("/dev/full").open("w") as stdout:
        done = run(stdout=stdout, env={"PYTHONUNBUFFERED": unbuffered})
    assert (done.returncode, done.stderr) == (0, b"trained 3\n")


@full
def test_what_the_program_could_not_print_stays_its_error():
    with Path("/dev/full").open("w") as stdout:
        done = run(before="print('of the program')", stdout=stdout)
    assert done.returncode == 120
    assert done.stderr.startswith(b"trained 3\n")
    assert b"No space left" in done.stderr


@full
@pytest.mark.parametrize(
    "command", ["info", "--help", "nonsense", pytest.param("demo", marks=pytest.mark.slow)]
)
def test_commands_on_a_full_disk(command):
    with Path("/dev/full").open("w") as stdout:
        done = run(arguments=("-m", "fastnn", command), stdout=stdout)
    assert done.returncode == (2 if command == "nonsense" else 0), done.stderr


def test_a_pipe_that_is_no_longer_read():
    read, write = os.pipe()
    os.close(read)
    done = run(stdout=write)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"trained 3\n")


@pytest.mark.parametrize(
    "before",
    [
        "sys.stdout.close()",
        "sys.stdout = None",
        "del sys.stdout",
        "sys.stdout = sys.stdout.buffer",
        "sys.stdout = open(1, 'r', closefd=False)",
        "import os; os.set_blocking(1, False)",
    ],
)
def test_streams_of_the_process(before):
    done = run(before, stdout=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (0, b"trained 3\n")


def test_a_descriptor_that_the_program_closed():
    """Its number may be another file's by now, so the buffer is left as it is."""
    done = run("import os; os.close(1)", stdout=subprocess.PIPE)
    assert done.stderr.startswith(b"trained 3\n")


def test_started_without_any_stream():
    """As services and `pythonw` are: sys.stdout is None."""
    command = [sys.executable, "-c", PROGRAM.format(before="assert sys.stdout is None")]
    done = run(program=["sh", "-c", 'exec "$0" "$@" >&-', *command])
    assert (done.returncode, done.stderr) == (0, b"trained 3\n")


def test_an_ascii_locale():
    setting = {"PYTHONIOENCODING": "ascii:strict"}
    done = run(stdout=subprocess.PIPE, env=setting)
    assert (done.returncode, done.stderr) == (0, b"trained 3\n")
    assert b"gr??e: " in done.stdout


def test_what_the_program_prints_keeps_its_place():
    """A buffered stream of the program, and ours, in the order of the calls."""
    done = run(before="print('first')", stdout=subprocess.PIPE)
    assert done.stdout.startswith(b"first\nEpoch 1/3 - ")


@pytest.fixture
def terminal(monkeypatch):
    """Standard output as a terminal of `width` columns; returns what was written to it."""
    monkeypatch.delenv("COLUMNS", raising=False)
    with contextlib.ExitStack() as stack:

        def opened(width):
            leader, follower = pty.openpty()
            stack.callback(os.close, leader)
            fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
            stream = stack.enter_context(open(follower, "w", encoding="utf-8"))  # noqa: PTH123
            monkeypatch.setattr(sys, "stdout", stream)

            def written():
                stream.flush()
                os.set_blocking(leader, False)
                return os.read(leader, 1 << 16).decode().replace("\r\n", "\n")

            return written

        yield opened
        monkeypatch.undo()


LOGS = {"loss": 1.0, "a_metric_with_a_long_name": 0.5, "精度": 0.25}


@pytest.mark.parametrize("width", [1, 10, 40, 52, 53, 54, 55, 56, 200])
def test_live_lines_are_cut(width, terminal, monkeypatch):
    """No line that is rewritten reaches the last column; the line that stays is whole."""
    monkeypatch.setattr(ProgbarLogger, "interval", 0.0)
    written = terminal(width)
    line = ProgbarLogger(live=True)
    line.set_params({"epochs": 1, "steps": 9})
    line.on_epoch_begin(0)
    line.update(3, LOGS)
    live = written().removeprefix("\r")
    assert console.columns(live) < width
    whole = re.sub(r"\d\.\d\ds", "0.00s", "Epoch 1/1 - 3/9 - 0.00s" + values_text(LOGS))
    live, rate = re.fullmatch(r"(.*?)( - [\d.e+]+ steps/s - \d+s left)?", live).groups()
    assert (rate is not None) == (width == 200)
    assert whole.startswith(re.sub(r"\d\.\d\ds", "0.00s", live))
    if console.columns(whole) >= width:
        assert console.columns(live) >= width - 2  # a wide letter may not fit in the last one
    else:
        assert len(live) == len(whole)
    line.on_epoch_end(0, LOGS)
    assert written().rstrip().endswith(values_text(LOGS))


def test_a_shorter_line_covers_a_longer_one(terminal, monkeypatch):
    monkeypatch.setattr(ProgbarLogger, "interval", 0.0)
    written = terminal(30)
    line = ProgbarLogger(live=True)
    line.update(1, {"精度" * 9: 1.0})
    first = written()
    line.update(1, {})
    assert console.columns(written()) == console.columns(first)


def test_the_width_of_the_environment_comes_first(terminal, monkeypatch):
    terminal(40)
    assert console.terminal_columns() == 40
    monkeypatch.setenv("COLUMNS", "30")
    assert console.terminal_columns() == 30
    monkeypatch.setenv("COLUMNS", "many")
    assert console.terminal_columns() == 40
    terminal(0)  # a size that was never set
    assert console.terminal_columns() == 80


def test_a_terminal_without_a_descriptor(monkeypatch):
    class Screen(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.delenv("COLUMNS", raising=False)
    with monkeypatch.context() as context:
        context.setattr(sys, "stdout", Screen())
        assert console.terminal_columns() == 80
        context.setattr(sys, "stdout", io.StringIO())
        assert console.terminal_columns() is None


def test_no_other_module_prints():
    """`print`, and the streams of `sys`, stand in console.py alone."""
    streams = {"stdout", "stderr", "__stdout__", "__stderr__"}
    found = []
    for path in PACKAGE.rglob("*.py"):
        if path.name == "console.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(node, "id", None) if isinstance(node, ast.Name) else None
            if isinstance(node, ast.Attribute):
                name = node.attr
            if isinstance(node, ast.ImportFrom) and node.module == "sys":
                found += [f"{path}: {alias.name}" for alias in node.names if alias.name in streams]
            if name == "print" or name in streams:
                found.append(f"{path}:{node.lineno}: {name}")
    assert found == []


def test_no_other_module_warns():
    """`console.warn` finds the line of the user, and bears any standard error."""
    for path in PACKAGE.rglob("*.py"):
        assert path.name == "console.py" or "warnings.warn" not in path.read_text("utf-8"), path


@pytest.mark.parametrize("stream", [object(), 3, None])
def test_warnings_that_cannot_be_written_are_lost(stream, monkeypatch):
    """Also those of `compile` and of callbacks that watch a value."""
    model = networks.sequential((3, 2), ("softmax",))
    loss = fastnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    stopping = fastnn.callbacks.EarlyStopping("val_loss")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", shown_by_python)
        monkeypatch.setattr(sys, "stderr", stream)
        model.compile("sgd", loss)
        model.fit(np.ones((4, 3)), np.zeros(4, int), verbose=0, callbacks=[stopping])
    assert model.history.epoch == [0]


def shown_by_python(message, category, filename, lineno, file=None, line=None):
    """What Python does, while pytest records warnings."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    stream = sys.stderr if file is None else file
    if stream is not None:
        stream.write(text)


def test_native_code_prints_nothing():
    """Its streams would not be those of Python."""
    sources = Path(__file__).parents[1] / "csrc"
    for path in [*sources.rglob("*.cpp"), *sources.rglob("*.h")]:
        if "emulated" not in path.parts:
            assert not re.search(r"std::c(out|err)|\bf?printf\(|\bputs\(", path.read_text()), path
