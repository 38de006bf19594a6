"""The ten networks of the benchmarks, their data, and the work and bytes of a step.

All data are float32 and random normal, hidden layers use relu, the optimizer is Adam.
It needs only NumPy, so that every contestant can import it. It times nothing.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

LEARNING_RATE = 1e-6  # so small that weights hardly change: step 1 costs as much as step 10^5
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-7

DATA_BYTES = 32 << 20  # about the size of x in a data set
MOST_BATCHES = 256


@dataclass(frozen=True)
class Workload:
    """One row of the tables."""

    name: str
    widths: tuple[int, ...]
    batch: int
    loss: Literal["softmax", "sigmoid"]
    most_batches: int = MOST_BATCHES
    data_bytes: int = DATA_BYTES

    @property
    def layers(self) -> str:
        return "-".join(map(str, self.widths))

    @property
    def batches(self) -> int:
        """Batches in an epoch: enough to exceed the caches, few enough to be quick."""
        fitting = self.data_bytes // (4 * self.batch * self.widths[0])
        return max(2, min(self.most_batches, fitting))

    @property
    def parameters(self) -> int:
        return sum((i + 1) * o for i, o in pairwise(self.widths))

    @property
    def flops(self) -> int:
        """Operations of a step's products: y = xw, dw = x'dy and, after the first layer, dx = dy w'."""
        products = [2 * self.batch * i * o for i, o in pairwise(self.widths)]
        return 3 * sum(products) - products[0]

    @property
    def bytes(self) -> int:
        """The least bytes that a step moves: it reads the batch, and reads and writes weights and
        Adam's two moments. Activations and gradients could stay in registers."""
        return 4 * (self.batch * (self.widths[0] + 1) + 6 * self.parameters)

    @property
    def working_set(self) -> int:
        """Bytes that every step uses again; their size determines the cache that holds them."""
        return 4 * 3 * self.parameters

    def data(self) -> tuple[Floats, NDArray[np.int64] | Floats]:
        """x (rows, inputs), and labels (rows,) or targets (rows, outputs)."""
        rng = np.random.default_rng(1)
        rows, outputs = self.batch * self.batches, self.widths[-1]
        x = rng.standard_normal((rows, self.widths[0]), dtype=np.float32)
        if self.loss == "softmax":
            return x, rng.integers(0, outputs, rows)
        return x, rng.integers(0, 2, (rows, outputs)).astype(np.float32)

    def weights(self) -> list[Floats]:
        """kernel (in, out), bias (out,) and so on: Glorot uniform and zeros."""
        rng = np.random.default_rng(2)
        values: list[Floats] = []
        for i, o in pairwise(self.widths):
            limit = np.sqrt(6 / (i + o))
            values.append(rng.uniform(-limit, limit, (i, o)).astype(np.float32))
            values.append(np.zeros(o, np.float32))
        return values


WORKLOADS = {
    work.name: work
    for work in (
        Workload("iris", (4, 10, 3), 32, "softmax"),
        Workload("binary", (784, 10, 8, 1), 32, "sigmoid"),
        Workload("mnist-32", (784, 128, 10), 32, "softmax"),
        Workload("mnist-128", (784, 128, 10), 128, "softmax"),
        Workload("mnist-wide", (784, 512, 512, 10), 128, "softmax"),
        Workload("multilabel", (294, 256, 128, 14), 64, "sigmoid"),
        Workload("tabular", (64, 256, 256, 256, 10), 1024, "softmax"),
        Workload("narrow", (32, 64, 64, 64, 64, 16), 65536, "softmax"),
        Workload("image", (150528, 64, 64, 10), 32, "softmax"),
        Workload("large", (2048, 2048, 2048, 2048, 10), 1024, "softmax"),
    )
}
