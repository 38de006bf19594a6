"""A careful training step in NumPy: float32, every array made once, all work in place.

Batches are views of contiguous data, in order: no shuffle and no gather.
"""

import itertools

import numpy as np

from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve
from benchmarks.workloads import Floats


class Network:
    """Dense layers with relu between them, their gradients, and Adam over one flat buffer."""

    def __init__(self, work: workloads.Workload) -> None:
        values = work.weights()
        sizes = np.cumsum([0, *(value.size for value in values)])
        self.flat = np.concatenate([value.ravel() for value in values])
        self.grad = np.zeros_like(self.flat)
        self.m, self.v = np.zeros_like(self.flat), np.zeros_like(self.flat)
        self.scratch, self.update = np.empty_like(self.flat), np.empty_like(self.flat)

        def cut(flat: Floats) -> list[Floats]:
            pairs = zip(itertools.pairwise(sizes), values, strict=True)
            return [flat[low:high].reshape(value.shape) for (low, high), value in pairs]

        self.w, self.b = cut(self.flat)[0::2], cut(self.flat)[1::2]
        self.dw, self.db = cut(self.grad)[0::2], cut(self.grad)[1::2]
        self.y = [np.empty((work.batch, o), np.float32) for o in work.widths[1:]]
        self.dy = [np.empty_like(y) for y in self.y]
        self.mask = [np.empty(y.shape, bool) for y in self.y]
        self.rows = np.arange(work.batch)
        self.softmax = work.loss == "softmax"
        self.steps = 0

    def step(self, x: Floats, target: np.ndarray) -> float:
        last = len(self.w) - 1
        below = x
        for k, y in enumerate(self.y):
            np.matmul(below, self.w[k], out=y)
            y += self.b[k]
            if k < last:
                np.maximum(y, 0, out=y)
            below = y
        loss = self.softmax_loss(target) if self.softmax else self.sigmoid_loss(target)
        for k in range(last, -1, -1):
            below = self.y[k - 1] if k else x
            np.matmul(below.T, self.dy[k], out=self.dw[k])
            np.sum(self.dy[k], axis=0, out=self.db[k])
            if k:
                np.matmul(self.dy[k], self.w[k].T, out=self.dy[k - 1])
                np.greater(below, 0, out=self.mask[k - 1])
                self.dy[k - 1] *= self.mask[k - 1]
        self.adam()
        return loss

    def softmax_loss(self, labels: np.ndarray) -> float:
        z, p = self.y[-1], self.dy[-1]
        np.subtract(z, z.max(axis=1, keepdims=True), out=p)
        picked = p[self.rows, labels]
        np.exp(p, out=p)
        total = p.sum(axis=1, keepdims=True)
        p /= total
        p[self.rows, labels] -= 1
        p *= np.float32(1 / len(z))
        return float(np.mean(np.log(total[:, 0]) - picked))

    def sigmoid_loss(self, target: Floats) -> float:
        z, p = self.y[-1], self.dy[-1]
        np.exp(-np.abs(z), out=p)
        loss = float(np.mean(np.maximum(z, 0) - z * target + np.log1p(p)))
        np.divide(np.where(z >= 0, np.float32(1), p), 1 + p, out=p)
        p -= target
        p *= np.float32(1 / z.size)
        return loss

    def adam(self) -> None:
        self.steps += 1
        b1, b2 = workloads.BETA_1, workloads.BETA_2
        correction = 1 - b2**self.steps
        rate = workloads.LEARNING_RATE / (1 - b1**self.steps)
        self.m *= np.float32(b1)
        np.multiply(self.grad, np.float32(1 - b1), out=self.scratch)
        self.m += self.scratch
        self.v *= np.float32(b2)
        np.multiply(self.grad, self.grad, out=self.scratch)
        self.scratch *= np.float32(1 - b2)
        self.v += self.scratch
        np.multiply(self.v, np.float32(1 / correction), out=self.scratch)
        np.sqrt(self.scratch, out=self.scratch)
        self.scratch += np.float32(workloads.EPSILON)
        np.divide(self.m, self.scratch, out=self.update)
        self.update *= np.float32(rate)
        self.flat -= self.update


def prepare(work: workloads.Workload, threads: int) -> Prepared:  # noqa: ARG001 - the environment says
    x, y = work.data()
    xs, ys = np.split(x, work.batches), np.split(y, work.batches)
    network = Network(work)
    losses = [network.step(xs[k], ys[k]) for k in range(2)]
    batches = itertools.cycle(list(zip(xs, ys, strict=True)))

    def run(steps: int) -> None:
        for x, y in itertools.islice(batches, steps):
            network.step(x, y)

    return Prepared({"NumPy": (run, 1)}, {"NumPy": losses})


if __name__ == "__main__":
    serve(prepare, np.__version__)
