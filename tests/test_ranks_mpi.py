"""Training over the processes of an MPI job, where mpi4py and mpiexec are installed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mpi4py")
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
pytestmark = [pytest.mark.cpu, pytest.mark.skipif(MPIEXEC is None, reason="no mpiexec")]
JOB = str(Path(__file__).parent / "rank_job.py")


def start(size: int, folder: Path, *arguments: object) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    command = [MPIEXEC, "-n", str(size), sys.executable, "-m", "mpi4py", JOB, str(folder)]
    environment = {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    }
    environment |= {
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )


def ended(job: subprocess.Popen[str], seconds: float = 90) -> str:
    try:
        return job.communicate(timeout=seconds)[0]
    except subprocess.TimeoutExpired:
        job.kill()
        pytest.fail(f"the job hangs: {job.communicate()[0]}")


def weights_of(size: int, folder: Path) -> list[np.ndarray]:
    return [np.load(folder / f"weights-{rank}.npy") for rank in range(size)]


def process_of(rank: int, folder: Path) -> int:
    """Waits until a rank trains."""
    file = folder / f"begun-{rank}"
    until = time.monotonic() + 60
    while not file.exists() or not file.read_text():
        assert time.monotonic() < until, "the job does not begin"
        time.sleep(0.02)
    return int(file.read_text())


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    folder = tmp_path_factory.mktemp("alone")
    told = ended(start(1, folder, 6, 0))
    assert (folder / "weights-0.npy").exists(), told
    return weights_of(1, folder)[0]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_as_one_process(size, alone, tmp_path):
    job = start(size, tmp_path, 6, 0)
    told = ended(job)
    assert job.returncode == 0, told
    found = weights_of(size, tmp_path)
    for one in found:
        np.testing.assert_array_equal(one, found[0])
    np.testing.assert_allclose(found[0], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.slow
def test_a_killed_rank_ends_the_job_which_goes_on_from_its_backup(tmp_path):
    whole = tmp_path / "whole"
    assert "Error" not in ended(start(3, whole, 6, 0))
    folder = tmp_path / "killed"
    job = start(3, folder, 6, 0.4)
    os.kill(process_of(1, folder), signal.SIGKILL)
    began = time.monotonic()
    told = ended(job, 30)
    assert job.returncode != 0
    assert time.monotonic() - began < 20
    assert "is gone" in told or "signal 9" in told.lower() or "SIGNAL: 9" in told, told
    assert (folder / "backup").exists()
    job = start(3, folder, 6, 0)
    told = ended(job)
    assert job.returncode == 0, told
    for one, expected in zip(weights_of(3, folder), weights_of(3, whole), strict=True):
        np.testing.assert_array_equal(one, expected)


@pytest.mark.slow
def test_a_stopped_rank_goes_on(alone, tmp_path):
    job = start(2, tmp_path, 6, 0.1)
    process = process_of(1, tmp_path)
    os.kill(process, signal.SIGSTOP)
    time.sleep(1.5)
    assert job.poll() is None
    os.kill(process, signal.SIGCONT)
    told = ended(job)
    assert job.returncode == 0, told
    np.testing.assert_allclose(weights_of(2, tmp_path)[0], alone, rtol=1e-10, atol=1e-10)


def test_a_rank_that_fails_before_fit(tmp_path):
    job = start(3, tmp_path, 6, 0, 2)
    told = ended(job, 30)
    assert job.returncode != 0
    assert "the data of this rank are missing" in told
