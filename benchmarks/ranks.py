"""Training over the processes of an MPI job: what a sum over ranks costs, and its share of a step.

    mpiexec -n 2 python -m benchmarks.ranks [--rounds 15] [--small]
    python -m benchmarks.ranks --paper              # the model of docs/scale.md, nothing is measured

Each rank has one thread unless --threads says otherwise. Sums stand beside mpi4py's own Allreduce, whose
order of additions is the library's choice. The step is that of a network `width-width-width-10` with
Adam; `alone` is one process with the rows that each rank has, without sums.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import fastnn
from fastnn import _core
from fastnn.training import ranks as over


class Timed(over.Link):
    """A link that adds up the time of its calls."""

    seconds = 0.0

    def _carry(self, call: Any, out: Any, into: Any) -> bool:
        begin = time.perf_counter()
        interrupted = super()._carry(call, out, into)
        Timed.seconds += time.perf_counter() - begin
        return interrupted


def timed(comm: Any, work: Callable[[], object], repeats: int) -> float:
    """Seconds of one repeat, begun together."""
    comm.Barrier()
    begin = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - begin) / repeats


def sums(comm: Any, mpi: Any, rounds: int, sizes: list[int]) -> None:
    exchange = _core.Exchange(over.Link(fastnn.Ranks(comm)), comm.Get_rank(), comm.Get_size())
    told = print if comm.Get_rank() == 0 else lambda *_: None
    told("sum of float32 over ranks | fastnn | Allreduce of the library | ratio")
    for size in sizes:
        values = np.ones(size // 4, np.float32)
        into = np.empty_like(values)
        repeats = max(3, min(200, 2**22 // size))
        found: dict[str, list[float]] = {"own": [], "theirs": []}
        for _ in range(rounds):
            values.fill(1)
            found["own"].append(timed(comm, partial(exchange.sum_in_place, values), repeats))
            reduce = partial(comm.Allreduce, values, into, op=mpi.SUM)
            found["theirs"].append(timed(comm, reduce, repeats))
        own, theirs = (statistics.median(one) for one in found.values())
        told(
            f"{size:>10} bytes | {own * 1e6:9.0f} us | {theirs * 1e6:9.0f} us | {own / theirs:.2f}"
        )


def model_of(width: int) -> Any:
    layers = [
        fastnn.layers.Dense(width, "relu", input_shape=(width,)),
        fastnn.layers.Dense(width, "relu"),
        fastnn.layers.Dense(10),
    ]
    model = fastnn.Sequential(layers, seed=0)
    loss = fastnn.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(fastnn.optimizers.Adam(1e-4), loss)
    return model


def steps(comm: Any, rounds: int, widths: list[int], batches: list[int], count: int) -> None:
    size, told = comm.Get_size(), print if comm.Get_rank() == 0 else lambda *_: None
    told(
        "width, batch of all ranks | step | in sums | their share | alone, a rank's rows | MB summed"
    )
    rng = np.random.default_rng(0)
    over.Link = Timed  # type: ignore[misc]
    for width in widths:
        for batch in batches:
            x = rng.standard_normal((batch * count, width)).astype(np.float32)
            y = rng.integers(0, 10, batch * count)
            together, alone = model_of(width), model_of(width)
            own = slice(0, max(1, batch // size) * count)
            how: dict[str, Any] = {"epochs": 1, "verbose": 0}
            found: dict[str, list[float]] = {"step": [], "sums": [], "alone": []}
            for _ in range(rounds + 1):  # the first makes the sessions
                comm.Barrier()
                Timed.seconds = 0.0
                # The clock is in a callback: before the first step, after the last.
                clock = Clock()
                together.fit(x, y, batch_size=batch, comm=comm, callbacks=[clock], **how)
                found["step"].append(clock.seconds / count)
                found["sums"].append(clock.waited / count)
                comm.Barrier()
                clock = Clock()
                alone.fit(
                    x[own], y[own], batch_size=max(1, batch // size), callbacks=[clock], **how
                )
                found["alone"].append(clock.seconds / count)
            step, waited, apart = (statistics.median(one[1:]) for one in found.values())
            megabytes = together.count_params() * 4 / 1e6
            told(
                f"{width:>5}, {batch:>5} | {step * 1e6:8.0f} us | {waited * 1e6:8.0f} us | "
                f"{waited / step:4.0%} | {apart * 1e6:8.0f} us | {megabytes:.2f}"
            )


def on_paper(
    width: int, batch: int, size: int, gigabits: float, latency: float, gflops: float
) -> tuple[float, float]:
    """Seconds of a step over ranks, and those of them in the sum, of the network of `steps`.

    A rank computes its share of the batch, 6 operations for each weight and row, and steps over all
    weights, 7 passes over memory. The sum takes three calls; each rank sends and receives
    2 (size - 1) / size of the gradient's bytes, and copies and adds what it has.
    """
    weights = 2 * width * width + 10 * width
    computes = 6 * weights * batch / size / (gflops * 1e9)
    updates = 7 * 4 * weights / (_MEMORY * 1e9)
    if size == 1:
        return computes + updates, 0.0
    sent = 2 * (size - 1) / size * 4 * weights / (gigabits / 8 * 1e9)
    calls = latency * (2 * np.ceil(np.log2(size)) + size - 1)
    summed = float(sent + calls + _LOCAL * 4 * weights)
    return computes + updates + summed, summed


# GB/s of memory, and seconds that a rank takes for a byte of a sum beside the network.
_MEMORY, _LOCAL = 20.0, 0.9e-9


def paper(gflops: float) -> None:
    sizes = (2, 4, 8, 16)
    for gigabits, latency in ((10.0, 20e-6), (100.0, 3e-6)):
        print(
            f"\n{gigabits:g} Gbit/s, {latency * 1e6:g} us a call, {gflops:g} GFLOP/s a rank: times one rank's speed"
        )
        print("| width | batch | one rank | " + " | ".join(f"{n} ranks" for n in sizes) + " |")
        print("|---" * (3 + len(sizes)) + "|")
        for width in (256, 1024, 4096):
            for batch in (1024, 8192):
                one = on_paper(width, batch, 1, gigabits, latency, gflops)[0]
                found = [on_paper(width, batch, n, gigabits, latency, gflops)[0] for n in sizes]
                told = " | ".join(f"{one / seconds:.1f}" for seconds in found)
                print(f"| {width} | {batch} | {one * 1e3:.2f} ms | {told} |")


class Clock(fastnn.callbacks.Callback):
    """The seconds of an epoch, and those of them in sums."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        del epoch, logs
        self._begin, self._waited = time.perf_counter(), Timed.seconds

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        del epoch, logs
        self.seconds = time.perf_counter() - self._begin
        self.waited = Timed.seconds - self._waited


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="of each rank")
    parser.add_argument("--steps", type=int, default=40, help="of a round")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that it runs")
    parser.add_argument("--paper", action="store_true", help="the model of a step's time")
    parser.add_argument("--gflops", type=float, default=300, help="of a rank, for the model")
    options = parser.parse_args()
    if options.paper:
        paper(options.gflops)
        return
    from mpi4py import MPI

    fastnn.set_num_threads(options.threads)
    comm = MPI.COMM_WORLD
    if comm.Get_rank() == 0:
        print(
            f"{comm.Get_size()} ranks, {options.threads} threads each, {MPI.Get_library_version():.60}"
        )
    sizes = [4096, 2**20] if options.small else [1024, 2**16, 2**20, 2**24]
    sums(comm, MPI, options.rounds, sizes)
    widths, batches = ([64], [64]) if options.small else ([64, 256, 1024], [128, 1024])
    steps(comm, options.rounds, widths, batches, 4 if options.small else options.steps)


if __name__ == "__main__":
    main()
