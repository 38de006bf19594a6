"""Fixtures for all tests, and the one marker that is not pytest's own."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
import pytest

import fastnn


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "isa: run again under every instruction set (test_isa.py)")


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(autouse=True)
def _same_start() -> Iterator[None]:
    """Every test starts from the same seed and leaves the number of threads as it was."""
    threads = fastnn.get_num_threads()
    fastnn.utils.set_random_seed(12345)
    yield
    fastnn.set_num_threads(threads)
