"""The command line: `python -m fastnn info` and `python -m fastnn demo`."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

import fastnn
from fastnn import _core


def command(*arguments, timeout=120):
    return subprocess.run(
        [sys.executable, "-m", "fastnn", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def test_info():
    done = command("info")
    assert done.returncode == 0, done.stderr
    for word in (fastnn.__version__, _core.isa(), *_core.isas_built(), "CUDA"):
        assert word in done.stdout
    assert str(fastnn.get_num_threads()) in done.stdout


def test_demo():
    """Progress per epoch, held-out accuracy of at least 0.96, time of a step, ratio to NumPy."""
    done = command("demo")
    assert done.returncode == 0, done.stderr
    text = done.stdout
    assert len(re.findall(r"(?i)epoch\s+\d+/\d+", text)) >= 2
    numbers = [float(a) for a in re.findall(r"(?i)accuracy\D{0,20}(0\.\d+|1\.0+)", text)]
    percents = [float(a) / 100 for a in re.findall(r"(?i)accuracy\D{0,20}(\d\d\.\d+) ?%", text)]
    assert numbers or percents, text
    assert (numbers + percents)[-1] >= 0.96
    assert re.search(r"(?i)\d (us|µs|ms|microseconds)\b", text), "no time of a step"
    assert "NumPy" in text
    ratio = re.search(r"(?i)(\d+(?:\.\d+)?) ?(x\b|times)", text)
    assert ratio, "no ratio"
    assert float(ratio[1]) > 1


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help(arguments):
    done = command(*arguments)
    assert "demo" in done.stdout + done.stderr
    assert "info" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_unknown_command():
    done = command("dmo")
    assert done.returncode == 2
    assert "dmo" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_digits_in_the_package():
    """The 1,797 images of the UCI, as scikit-learn has them."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    x, y = fastnn.datasets.load_digits()
    assert x.dtype == np.uint8
    theirs = sklearn_datasets.load_digits()
    np.testing.assert_array_equal(x, theirs.data)
    np.testing.assert_array_equal(y, theirs.target)
