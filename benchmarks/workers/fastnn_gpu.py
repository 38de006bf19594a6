"""fastnn on a GPU as its users call it: `fit` over whole epochs, shuffle and gather included.

Each precision is an entry with a model of its own; FASTNN_SESSION chooses the session. A repeat
is an epoch: `gpu.py` subtracts the time of the first one, which copies the data to the device.
"""

from typing import get_args

import fastnn
from benchmarks import workloads
from benchmarks.workers.fastnn_steps import Precision, build
from benchmarks.workers.serve import Prepared, serve, wanted
from fastnn import Sequential


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    fastnn.set_num_threads(threads)
    x, y = work.data()
    batches = [slice(k * work.batch, (k + 1) * work.batch) for k in range(2)]
    ready = Prepared({}, rounded=["fastnn medium"])
    for precision in get_args(Precision):
        name = f"fastnn {precision}"
        if not wanted(name):
            continue
        try:
            model = build(work, precision)
            losses = [model.train_on_batch(x[rows], y[rows]) for rows in batches]
        except (ValueError, RuntimeError, MemoryError) as reason:
            ready.notes[name] = f"left out ({type(reason).__name__}: {reason})"
            continue
        ready.losses[name] = [loss for loss in losses if isinstance(loss, float)]
        ready.notes[name] = model.session(work.batch)

        def run(epochs: int, model: Sequential = model) -> None:
            model.fit(x, y, batch_size=work.batch, epochs=epochs, verbose=0)

        ready.entries[name] = (run, work.batches)
    return ready


if __name__ == "__main__":
    serve(prepare, fastnn.__version__)
