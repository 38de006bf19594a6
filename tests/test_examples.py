"""Every program in `examples/`, the README and docs/ runs to its end without a warning, and reaches the
accuracy that is expected of it."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import page_blocks
import pytest

ROOT = Path(__file__).parent.parent
SERVICE = ROOT / "examples" / "serve.py"  # which runs until it is ended: test_serve.py
EXAMPLES = sorted(set((ROOT / "examples").glob("*.py")) - {SERVICE})
WITH_BLOCKS = [page for page in page_blocks.PAGES if page_blocks.blocks(page, "python")]
# Packages that all blocks of a page need, beside those of the extra `test`.
PAGES_NEED = {"pytorch.md": "torch", "scale.md": "mpi4py"}


@pytest.mark.parametrize("page", WITH_BLOCKS, ids=[page.name for page in WITH_BLOCKS])
def test_page(page, tmp_path):
    for package in PAGES_NEED.get(page.name, "").split():
        pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", page_blocks.RUN_BLOCKS],
        cwd=tmp_path,
        env={"KERAS_BACKEND": "torch", **os.environ},
        input=json.dumps([block.text for block in page_blocks.blocks(page, "python")]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# What the output of a program has to match, and the least accuracy, where the pattern has a group.
RESULTS = {
    "image_recognition.py": (
        r"accuracy on 360 other images: ([\d.]+)\n.*from_logits=True, but layer 'dense_1'.*the same\n",
        0.95,
    ),
    "images_from_files.py": (
        r"DeprecationWarning: SGD\(\): lr .*accuracy on 12 other images: ([\d.]+)\ncircle/.*: a circle ",
        0.9,
    ),
    "larger_than_memory.py": (
        r"memory that training took: 1?\d MB\naccuracy on 397 other digits: ([\d.]+)\n.*True\npredictions of 375000",
        0.85,
    ),
    "many_networks.py": (
        r"best of 27: .*, 81 epochs instead of 729\nheld-out .*\ntogether on the test: accuracy ([\d.]+)\n",
        0.95,
    ),
    "mpi_train.py": (r"\n1 ranks: .*, test accuracy ([\d.]+), weights", 0.85),
    "own_layers.py": (
        r"with a Dense head: .*, native\nwith distances: accuracy ([\d.]+), over the tape\nthe file gives",
        0.85,
    ),
    "sklearn_pipeline.py": (
        r"cross-validation: 0\.[78]\d+ .*accuracy on 750 other people: ([\d.]+)\n.*buys with prob",
        0.75,
    ),
    "sklearn_grid_search.py": (
        r"8 candidates, .*accuracy on 72 other wines: ([\d.]+)\n.*step 2: 3 candidates, 30 epochs.*: 0\.9",
        0.93,
    ),
    "sklearn_calibration.py": (
        r"as they are: mean 0\.[3-6].*calibrated: mean 0\.0[5-8]\d, Brier score 0\.0[345].*: \d+, and (\d+) of",
        30,
    ),
    "sklearn_stream.py": (r"last ten parts: ([\d.]+)\nrows seen: 1797, loss", 0.9),
    "tabular.py": (
        r"1000 other flats: ([\d.]+)\n.*held out: 0\.8.*size .*quantiles 0.1 and 0.9: 0\.[78].*same answers: True",
        0.8,
    ),
    "yeast.py": (r"micro F1 of 5 seeds: (\S+) to ", 0.64),
    "primer.py": (r"accuracy ([\d.]+) on \d+ images\nthe curves are in curves\.png\n", 0.93),
}


def output(path, tmp_path, *arguments):
    """What a program prints; the test is skipped where a package that it needs is missing."""
    done = subprocess.run(
        [sys.executable, "-W", "error", path, *arguments],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode != 0 and "ModuleNotFoundError" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=[p.name for p in EXAMPLES])
def test_example(path, tmp_path):
    printed = output(path, tmp_path)
    assert printed.strip(), "an example shows what it did"
    pattern, least = RESULTS.get(path.name, ("()", None))
    found = re.search(pattern, printed, re.DOTALL)
    assert found, printed
    assert least is None or float(found[1]) >= least, printed
    if path.name == "primer.py":
        assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("packed", [False, True])
def test_image_recognition_reads_files_of_mnist(packed, tmp_path):
    """The digits that come with the package, in the format of MNIST's files."""
    import fastnn

    x, y = fastnn.datasets.load_digits()
    images = np.zeros((len(x), 28, 28), np.uint8)
    images[:, 2:26, 2:26] = np.kron(x.reshape(-1, 8, 8), np.ones((1, 3, 3), np.uint8)) * 15
    for part, rows in (("train", slice(0, 1400)), ("t10k", slice(1400, None))):
        n = len(y[rows])
        for name, sizes, values in (
            (f"{part}-images-idx3-ubyte", (2051, n, 28, 28), images[rows]),
            (f"{part}-labels-idx1-ubyte", (2049, n), y[rows]),
        ):
            data = np.array(sizes, ">i4").tobytes() + values.tobytes()
            path = tmp_path / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(data, 1) if packed else data)
    printed = output(ROOT / "examples" / "image_recognition.py", tmp_path, tmp_path)
    assert printed.startswith("1400 images of 28 x 28 pixels\naccuracy on 397 other images: 0.9")


def test_the_list_of_examples_has_all():
    """With a link and a time, or that none was measured; the service, which has no end, with a link."""
    text = (ROOT / "examples" / "README.md").read_text()
    assert "](serve.py)" in text
    listed = re.findall(
        r"^\| \[(\w+\.py)\]\((\w+\.py)\) \|.*\| +(?:[\d.]+ s|not measured) \|$", text, re.MULTILINE
    )
    assert [name for name, _ in listed] == [link for _, link in listed]
    assert sorted(name for name, _ in listed) == [path.name for path in EXAMPLES]


def test_the_images_of_the_example_are_those_that_the_script_draws(tmp_path, monkeypatch):
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import draw_shapes

    monkeypatch.setattr(draw_shapes, "FOLDER", tmp_path)
    draw_shapes.main()
    shipped = sorted((ROOT / "examples" / "shapes").glob("*/*.png"))
    drawn = sorted(tmp_path.glob("*/*.png"))
    assert len(shipped) == 48
    for a, b in zip(shipped, drawn, strict=True):
        assert a.parts[-2:] == b.parts[-2:]
        # Sines of another library may move an edge by a hair.
        pixels = [np.asarray(pillow.open(path)).astype(int) for path in (a, b)]
        np.testing.assert_allclose(*pixels, atol=1)
