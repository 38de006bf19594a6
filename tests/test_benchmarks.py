"""The benchmarks start, for they are not all run after each change."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
# Workers are programs of other environments.
MODULES = sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_it_can_be_imported(name, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module(f"benchmarks.{name}")
    assert module.__doc__


@pytest.mark.parametrize(
    "name",
    [
        "gpu",
        "growth",
        "growth_data",
        "larger",
        "ops",
        "predict_one",
        "ranks",
        "serve",
        "sessions",
        "tabular",
        "tape_step",
        "threads",
        "train_step",
    ],
)
def test_it_says_what_it_takes(name, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT))
    module = importlib.import_module(f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert "options:" in capsys.readouterr().out


def test_the_peak_is_of_all_the_multiply_adds_that_are_counted(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    yardstick = importlib.import_module("benchmarks.yardstick")
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    assembly = tmp_path / "yardstick.s"
    subprocess.run([compiler, *yardstick.FLAGS, "-S", yardstick.SOURCE, "-o", assembly], check=True)
    peak = assembly.read_text().partition("\npeak:")[2].partition("\n\t.size\tpeak")[0]
    made = re.findall(r"^\s+v?f?n?m(?:add|ul|la)\w*(?:ps|\s.*\.4s)\b", peak, re.MULTILINE)
    chains = int(re.search(r"#define CHAINS (\d+)", yardstick.SOURCE.read_text())[1])
    assert len(made) == chains


def measured(seconds, **given):
    row = {"layers": "4-10-3", "batch": 32, "flops": 10**8, "bytes": 4, "working_set": 4}
    content = {"tiny": False, "rounds": 5, "rates": {}, "wrong": [], "notes": []}
    return {**content, **given, "rows": {"iris": {**row, "seconds": seconds}}}


def cells(text, heading):
    """The one row of the table under a heading, by column."""
    lines = text.partition(heading)[2].strip().splitlines()
    head, _, row = [line for line in lines if line.startswith("|")][:3]
    names, values = ([cell.strip() for cell in line.split("|")[1:-1]] for line in (head, row))
    return dict(zip(names, values, strict=True))


def test_times_on_a_gpu_stand_beside_the_best_peer_the_aim_and_the_floor(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    gpu_rows = importlib.import_module("benchmarks.gpu_rows")
    seconds = {
        "fastnn highest": [5e-6, 1e-6, 2e-6],
        "fastnn highest, resident": [3e-6],
        "PyTorch eager highest": [9e-5],
        "PyTorch CUDA graph highest": [8e-6],
        "fastnn medium": [4e-6],
        "PyTorch eager medium": [9e-4],
    }
    rates = {"copy": 1e12, "products": {"highest": 5e13, "medium": 1e14}, "cache": 10}
    text = gpu_rows.report(measured(seconds, rates=rates, wrong=["what was wrong"]))
    row = cells(text, "### highest")
    assert (row["fastnn"], row["resident"], row["plain"]) == ("2.00", "3.00", "-")
    assert row["best peer / fastnn"] == "4.00x"
    assert row["aim"] == "0.60 missed"
    assert (row["floor"], row["fastnn / floor"]) == ("2.00", "1.00x")
    # Of medium the float32 peers are peers, too.
    assert cells(text, "### medium")["best peer / fastnn"] == "2.00x"
    assert "- what was wrong" in text


def test_nothing_is_aimed_at_by_tiny_networks(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    gpu_rows = importlib.import_module("benchmarks.gpu_rows")
    text = gpu_rows.report(measured({"fastnn highest": [5e-6]}, tiny=True))
    assert cells(text, "### highest")["aim"] == "-"
    assert "A dry run" in text


def test_who_disagrees_on_the_losses_is_named(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    gpu = importlib.import_module("benchmarks.gpu")
    row = importlib.import_module("benchmarks.contest").Row
    ours = {"fastnn highest, plain": [1.0, 2.0], "fastnn medium": [1.01, 2.0], "odd": [1.0, 2.1]}
    found = gpu.disagreeing([row({}, ours, ["fastnn medium"], {})])
    assert list(found) == ["odd"]


def test_what_failed_on_a_gpu_is_in_the_result(tmp_path):
    (tmp_path / "stages.tsv").write_text("build\t0\t9\tpassed\ntests\t1\t99\tfailed (status 1)\n")
    (tmp_path / "tests.xml").write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.test_fit" name="test_a"/>
        <testcase classname="tests.test_fit" name="test_b"><failure message="1 != 2"/></testcase>
        <testcase classname="tests.test_fit" name="test_c"><skipped message="no data"/></testcase>
        </testsuite></testsuites>"""
    )
    program = [sys.executable, str(ROOT / "scripts/gpu_result.py"), str(tmp_path), str(tmp_path)]
    subprocess.run(program, check=True, capture_output=True, timeout=300)
    (file,) = tmp_path.glob("*.md")
    text = file.read_text()
    assert "| tests | failed (status 1) | 99 |" in text
    assert "1 passed, 1 failed, 1 skipped." in text
    assert "- `test_fit.test_b`: 1 != 2" in text
    assert "- 1: no data" in text
    assert "Nothing was timed" in text


def test_errors_of_tables(monkeypatch):
    metrics = pytest.importorskip("sklearn.metrics")
    monkeypatch.syspath_prepend(str(ROOT))
    tabular = importlib.import_module("benchmarks.tabular")
    rng = np.random.default_rng(0)
    y, score = rng.integers(0, 2, 200), rng.integers(0, 20, 200) / 20
    both = np.stack([1 - score, score], axis=1)
    expected = 100 * (1 - metrics.roc_auc_score(y, score))
    assert tabular.error("binary", y, both) == pytest.approx(expected)
    assert tabular.error("numbers", np.array([0.0, 2.0]), np.array([1.0, 1.0])) == 100.0
    assert tabular.error("classes", np.array([0, 1]), np.eye(2)[[0, 0]]) == 50.0


def test_a_table_of_methods(monkeypatch):
    pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    monkeypatch.syspath_prepend(str(ROOT))
    tabular = importlib.import_module("benchmarks.tabular")
    cells = list(tabular.measured(["diabetes"], ["fastnn", "HGB"], 1))
    assert [cell.method for cell in cells] == ["fastnn", "HGB"]
    assert all(30 < cell.error < 100 for cell in cells)
    text = tabular.report(cells)
    assert "| diabetes" in text
    assert "| fastnn's error by this |  1.000 |" in text
