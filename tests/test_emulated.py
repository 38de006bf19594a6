"""The device without a GPU: the tests of ops and of device arrays once more, emulated.

The library is opened once by a process, so each run is a process of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import cases
import pytest


def passed(request, *arguments, timeout=1500, **environment):
    """Runs pytest anew; how many tests passed there, and none failed."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"),
            *("--tb=short", *arguments),
        ],
        cwd=request.config.rootpath,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    count = re.search(r"(\d+) passed", done.stdout)
    assert count, done.stdout
    return int(count[1])


@pytest.mark.parametrize("seed", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_device_arrays(emulated, seed, request):
    environment = {"FASTNN_CUDA_LIBRARY": str(emulated), "FASTNN_EMULATOR_SEED": seed}
    assert passed(request, "tests/test_device_arrays.py", **environment) > 50


@pytest.mark.slow
def test_all_op_tests_again(emulated, request):
    """What is marked `isa`: the CPU's tests, with its tolerances, under FASTNN_DEVICE=cuda.

    Arrays are NumPy's; where models are trained, that is done on the device, too.
    """
    environment = {"FASTNN_CUDA_LIBRARY": str(emulated), "FASTNN_DEVICE": "cuda"}
    chosen = ("-m", "isa", "--ignore=tests/test_isa.py", "tests")
    assert passed(request, *chosen, **environment) > 2000


@pytest.mark.slow
def test_every_row_of_the_tables(emulated, request):
    """The program that compute-sanitizer watches on a GPU, so that it runs when one is there."""
    done = subprocess.run(
        [sys.executable, "scripts/gpu_exercise.py"],
        cwd=request.config.rootpath,
        env={**os.environ, "FASTNN_CUDA_LIBRARY": str(emulated)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    for family in ("loss huber", "optimizer lion", "layer Add"):
        assert f"{family}, auto: " in done.stdout
    assert ", auto: not served" not in done.stdout


USE = """
import os, sys
import numpy as np
from fastnn import ops
x = np.ones(3, np.float32)
try:
    {use}
except (RuntimeError, MemoryError) as error:
    print(type(error).__name__, error)
"""
OP = "ops.activation_forward(x, 'relu')"


@pytest.mark.parametrize(
    ("fault", "use", "error"),
    [
        ("no device", "ops.DeviceArray(x)", "RuntimeError CUDA cannot be used: .* finds no GPU"),
        ("no driver", OP, "RuntimeError FASTNN_DEVICE=cuda: CUDA cannot be used: .*libcuda"),
        ("memory 1", OP, "MemoryError CUDA out of memory: 12 bytes"),
        ("launch 0", OP, "RuntimeError CUDA failed: the emulated launch"),
        ("wait 0", OP, "RuntimeError CUDA failed: the emulated device stopped"),
    ],
)
def test_faults_are_exceptions(emulated, fault, use, error):
    done = cases.python(
        USE.format(use=use),
        FASTNN_CUDA_LIBRARY=str(emulated),
        FASTNN_DEVICE="cuda" if use == OP else "",
        FASTNN_EMULATOR_FAULT=fault,
    )
    assert done.returncode == 0, done.stderr
    assert re.match(error, done.stdout), done.stdout


def test_after_a_fork(emulated):
    """Arrays of the parent are no use to the child, and do it no harm."""
    use = """d = ops.DeviceArray(x)
    child = os.fork()
    if child == 0:
        for call in (d.numpy, lambda: ops.softmax(d), lambda: ops.DeviceArray(x)):
            try:
                call()
                os._exit(1)
            except RuntimeError as error:
                assert "forked" in str(error), error
        del d
        os._exit(0)
    print(os.waitpid(child, 0)[1], d.numpy().sum())"""
    done = cases.python(USE.format(use=use), FASTNN_CUDA_LIBRARY=str(emulated))
    assert done.stdout == "0 3.0\n", done.stdout + done.stderr


def test_a_failed_step_changes_nothing(emulated):
    use = """ops.adam_step(x, x.copy(), x * 2, x * 3, step=1)
except RuntimeError:
    print(x)
try:
    pass"""
    environment = {"FASTNN_DEVICE": "cuda", "FASTNN_EMULATOR_FAULT": "launch 0"}
    done = cases.python(USE.format(use=use), FASTNN_CUDA_LIBRARY=str(emulated), **environment)
    assert done.stdout == "[1. 1. 1.]\n", done.stdout + done.stderr
