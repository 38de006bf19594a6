"""Kernels of the device, emulated, against their twins of the CPU: what must agree to the bit."""

from __future__ import annotations

import os
import subprocess

import emulator
import pytest

OWN = (
    *("cuda_twins", "cuda_twins_rows", "cuda_twins_numbers", "cuda_twins_layers"),
    "cuda_twins_products",
    "cuda_twins_tables",
)
TWINS = (
    "activation",
    "column_norm",
    "columns",
    "combine",
    "cores",
    "dense",
    "embedding",
    "encoded_dense",
    "encoding",
    "gather",
    "gemm",
    "grouped_dense",
    "layer_norm",
    "random",
    "optimizer",
    "parallel",
    "pool",
    "scale_rows",
    "trial",
    "updates",
)
SOURCES = [f"tests/native/{name}.cpp" for name in OWN] + [f"csrc/cpu/{name}.cpp" for name in TWINS]

pytestmark = pytest.mark.skipif(emulator.COMPILER is None, reason="needs a C++ compiler")


def differences(folder, library, *, seeds, sanitize=""):
    """The twins' program and the emulated library, both sanitized or neither, run by seed."""
    flags = ["-std=c++20", "-O1", "-g1", "-Icsrc", "-ffp-contract=off", "-pthread"]
    flags += ["-DFASTNN_TARGET=twin", *emulator.fused()]
    if sanitize:
        flags += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all"]
    program = folder / "cuda_twins"
    command = [emulator.COMPILER, *flags, *SOURCES, "-ldl", "-o", program]
    subprocess.run(command, cwd=emulator.ROOT, check=True, timeout=300)
    for seed in seeds:
        environment = {**os.environ, "FASTNN_EMULATOR_SEED": str(seed)}
        done = subprocess.run(
            [program, library],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.stdout == "0 failures\n", done.stdout + done.stderr[-4000:]


@pytest.mark.slow
def test_twins_agree(tmp_path, emulated):
    differences(tmp_path, emulated, seeds=(1, 2))


@pytest.mark.long
def test_twins_agree_sanitized(tmp_path, sanitized):
    differences(tmp_path, sanitized, seeds=(3,), sanitize="address,undefined")
