"""The errors of float32 products against float64, at each setting of the precision.

    python -m benchmarks.precision --peer-python <python with PyTorch>

The product is x (64, k) times w (k, 64), random normal numbers. The table shows the relative error in
the Frobenius norm for each k, for fastnn, for NumPy in float32 and, if it is installed, for PyTorch
with the same settings and in bfloat16. In fastnn the setting applies to training, so its product is the
gradient of a kernel over a batch of k rows, taken from one step. Errors are deterministic on one
machine; nothing is timed.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Literal, get_args

import numpy as np

from benchmarks import machine, records
from benchmarks.markdown import table
from benchmarks.workloads import Floats

Precision = Literal["highest", "high", "medium"]
BOUNDS: dict[Precision, float] = {"highest": 1e-6, "high": 2e-5, "medium": 1e-2}
LENGTHS = tuple(2**k for k in range(4, 13))
ROWS = 64
Errors = dict[str, list[float]]


def errors(product: Callable[[Floats, Floats], np.ndarray]) -> list[float]:
    """|product - exact| / |exact| for each k of LENGTHS."""
    found = []
    for k in LENGTHS:
        rng = np.random.default_rng(k)
        x = rng.standard_normal((ROWS, k), dtype=np.float32)
        w = rng.standard_normal((k, ROWS), dtype=np.float32)
        exact = x.astype(np.float64) @ w.astype(np.float64)
        difference = product(x, w).astype(np.float64) - exact
        found.append(float(np.linalg.norm(difference) / np.linalg.norm(exact)))
    return found


def gradient(x: Floats, w: Floats, precision: Precision) -> np.ndarray:
    """x @ w as a gradient: with zero weights and targets w the error is -w; the rate undoes the scale."""
    import fastnn

    rows, outputs = w.shape
    model = fastnn.Sequential(
        [fastnn.Input((len(x),)), fastnn.layers.Dense(outputs, use_bias=False)]
    )
    model.set_weights([np.zeros((len(x), outputs), np.float32)])
    rate = rows * outputs / 2
    model.compile(fastnn.optimizers.SGD(rate), "mse", matmul_precision=precision)
    model.fit(np.ascontiguousarray(x.T), w, batch_size=rows, shuffle=False, verbose=0)
    return model.get_weights()[0]


def fastnn_errors() -> Errors:
    return {
        f"fastnn {precision}": errors(partial(gradient, precision=precision))
        for precision in get_args(Precision)
    }


def torch_errors(python: str) -> Errors | str:
    """PyTorch's errors from a process of its own, or the reason why there are none."""
    done = subprocess.run(
        [python, "-m", "benchmarks.workers.torch_products"],
        cwd=machine.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["no word"])[-1]
    found: Errors = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.precision",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--peer-python", default=sys.executable, help="the Python that has PyTorch installed"
    )
    records.add_option(parser)
    asked = parser.parse_args()
    machine.limit_threads(1)
    print(*machine.describe(1), sep="\n")
    found = {**fastnn_errors(), "NumPy": errors(np.matmul)}
    theirs = torch_errors(asked.peer_python)
    if isinstance(theirs, str):
        print(f"torch left out ({theirs})")
    else:
        found |= theirs
    cells = [[f"{one:.1e}" for one in column] for column in found.values()]
    rows = [(str(k), *row) for k, *row in zip(LENGTHS, *cells, strict=True)]
    print(table(("k", *found), rows))
    for precision, bound in BOUNDS.items():
        worst = max(found[f"fastnn {precision}"])
        said = "kept" if worst <= bound else "missed"
        print(f"fastnn {precision}: at most {worst:.1e}, bound {bound:.0e} {said}")
    records.save(asked.save, "precision", {"k": LENGTHS, "errors": found}, threads=1)


if __name__ == "__main__":
    main()
