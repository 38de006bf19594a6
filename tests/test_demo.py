"""The command line: `python -m fastnn info` and `python -m fastnn demo`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cases
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


@pytest.mark.skipif(
    not _core.build_info()["cuda"].startswith("not built"), reason="kernels for GPUs are built"
)
def test_info_says_once_why_nothing_was_built_for_gpus(monkeypatch):
    """No path of a file that cannot be there; advice only where it would help."""
    monkeypatch.delenv("FASTNN_CUDA_LIBRARY", raising=False)
    why = _core.build_info()["cuda"]
    advice = ""
    if Path("/proc/driver/nvidia/version").exists():
        advice = "; this machine has an NVIDIA driver: install fastnn again, with "
        advice += "-C fastnn.cuda=auto"
    (shown,) = (line for line in command("info").stdout.splitlines() if line.startswith("CUDA"))
    assert shown.split(maxsplit=1)[1] == f"{why}{advice}; runs on the CPU alone"
    model = "fastnn.Sequential([fastnn.layers.Dense(1, input_shape=(1,))])"
    said = (
        cases.python(f"import fastnn; {model}.compile('sgd', 'mse', device='cuda')")
        .stderr.strip()
        .splitlines()[-1]
    )
    assert f"device='cuda': CUDA cannot be used: {why}{advice}; use 'cpu' or 'auto' instead" in said


def test_info_names_a_library_that_cannot_be_opened_once(monkeypatch, tmp_path):
    missing = tmp_path / "_cuda.so"
    monkeypatch.setenv("FASTNN_CUDA_LIBRARY", str(missing))
    (shown,) = (line for line in command("info").stdout.splitlines() if line.startswith("CUDA"))
    assert shown.count(str(missing)) == 1
    assert "FASTNN_CUDA_LIBRARY names it" in shown
    assert "install" not in shown


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


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (["trian", "data.csv"], "command: unknown name 'trian', did you mean 'train'?"),
        (["info", "more"], "info: expected no arguments, got more"),
    ],
)
def test_what_is_wrong_comes_before_the_usage(arguments, first):
    done = command(*arguments)
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, first)


def test_version():
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"{fastnn.__version__}\n")


def test_the_digits_in_the_package():
    """The 1,797 images of the UCI, as scikit-learn has them."""
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    x, y = fastnn.datasets.load_digits()
    assert x.dtype == np.uint8
    theirs = sklearn_datasets.load_digits()
    np.testing.assert_array_equal(x, theirs.data)
    np.testing.assert_array_equal(y, theirs.target)


def test_the_yeast_genes_in_the_package():
    """Sums of the file that Mulan distributes, and the numbers that its papers state of it."""
    (x, y), (test_x, test_y) = fastnn.datasets.load_yeast()
    assert (x.dtype, y.dtype) == (np.float32, np.uint8)
    assert (x.shape, y.shape) == ((1500, 103), (1500, 14))
    assert (test_x.shape, test_y.shape) == ((917, 103), (917, 14))
    every, labels = np.concatenate([test_x, x]), np.concatenate([test_y, y])
    # A float32 of these sizes has more than the six decimals of the file.
    millionths = np.round(every.astype(np.float64) * 1e6).astype(int)
    assert millionths.sum() == 15373083
    assert millionths[0, :3].tolist() == [4168, -170975, -156748]
    assert millionths[917, :3].tolist() == [93700, 139771, 62774]
    assert set(np.unique(labels)) == {0, 1}
    assert labels.sum(axis=1).mean() == pytest.approx(4.237, abs=5e-4)
    assert len(np.unique(labels, axis=0)) == 198
