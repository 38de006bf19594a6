"""Ranks train on CPUs: a model that is compiled for a GPU says so, and can train alone there.

On the device that is here or, without a GPU, on the emulated one.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from test_cuda_faults import told

from fastnn import _core

PROGRAM = """
from rank_threads import on_ranks


def work(rank, comm):
    model = fastnn.Sequential([fastnn.Input((6,)), layers.Dense(4)], seed=3)
    model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
    before = model.get_weights()
    try:
        model.fit(x, y, verbose=0, comm=comm)
    except ValueError as error:
        told = str(error)
    same = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    return told, same


for told, same in on_ranks(2, work):
    print(told, same)
model = fastnn.Sequential([fastnn.Input((6,)), layers.Dense(4)], seed=3)
model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
print(len(model.fit(x, y, verbose=0).epoch))
"""


@pytest.fixture
def device(request):
    """The library of it; None: of the device that is here."""
    return None if _core.cuda_state()["usable"] else request.getfixturevalue("emulated")


def test_a_model_for_a_gpu_is_refused(device):
    tests = str(Path(__file__).parent)
    path = os.pathsep.join([tests, os.environ.get("PYTHONPATH", "")])
    refused = "comm: ranks train on CPUs alone; compile with device='cpu' True"
    assert told(PROGRAM, device, PYTHONPATH=path).splitlines() == [refused, refused, "1"]
