"""Whether _cuda is built, and for what: cmake/cuda.cmake, up to the compiler, and cmake/gpus.py.

A driver made here stands in for NVIDIA's. That _cuda compiles is the business of .ci/cuda.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CMAKE = Path(__file__).parent.parent / "cmake"

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in ("cmake", "c++")), reason="needs cmake and c++"
)

DRIVER = """
#include <stdlib.h>
#include <string.h>
extern "C" {
int cuInit(unsigned) { return atoi(getenv("DRIVER_ERROR")); }
int cuDeviceGetCount(int* count) { return *count = strlen(getenv("DRIVER_GPUS")) / 3, 0; }
int cuDeviceGetAttribute(int* value, int which, int gpu) {
  const char* text = getenv("DRIVER_GPUS") + 3 * gpu;  // "90,80,": major and minor of each
  return *value = text[which == 75 ? 0 : 1] - '0', 0;
}
}
"""


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A folder with a libcuda.so.1 that says of GPUs what the environment says."""
    folder = tmp_path_factory.mktemp("driver")
    (folder / "driver.cpp").write_text(DRIVER)
    command = ["c++", "-shared", "-fPIC", "driver.cpp", "-o", "libcuda.so.1"]
    subprocess.run(command, cwd=folder, check=True)
    return folder


def environment(driver, gpus="", error=0, **more):
    """That of a machine with these GPUs."""
    cleared = {k: v for k, v in os.environ.items() if not k.startswith(("FASTNN_CUDA", "CUDA"))}
    return cleared | {
        "LD_LIBRARY_PATH": str(driver),
        "DRIVER_GPUS": gpus,
        "DRIVER_ERROR": str(error),
        **more,
    }


@pytest.fixture
def configure(driver, tmp_path):
    """Runs cuda.cmake with definitions and a machine; what it says, errors included."""
    (tmp_path / "only.cmake").write_text(
        f'set(Python_EXECUTABLE "{sys.executable}")\n'
        f'include("{CMAKE}/cuda.cmake")\n'
        'message(STATUS "then: ${FASTNN_CUDA_BUILT}")\n'
    )

    def run(*definitions, **machine):
        done = subprocess.run(
            ["cmake", *(f"-D{each}" for each in definitions), "-P", "only.cmake"],
            cwd=tmp_path,
            env=environment(driver, **machine),
            capture_output=True,
            text=True,
            check=False,
        )
        said = " ".join((done.stdout + done.stderr).split())
        assert ("then: " in said) == (done.returncode == 0)
        return said

    return run


@pytest.mark.parametrize(
    ("gpus", "says"),
    [("90,", "90a"), ("80,", "80"), ("90,80,90,", "80;90a"), ("75,89,", "89")],
)
def test_the_driver_tells_what_gpus_there_are(driver, gpus, says):
    command = [sys.executable, CMAKE / "gpus.py"]
    done = subprocess.run(command, env=environment(driver, gpus), capture_output=True, check=True)
    assert done.stdout.decode().strip() == says


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        ({"error": 100}, "the NVIDIA driver finds no GPU (error 100)"),
        ({"gpus": ""}, "no GPU of compute capability 8.0 or later was found (there is none)"),
        ({"gpus": "75,"}, "no GPU of compute capability 8.0 or later was found (there is 7.5)"),
        ({"gpus": "90,", "CUDACXX": "/bin/false"}, "/bin/false does not work here"),
    ],
)
def test_auto_goes_on_without(configure, machine, why):
    assert f"then: not built: {why}" in configure(**machine)


def test_a_driver_that_is_none_is_no_gpu(configure, tmp_path):
    (tmp_path / "libcuda.so.1").write_text("no library")
    said = configure(LD_LIBRARY_PATH=str(tmp_path))
    assert "then: not built: no NVIDIA driver was found" in said


@pytest.mark.parametrize(
    ("definition", "word", "says"),
    [
        ("FASTNN_CUDA=off", None, "then: not built: by choice"),
        (None, "off", "then: not built: by choice"),
        ("FASTNN_CUDA=", "OFF", "then: not built: by choice"),
        ("FASTNN_CUDA=off", "maybe", "then: not built: by choice"),
        ("FASTNN_CUDA=auto", "off", "then: not built: no GPU"),
        (None, "", "then: not built: no GPU"),
        ("FASTNN_CUDA=maybe", "off", "expected auto, on, off or pypi, got 'maybe'"),
        (None, "maybe", "expected auto, on, off or pypi, got 'maybe'"),
    ],
)
def test_the_definition_wins_over_the_environment(configure, definition, word, says):
    definitions = [] if definition is None else [definition]
    machine = {} if word is None else {"FASTNN_CUDA": word}
    assert says in configure(*definitions, **machine)


def test_what_is_asked_for_must_be_there(configure):
    said = configure("FASTNN_CUDA=on", CUDACXX="/nowhere/nvcc")
    assert "fastnn.cuda=on: no /nowhere/nvcc was found" in said
