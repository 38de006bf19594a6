"""Weights that stay on the device, where that fails; and that nothing is copied too early. Over
the emulated library.
"""

from __future__ import annotations

import re

import pytest
from test_cuda_faults import EACH, told
from test_cuda_state import START


@pytest.mark.parametrize("session", EACH)
def test_nothing_is_brought_before_it_is_asked_for(emulated, session, tmp_path):
    program = """
log = os.environ["FASTNN_EMULATOR_LOG"]


def copies(what):
    with open(log, "a+") as file:
        file.seek(0)
        lines = file.read().split("\\n")
        file.truncate(0)
    print(what, *(sum(line.startswith(way) for line in lines) for way in ("write", "read")))


m = built("cuda", size=256)
step(m)
copies("begun")
for _ in range(5):
    step(m)
copies("trained")
m.layers[0].kernel.numpy()
copies("looked")
m.get_weights()
copies("again")
m.layers[0].bias.assign(np.zeros(256))
step(m)
copies("set")
"""
    log = tmp_path / "log"
    lines = told(
        START + program, emulated, FASTNN_SESSION=session, FASTNN_EMULATOR_LOG=str(log)
    ).splitlines()
    # Parameters and momentum; the latter stays there where weights are set, but for a copy to go
    # back to. Rows are smaller.
    assert lines == ["begun 2 0", "trained 0 0", "looked 0 1", "again 0 0", "set 1 1"]


LOST = "CUDA failed: the emulated device is lost"
LOSE = """
def lose():
    array = ops.DeviceArray(x)
    try:
        for _ in range(2000):
            ops.softmax(array)
    except RuntimeError:
        pass
"""


@pytest.mark.parametrize("session", EACH)
def test_weights_that_are_lost(emulated, session):
    """Said each time, and by compile; then the model is as it was when last copied."""
    program = """
m = built("cuda")
before = m.get_weights()
step(m, times=2)
lose()
attempt("read", m.get_weights)
attempt("set", lambda: m.layers[0].bias.assign(np.zeros(24)))
attempt("predictor", m.predictor)
os.environ["FASTNN_SESSION"] = "auto"
attempt("compile", lambda: m.compile("adam", m.loss, device="cpu"))
assert m.network.steps == m.network.updates == 0
for a, b in zip(before, m.get_weights()):
    assert (a == b).all()
attempt("compile", lambda: m.compile("adam", m.loss, device="cpu"))
attempt("cpu", lambda: step(m))
"""
    environment = {"FASTNN_SESSION": session, "FASTNN_EMULATOR_FAULT": "lost 1000"}
    lines = told(START + LOSE + program, emulated, **environment).splitlines()
    for line, name in zip(lines, ("read", "set", "predictor"), strict=False):
        assert re.match(rf"{name} RuntimeError {LOST}.* cannot be read. compile\(\)", line)
    assert re.match(rf"compile RuntimeError {LOST}.* after 0 steps", lines[3])
    assert lines[4:] == ["compile works", "cpu works"]


@pytest.mark.parametrize("kind", ["launch", "memory", "wait"])
@pytest.mark.parametrize("session", EACH)
def test_a_step_that_fails(emulated, session, kind):
    """The model is as it was after some step before, and says after which."""
    program = """
m = built("cuda")
for turn in range(12):
    try:
        step(m, rows=16)
    except (RuntimeError, MemoryError):
        print("failed")
        try:
            weights = m.get_weights()
        except RuntimeError:
            weights = m.get_weights()
        reached = m.network.steps
        assert m.network.updates == reached <= turn + 1
        again = built("cuda")
        step(again, rows=16, times=reached)
        for a, b in zip(weights, again.get_weights()):
            assert (a == b).all(), (turn, reached)
        step(m, rows=16, times=2)
        step(again, rows=16, times=2)
        for a, b in zip(m.get_weights(), again.get_weights()):
            assert (a == b).all(), (turn, reached)
        break
"""
    failed = 0
    for first in (5, 25, 60):
        environment = {"FASTNN_SESSION": session, "FASTNN_EMULATOR_FAULT": f"{kind} {first} once"}
        failed += told(START + program, emulated, **environment) == "failed\n"
    assert failed > 0


@pytest.mark.parametrize("session", EACH)
def test_steps_are_those_of_the_weights(emulated, session):
    """Also where the device is lost between a fit and the next, which copies the state first."""
    program = """
m = built("cuda")
fit(m)
lose()
attempt("fit", lambda: fit(m))
weights = m.get_weights()
os.environ["FASTNN_SESSION"] = "auto"
again = built("cpu")
if m.network.steps:
    fit(again)
assert m.network.steps == m.network.updates == again.network.steps
for a, b in zip(weights, again.get_weights()):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
"""
    environment = {"FASTNN_SESSION": session, "FASTNN_EMULATOR_FAULT": "lost 1000"}
    assert re.match(
        f"fit RuntimeError {LOST}", told(START + LOSE + program, emulated, **environment)
    )


@pytest.mark.parametrize("session", EACH)
def test_weights_that_cannot_be_brought_yet(emulated, session):
    """Another batch size wants them on the host, for which there is no memory just now."""
    program = """
m = built("cuda", size=64)
step(m, times=4)
attempt("other", lambda: step(m, rows=9))
m.predict(x)
step(m)
os.environ["FASTNN_SESSION"] = "auto"
expected = built("cpu", size=64)
step(expected, times=5)
check_same(m, expected)
"""
    environment = {"FASTNN_SESSION": session, "FASTNN_EMULATOR_FAULT": "read 0 once"}
    output = told(START + program, emulated, **environment)
    assert re.match("other MemoryError CUDA out of memory", output)
