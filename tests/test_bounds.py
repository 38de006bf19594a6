"""Nothing is read or written outside of an array: each one ends, or begins, at a guarded page.

A stray access is a segmentation fault, so the work is done in a process of its own.
"""

from __future__ import annotations

import sys

import cases
import pytest

pytestmark = [
    pytest.mark.isa,
    pytest.mark.skipif(sys.platform != "linux", reason="mprotect as Linux has it"),
]

GUARDED = """
import ctypes, mmap
import networks
import numpy as np
from fastnn import _core

PAGE = mmap.PAGESIZE
libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
kept = []

def guarded(values, at_end):
    values = np.ascontiguousarray(values)
    pages = -(-max(values.nbytes, 1) // PAGE)
    memory = mmap.mmap(-1, (pages + 2) * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for guard in (start, start + (pages + 1) * PAGE):
        assert libc.mprotect(guard, PAGE, 0) == 0
    offset = PAGE + (pages * PAGE - values.nbytes if at_end else 0)
    result = np.frombuffer(memory, values.dtype, values.size, offset).reshape(values.shape)
    result[...] = values
    kept.append(memory)
    return result

rng = np.random.default_rng(0)
"""

OPS = """
import calls

def each_guarded(values):
    return guarded(values, at_end) if np.ndim(values) else values

for dtype in ("float32", "float64"):
    for at_end in (True, False):
        for size in {sizes}:
            for call in (*calls.CALLS.values(), *calls.STEPS.values()):
                arrays, words = call.arguments(rng, dtype, *size)
                words = {{k: each_guarded(v) for k, v in words.items()}}
                call([each_guarded(a) for a in arrays], words)
            kept.clear()
print("done")
"""

DATA = """
for kind in ("bool", "uint8", "int16", "uint32", "int64", "float16", "float32", "float64"):
    for at_end in (True, False):
        for n, width in {shapes}:
            network = _core.Network(width, "float32", 1)
            network.set_output(network.dense(network.rescale(0, 0.5, 1.0), 3, "linear"))
            parameters = _core.Parameters(network.parameter_size, "float32")
            network.bind(parameters)
            networks.compile_native(network, loss="softmax_cross_entropy", optimizer="sgd")
            whole = guarded(rng.integers(0, 2, (n, 2 * width)).astype(kind), at_end)
            labels = guarded(rng.integers(0, 3, n).astype(np.int32), at_end)
            weights = guarded(rng.random(n), at_end)
            rows = guarded(rng.permutation(n).astype(np.int64), at_end)
            for x in (whole[:, :width], whole[:, width:], whole[:, ::2], whole[::-1, ::-2]):
                data = _core.Data(x, labels=labels, weights=weights, rows=rows)
                network.check(data)
                networks.train_native(network, data, batch_size=4, epochs=1)
                network.evaluate(data)
                network.predict(data)
        kept.clear()
print("done")
"""


def run(program, **what):
    done = cases.python(GUARDED + program.format(**what), FASTNN_NUM_THREADS="2", timeout=240)
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stderr}"
    assert done.stdout == "done\n"


def test_ops():
    sizes = [*cases.shapes(3, sampled=12), *((1, size, 1) for size in cases.SIZES)]
    run(OPS, sizes=sizes)


def test_data():
    run(DATA, shapes=cases.shapes(2, sampled=4)[::3])
