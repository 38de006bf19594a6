"""Every instruction set: the op tests once more under each, and that FASTNN_ISA is obeyed.

The choice is made at import, so each set is a process of its own.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import cases
import numpy as np
import pytest

from fastnn import _core, ops

OTHERS = [isa for isa in _core.isas_supported() if isa != _core.isa()]
CPUINFO = Path("/proc/cpuinfo")
X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.mark.slow
@pytest.mark.parametrize("isa", OTHERS)
def test_all_op_tests_again(isa, request):
    """What is marked `isa`, under another instruction set than the one of this process."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-m", "isa", "-p", "no:cacheprovider"),
            *("--no-header", "--tb=short", request.config.rootpath / "tests"),
        ],
        cwd=request.config.rootpath,
        env={**os.environ, "FASTNN_ISA": isa},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    assert int(passed[1]) > 1000, done.stdout


@pytest.mark.isa
def test_the_forced_one_is_in_use():
    """Here, and in each of the processes above."""
    assert _core.isa() == os.environ.get("FASTNN_ISA", _core.isas_supported()[-1])


def test_order_and_names():
    built, supported = _core.isas_built(), _core.isas_supported()
    assert built[0] == supported[0] == "baseline"
    assert [isa for isa in built if isa in supported] == supported
    if X86:
        levels = ["baseline", "avx2", "avx512", "avx512_bf16", "amx"]  # the last where compilable
        assert built == levels[: max(len(built), 3)]


@pytest.mark.skipif(not CPUINFO.exists() or not X86, reason="needs /proc/cpuinfo")
def test_supported_is_what_the_processor_says():
    lines = CPUINFO.read_text().splitlines()
    flags = set(next(line for line in lines if line.startswith("flags")).split())
    assert ("avx2" in _core.isas_supported()) == ({"avx2", "fma", "bmi2"} <= flags)
    assert ("avx512" in _core.isas_supported()) == (
        {"avx2", "fma", "bmi2", "avx512f", "avx512vl", "avx512dq", "avx512bw"} <= flags
    )
    if "avx512_bf16" in _core.isas_built():
        assert ("avx512_bf16" in _core.isas_supported()) == ("avx512_bf16" in flags)
    if "amx" in _core.isas_supported():  # the system may refuse it
        assert {"amx_tile", "amx_bf16"} <= flags


FUSED = """
import numpy as np
from fastnn import _core, ops
# a*a - (1 + 2**-11) with a = 1 + 2**-12 is 2**-24, and 0 if the product was rounded first
a = np.float32(1 + 2.0**-12)
x = np.array([[1.0, a]], np.float32)
w = np.array([[-(1 + 2.0**-11)], [a]], np.float32)
results = {float(ops.dense_forward(np.tile(x, (n, 1)), np.tile(w, (1, o)))[i, j])
           for n, o in ((1, 1), (33, 65)) for i in (0, n - 1) for j in (0, o - 1)}
print(_core.isa(), *results)
"""


@pytest.mark.skipif(not X86, reason="elsewhere the baseline may fuse")
@pytest.mark.parametrize("isa", _core.isas_supported())
def test_the_forced_one_really_ran(isa):
    """Only baseline rounds a product before adding it: the number tells who computed it."""
    done = cases.python(FUSED, FASTNN_ISA=isa)
    assert done.returncode == 0, done.stderr
    expected = 0.0 if isa == "baseline" else 2.0**-24
    assert done.stdout.split() == [isa, str(expected)]


def test_instruction_sets_agree(rng, tmp_path):
    """To the last few bits; and they are not the same code, or the test above were moot."""
    x, w = rng.normal(size=(65, 257)).astype(np.float32), rng.normal(size=(257, 33))
    np.savez(tmp_path / "in.npz", x=x, w=w.astype(np.float32))
    program = f"""
import numpy as np
from fastnn import ops
given = np.load({str(tmp_path / "in.npz")!r})
y = ops.dense_forward(given["x"], given["w"], activation="gelu")
np.save({str(tmp_path)!r} + "/" + __import__("os").environ["FASTNN_ISA"] + ".npy", y)
"""
    expected = ops.dense_forward(x, w.astype(np.float32), activation="gelu")
    for isa in _core.isas_supported():
        done = cases.python(program, FASTNN_ISA=isa)
        assert done.returncode == 0, done.stderr
        np.testing.assert_allclose(np.load(tmp_path / f"{isa}.npy"), expected, rtol=1e-5, atol=2e-5)


def test_show_config_names_it():
    done = cases.python("import fastnn; fastnn.show_config()", FASTNN_ISA="baseline")
    assert done.returncode == 0, done.stderr
    assert "baseline" in done.stdout
    for isa in _core.isas_built():
        assert isa in done.stdout


UNUSABLE = [
    isa
    for isa in ("baseline", "avx2", "avx512", "avx512_bf16", "amx")
    if isa not in _core.isas_supported()
]


@pytest.mark.parametrize("name", [*UNUSABLE, "sse9", "AVX2 ", "avx-512", "auto", "?"])
def test_one_that_cannot_run_is_an_error_at_import(name):
    """With the name, and those that can; no traceback of a crash, no silent other choice."""
    done = cases.python("import fastnn", FASTNN_ISA=name)
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert "FASTNN_ISA" in last
    assert name.strip() in last
    assert "baseline" in last
    assert re.match(r"(\w+\.)*(ImportError|RuntimeError|ValueError)", last), done.stderr


def test_threads_from_the_environment():
    program = "import fastnn; print(fastnn.get_num_threads())"
    for n in ("1", "3", "8"):
        assert cases.python(program, FASTNN_NUM_THREADS=n).stdout.strip() == n
    for bad in ("0", "-1", "many", "1.5"):
        done = cases.python(program, FASTNN_NUM_THREADS=bad)
        assert done.returncode == 1, f"{bad}: {done.stdout}"
        assert "FASTNN_NUM_THREADS" in done.stderr
        assert bad in done.stderr.strip().splitlines()[-1]


def test_empty_settings_are_none():
    program = """
import fastnn
model = fastnn.Sequential([fastnn.Input((4,)), fastnn.layers.Dense(3)])
model.compile("adam", "mse")
print(fastnn.get_num_threads() >= 1, model.session(9))
"""
    names = ("FASTNN_ISA", "FASTNN_NUM_THREADS", "FASTNN_DEVICE", "FASTNN_SESSION")
    done = cases.python(program, **dict.fromkeys(names, ""))
    assert done.stdout == "True plain\n", done.stderr
