"""fastnn as its users call it: one `fit` over whole epochs, shuffle and gather included.

Each precision of the products is an entry with a model of its own.
"""

from typing import Literal, get_args

import fastnn
from benchmarks import workloads
from benchmarks.workers.serve import Prepared, serve, wanted
from fastnn import Sequential

Precision = Literal["highest", "high", "medium"]


def build(work: workloads.Workload, precision: Precision) -> Sequential:
    """The network of a row, with its given weights."""
    hidden = [fastnn.layers.Dense(o, activation="relu") for o in work.widths[1:-1]]
    model = Sequential(
        [fastnn.Input((work.widths[0],)), *hidden, fastnn.layers.Dense(work.widths[-1])]
    )
    loss = "sparse_categorical_crossentropy" if work.loss == "softmax" else "binary_crossentropy"
    adam = fastnn.optimizers.Adam(
        workloads.LEARNING_RATE, workloads.BETA_1, workloads.BETA_2, workloads.EPSILON
    )
    model.compile(optimizer=adam, loss=loss, matmul_precision=precision)
    model.set_weights(work.weights())
    return model


def prepare(work: workloads.Workload, threads: int) -> Prepared:
    fastnn.set_num_threads(threads)
    x, y = work.data()
    batches = [slice(k * work.batch, (k + 1) * work.batch) for k in range(2)]
    ready = Prepared({}, rounded=["fastnn medium"])
    for precision in get_args(Precision):
        name = f"fastnn {precision}"
        if not wanted(name):
            continue
        model = build(work, precision)
        losses = [model.train_on_batch(x[rows], y[rows]) for rows in batches]
        ready.losses[name] = [loss for loss in losses if isinstance(loss, float)]

        def run(epochs: int, model: Sequential = model) -> None:
            model.fit(x, y, batch_size=work.batch, epochs=epochs, verbose=0)

        ready.entries[name] = (run, work.batches)
    return ready


if __name__ == "__main__":
    serve(prepare, fastnn.__version__)
