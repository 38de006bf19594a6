"""Fixtures for all tests, and which tests run by default: all but those marked `slow` or `long`."""

from __future__ import annotations

import os
import signal
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import emulator
import numpy as np
import pytest

import fastnn


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow or long, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves tests marked slow or long out, unless --slow, an expression of -m or a name asks."""
    if config.getoption("slow") or config.getoption("markexpr"):
        return
    chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        costly = any(item.get_closest_marker(name) for name in ("slow", "long"))
        chosen[not costly or _is_named(item)].append(item)
    items[:] = chosen[True]
    config.hook.pytest_deselected(items=chosen[False])
    config.stash[_LEFT_OUT] = len(chosen[False])


def pytest_report_collectionfinish(config: pytest.Config) -> str:
    count = config.stash.get(_LEFT_OUT, 0)
    return f"{count} slow tests are left out; --slow runs them, too" if count else ""


_LEFT_OUT = pytest.StashKey[int]()


def _is_named(item: pytest.Item) -> bool:
    """Whether an argument of the command is this test: tests/test_isa.py::test_order_and_names."""
    own = item.nodeid.partition("::")[2]
    for argument in item.config.args:
        path, _, name = argument.partition("::")
        named = own == name or own.startswith((f"{name}[", f"{name}::"))
        if name and named and item.path == (item.config.invocation_params.dir / path).resolve():
            return True
    return False


@pytest.fixture
def hears_ctrl_c() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt: a job in the background of a shell ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


def _built(tmp_path_factory: pytest.TempPathFactory, name: str, sanitize: str = "") -> Path:
    """A library of the device that needs no GPU; where what changed is seen next time."""
    if emulator.COMPILER is None:
        pytest.skip("needs a C++ compiler")
    kept = os.access(emulator.ROOT, os.W_OK)
    folder = emulator.ROOT / "build" / name if kept else tmp_path_factory.mktemp(name)
    return emulator.build(folder, sanitize=sanitize)


@pytest.fixture(scope="session")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(tmp_path_factory, "emulated")


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finds races, slowly."""
    return _built(tmp_path_factory, "emulated-thread", "thread")


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _built(tmp_path_factory, "emulated-address-undefined", "address,undefined")


@pytest.fixture(scope="session")
def cublaslt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cuBLASLt of plain loops, for the emulated device."""
    if emulator.COMPILER is None:
        pytest.skip("needs a C++ compiler")
    out = tmp_path_factory.mktemp("cublaslt") / "mock.so"
    flags = ["-std=c++20", "-O2", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Werror"]
    mock = Path(__file__).parent / "native" / "mock_cublaslt.cpp"
    subprocess.run([emulator.COMPILER, *flags, mock, "-o", out, "-ldl"], check=True, timeout=300)
    return out


@pytest.fixture(autouse=True)
def _where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("cpu"):
        monkeypatch.setenv("FASTNN_DEVICE", "cpu")


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Every test starts from the same seed and leaves the number of threads as it was."""
    threads = fastnn.get_num_threads()
    fastnn.utils.set_random_seed(12345)
    yield
    fastnn.set_num_threads(threads)
